"""A handler in the calling process: for the tests of its author."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import argosy
from argosy.errors import ArgosyError
from argosy.handler import InvalidInput, PredictionException

WriteModel = Callable[..., Path]
TYPED = "def predict(text: str, n: int = 1) -> dict:\n    return {'text': text * n}\n"
OLD = """
from mms.service import PredictionException
def handle(data, context):
    if data is None:
        return None
    if data[0].get("body") == "no":
        raise PredictionException("no", 404)
    context.set_response_status(201, "Made")
    return [[d, context.get_request_header(i, "Accept")] for i, d in enumerate(data)]
"""


def test_typed_handler_is_called(model: WriteModel) -> None:
    """The result is what the handler returned, not its bytes."""
    loaded = argosy.load(str(model(TYPED) / "svc.py"))
    assert loaded.predict({"text": "ab", "n": 2}) == {"text": "abab"}
    assert loaded.predict(text="q") == {"text": "q"}
    assert repr(loaded).startswith("<LoadedHandler typed of ")
    with pytest.raises(InvalidInput, match="lacks text"):
        loaded.predict({})
    loaded.close()


def test_old_handler_is_called(model: WriteModel) -> None:
    """With a context, and its exceptions come through as they are."""
    loaded = argosy.load(f"{model(OLD)}/svc.py:handle")
    assert loaded.predict("text", headers={"Accept": "a/b"}) == [{"body": "text"}, "a/b"]
    assert loaded.predict(b"raw")[0] == {"body": bytearray(b"raw")}
    assert loaded.predict([1])[0] == {"body": [1]}
    assert loaded.last.get_response_status_code() == 201
    assert len(loaded.predict_batch(["a", "b"])) == 2
    with pytest.raises(PredictionException):
        loaded.predict("no")


def test_folder_with_a_manifest_names_its_handler(model: WriteModel) -> None:
    """The model's name and manifest are in the context."""
    folder = model("def go(data, context):\n    return [context.model_name] * len(data or [])\n")
    (folder / "MAR-INF").mkdir()
    (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps({"model": {"modelName": "mm", "handler": "svc:go"}}))
    assert argosy.load(str(folder)).predict("x") == "mm"


@pytest.mark.parametrize(("expression", "words"), [("'x'", "Invalid model predict output"), ("[]", "mismatched")])
def test_result_that_is_no_answer(model: WriteModel, expression: str, words: str) -> None:
    """It fails as it would in the server."""
    loaded = argosy.load(str(model(f"def handle(data, context):\n    return {expression}\n") / "svc.py"))
    with pytest.raises(ArgosyError, match=words):
        loaded.predict("x")


def test_exception_at_an_index_is_raised(model: WriteModel) -> None:
    """For one input; a batch shows it in its place."""
    loaded = argosy.load(str(model("def handle(data, context):\n    return [ValueError('bad') for d in data or []]\n") / "svc.py"))
    with pytest.raises(ValueError, match="bad"):
        loaded.predict("x")
    assert [type(result) for result in loaded.predict_batch(["x", "y"])] == [ValueError, ValueError]


def test_generator_gives_what_it_yields(model: WriteModel) -> None:
    """One by one, as the handler made it: framing is the server's matter."""
    loaded = argosy.load(str(model("def predict(text: str):\n    yield text\n    yield {'a': 1}\n") / "svc.py"))
    pieces = loaded.predict("x")
    assert next(pieces) == "x"
    assert list(pieces) == [{"a": 1}]
    old = argosy.load(str(model("def handle(data, context):\n    yield data[0]['body'] if data else None\n") / "svc.py"))
    assert list(old.predict("x")) == ["x"]


ASYNCHRONOUS = """
    import asyncio
    closed = []
    async def predict(text: str):
        await asyncio.sleep(0)
        if text == "bad":
            raise ValueError(text)
        return pieces(text) if text == "pieces" else closed if text == "closed" else text
    async def pieces(text):
        try:
            for letter in text:
                await asyncio.sleep(0)
                yield letter
        finally:
            closed.append(text)
"""


def test_asynchronous_handler_is_run(model: WriteModel) -> None:
    """To its end, and its generator as far as it is asked; exceptions come out."""
    loaded = argosy.load(str(model(ASYNCHRONOUS) / "svc.py"))
    assert (loaded.predict("x"), loaded.predict_batch(["a", "b"])) == ("x", ["a", "b"])
    assert list(loaded.predict("pieces")) == list("pieces")
    some = loaded.predict("pieces")
    assert next(some) == "p"
    some.close()
    assert loaded.predict("closed") == ["pieces", "pieces"]
    with pytest.raises(ValueError, match="bad"):
        loaded.predict("bad")
    loaded.close()


def test_old_asynchronous_handler_is_run(model: WriteModel) -> None:
    """It returns a list for its one request, or yields."""
    loaded = argosy.load(str(model("async def handle(data, context):\n    return [row['body'] for row in data or []]\n") / "svc.py"))
    assert loaded.predict("x") == "x"
    loaded.close()
    loaded = argosy.load(str(model("async def handle(data, context):\n    yield data[0]['body'] if data else None\n") / "svc.py"))
    assert list(loaded.predict("x")) == ["x"]
    loaded.close()


def test_broken_handler_says_why(model: WriteModel) -> None:
    """As the server would report it."""
    with pytest.raises(ArgosyError, match=r"could not be loaded: SyntaxError"):
        argosy.load(str(model("def handle(:\n") / "svc.py"))


def guide() -> list[str]:
    """The Python blocks of the guide that define a handler."""
    page = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "write-a-handler.md"
    return [block for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL) if "def predict" in block]


@pytest.mark.parametrize(
    ("block", "value", "expected"),
    [
        (0, {"text": "good"}, {"label": "positive", "top": 1}),
        (1, "some good words", {"score": 2}),
        (2, {"rooms": 2, "area": 50}, 60000.0),
        (3, b"\x89PNG", b"\x89PNG"),
    ],
)
def test_handlers_of_the_guide_work(model: WriteModel, block: int, value: object, expected: object) -> None:
    """What the reader copies does what the guide says."""
    folder = model(guide()[block])
    (folder / "words.txt").write_text("good words\n")
    loaded = argosy.load(str(folder / "svc.py"))
    assert loaded.predict(value) == expected
    loaded.close()


def test_streams_of_the_guide_work(model: WriteModel) -> None:
    """Each handler of the guide to streams gives its pieces, also the asynchronous one."""
    page = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "stream-a-response.md"
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    found = []
    for number, block in enumerate(blocks):
        loaded = argosy.load(str(model(block, f"guide{number}.py") / f"guide{number}.py"))
        found.append([getattr(piece, "data", piece) for piece in loaded.predict("one two")])
        loaded.close()
    assert found[:3] == [["ONE ", "TWO "], [{"token": "one"}, {"token": "two"}, "[DONE]"], ["one", "two"]]
    assert (len(found), found[4]) == (5, ["one", "two"])


def test_package_has_nothing_else() -> None:
    """A wrong name is an AttributeError, as of any module."""
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = argosy.lode
