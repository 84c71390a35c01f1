"""Typed handlers: the signature decides what they get."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from argosy import wire
from argosy.errors import ErrorCode
from argosy.testing.worker import Outcome, job_record, jobs_frame, load_frame, run_worker

WriteModel = Callable[..., Path]
HEAD = """
from __future__ import annotations
import dataclasses, enum, typing
from typing import *
from argosy.handler import Batch, Context, InvalidInput

class Colour(enum.Enum):
    RED = "red"

@dataclasses.dataclass
class Row:
    name: str
    size: float = 1.5
    tags: List[str] = dataclasses.field(default_factory=list)

@dataclasses.dataclass
class Table:
    rows: List[Row]
"""


def run(folder: Path, *records: bytes, **order: object) -> Outcome:
    """What a typed handler answers."""
    _, outcome = run_worker(load_frame(folder, "svc", **order), jobs_frame(*records))
    return outcome


def one(model: WriteModel, source: str, record: bytes) -> wire.Answer:
    """The answer to one job."""
    outcome = run(model(HEAD + source), record)
    assert outcome.loaded["ok"], outcome.loaded
    assert outcome.loaded["style"] == "typed"
    return outcome.answers[0]


JSON = "application/json"


@pytest.mark.parametrize(
    ("hint", "body", "content_type", "expected"),
    [
        ("str", "é".encode(), "text/plain", "'é'"),
        ("str", b"plain", "", "'plain'"),
        ("str", b'"quoted"', JSON, "'quoted'"),
        ("str", b'{"x": "inner"}', JSON, "'inner'"),
        ("bytes", b"\xff", "", "b'\\xff'"),
        ("bytearray", b"\xff", JSON, "bytearray(b'\\xff')"),
        ("dict", b'{"x": 1}', "", "{'x': 1}"),
        ("Dict[str, int]", b'{"a": 1}', JSON, "{'a': 1}"),
        ("Dict[str, int]", b'{"x": 1}', JSON, "{'x': 1}"),
        ("list", b"[1]", "text/plain", "[1]"),
        ("List[float]", b"[1, 2.5]", JSON, "[1.0, 2.5]"),
        ("Sequence[int]", b"[1]", JSON, "[1]"),
        ("Tuple[int, str]", b'[1, "a"]', JSON, "(1, 'a')"),
        ("Tuple[int, ...]", b"[1, 2]", JSON, "(1, 2)"),
        ("int", b"5", JSON, "5"),
        ("float", b"5", JSON, "5.0"),
        ("bool", b"true", JSON, "True"),
        ("Optional[int]", b"null", JSON, "None"),
        ("Union[int, str]", b'"a"', JSON, "'a'"),
        ("Literal['a', 1]", b"1", JSON, "1"),
        ("Colour", b'"red"', JSON, "<Colour.RED: 'red'>"),
        ("Any", b'{"x": [1]}', JSON, "[1]"),
        ("Row", b'{"name": "n"}', JSON, "Row(name='n', size=1.5, tags=[])"),
        ("Table", b'{"rows": [{"name": "n", "size": 2, "tags": ["t"]}]}', JSON, "Table(rows=[Row(name='n', size=2.0, tags=['t'])])"),
    ],
)
def test_body_becomes_the_hinted_value(model: WriteModel, hint: str, body: bytes, content_type: str, expected: str) -> None:
    """JSON for everything but text and bytes, whatever the content type; an object may name the parameter."""
    answer = one(model, f"def predict(x: {hint}) -> str:\n    return repr(x)\n", job_record(1, body, content_type))
    assert (answer.failed, answer.body.decode()) == (False, expected), answer.phrase


@pytest.mark.parametrize(
    ("hint", "body", "message"),
    [
        ("str", b"\xff", "not valid UTF-8"),
        ("dict", b"{", "not valid JSON"),
        ("dict", b"[]", "The body must be an object, not a list"),
        ("int", b"true", "The body must be a whole number, not true or false"),
        ("int", b"1.5", "The body must be a whole number, not a number"),
        ("List[int]", b'[1, "a"]', "The body[1] must be a whole number, not a string"),
        ("Tuple[int, str]", b"[1]", "must be a list of 2, not of 1"),
        ("Optional[int]", b'"a"', "The body must be one of int, NoneType, not a string"),
        ("Literal['a']", b'"b"', "The body must be one of 'a'"),
        ("Colour", b'"blue"', "must be one of 'red'"),
        ("Row", b"{}", "The body lacks the field name"),
        ("Row", b'{"name": 5}', "The body.name must be a string, not a whole number"),
        ("Row", b'{"name": "n", "nam": 1}', "The body has no field nam; the fields are name, size, tags"),
        ("Table", b'{"rows": [{"name": "n", "tags": [1]}]}', "The body.rows[0].tags[0] must be a string"),
        ("int", b"1" * 400 + b".0", "a whole number"),
        ("float", b"1" * 400, "too large"),
    ],
)
def test_input_that_does_not_fit_is_the_clients_failure(model: WriteModel, hint: str, body: bytes, message: str) -> None:
    """The message names the place and what was wanted; the handler is not called."""
    content_type = "text/plain" if hint == "str" else JSON
    answer = one(model, f"def predict(x: {hint}) -> str:\n    raise SystemError\n", job_record(1, body, content_type))
    assert (answer.failed, answer.code) == (True, ErrorCode.INVALID_REQUEST)
    assert message in answer.phrase


SEVERAL = "def predict(text: str, n: int = 2, deep: bool = False) -> dict:\n    return [text, n, deep]\n"


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (job_record(1, b'{"text": "a", "n": 3}', JSON), ["a", 3, False]),
        (job_record(1, None, parts=[("text", "", b"5"), ("deep", "", b"true")]), ["5", 2, True]),
        (job_record(1, b"", parts=[("text", "", b"q"), ("other", "", b"")]), ["q", 2, False]),
        (job_record(1, b'{"text": "body"}', JSON, parts=[("text", "", b"q"), ("n", "", b"7")]), ["body", 7, False]),
    ],
)
def test_several_parameters_are_named_inputs(model: WriteModel, record: bytes, expected: list[object]) -> None:
    """They come from the keys of a JSON object, from form fields and from the query; defaults hold."""
    assert json.loads(one(model, SEVERAL, record).body) == expected


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (job_record(1, b"{}", JSON), "The input lacks text; it takes text, n, deep"),
        (job_record(1, b"[1]", JSON), "The body must be a JSON object with text, n, deep, not a list"),
        (job_record(1, None, parts=[("text", "", b"a"), ("n", "", b"many")]), "n must be a whole number, not the text 'many'"),
    ],
)
def test_named_inputs_that_do_not_fit(model: WriteModel, record: bytes, message: str) -> None:
    """The message names the parameter."""
    answer = one(model, SEVERAL, record)
    assert (answer.code, answer.phrase) == (ErrorCode.INVALID_REQUEST, message)


@pytest.mark.parametrize(
    ("source", "record", "body"),
    [
        ("def predict(x: str):\n    return x", job_record(1, None, parts=[("x", "", b"part")]), b"part"),
        ("def predict(x: str):\n    return x", job_record(1, None, parts=[("file", "text/plain", b"only")]), b"only"),
        ("def predict(x: bytes):\n    return x", job_record(1, None, parts=[("f", "", b"\xff"), ("x", "", b"\xfe")]), b"\xfe"),
        ("def predict(x: int = 4):\n    return x", job_record(1, None), b"4"),
        ("def predict(x):\n    return x", job_record(1, b"[1]", JSON), b"[1]"),
        ("def predict(x):\n    return type(x).__name__", job_record(1, b"raw"), b"bytearray"),
        ("def predict(x):\n    return list(x)", job_record(1, b"", parts=[("a", "", b"1")]), b'["a", "body"]'),
    ],
)
def test_one_parameter_takes_the_part_of_its_name_or_the_body(model: WriteModel, source: str, record: bytes, body: bytes) -> None:
    """Without a hint it is decoded as old handlers get it."""
    assert one(model, source, record).body == body


def test_missing_input_is_named(model: WriteModel) -> None:
    """A request without body or parameters says what is missing."""
    assert one(model, "def predict(x: str): return x", job_record(1, None)).phrase == "The input lacks x"
    assert one(model, "def predict(x: float): return x", job_record(1, b"")).phrase == "The input lacks x; the body is empty"
    assert one(model, "def predict(x: float = 2.5): return x", job_record(1, b"")).body == b"2.5"
    assert one(model, "def predict(x: str): return [x]", job_record(1, b"")).body == b'[""]'


@pytest.mark.parametrize(
    ("result", "body", "headers"),
    [
        ("'é'", "é".encode(), b"content-type\x00text/plain; charset=utf-8"),
        ("b'raw'", b"raw", b""),
        ("memoryview(b'view')", b"view", b""),
        ("{'a': 1}", b'{"a": 1}', b"content-type\x00application/json"),
        ("Row('n')", b'{"name": "n", "size": 1.5, "tags": []}', b"content-type\x00application/json"),
        ("[Colour.RED]", b'["red"]', b"content-type\x00application/json"),
        ("__import__('array').array('i', [1, 2])", b"[1, 2]", b"content-type\x00application/json"),
        ("None", b"null", b"content-type\x00application/json"),
    ],
)
def test_result_names_its_media_type(model: WriteModel, result: str, body: bytes, headers: bytes) -> None:
    """Text and JSON say what they are; dataclasses, enums and arrays are JSON."""
    answer = one(model, f"def predict(x: str):\n    return {result}\n", job_record(1, b"x"))
    assert (answer.body, answer.headers) == (body, headers)


def test_result_that_cannot_be_written(model: WriteModel) -> None:
    """It fails with the old words."""
    assert one(model, "def predict(x: str):\n    return object()\n", job_record(1, b"x")).phrase == "Unsupported model output data type."


def test_context_is_passed_where_it_is_asked_for(model: WriteModel) -> None:
    """A parameter named ctx, or hinted Context, is the context of this request alone."""
    source = """
def predict(x: str, ctx: Context) -> dict:
    ctx.set_response_content_type(0, "x/y")
    ctx.set_response_status(201)
    return {"id": ctx.id, "agent": ctx.headers["user-agent"], "n": len(ctx.request_processor)}
"""
    records = [job_record(seq, b"x", id=f"r{seq}", headers=[("User-Agent", "t")]) for seq in (1, 2)]
    outcome = run(model(HEAD + source), *records, batch_size=8)
    assert [(json.loads(answer.body), answer.status, answer.headers) for answer in outcome.answers] == [
        ({"id": f"r{seq}", "agent": "t", "n": 1}, 201, b"content-type\x00x/y") for seq in (1, 2)
    ]


def test_batch_takes_many_and_one_bad_input_fails_alone(model: WriteModel) -> None:
    """Each input is checked before; a raise is narrowed down to the items that cause it."""
    source = """
def predict(rows: Batch[Row], ctx) -> Batch[dict]:
    if any(row.name == "poison" for row in rows):
        raise ValueError("poison")
    return tuple({"n": len(rows), "name": row.name, "id": ctx.get_request_id(i)} for i, row in enumerate(rows))
"""
    bodies = [b'{"name": "a"}', b'{"nam": "b"}', b'{"name": "poison"}', b'{"name": "d"}']
    outcome = run(model(HEAD + source), *(job_record(seq, body, JSON) for seq, body in enumerate(bodies)), batch_size=4)
    assert (outcome.loaded["batch"], outcome.loaded["style"]) == (True, "typed")
    assert {answer.seq: answer.code for answer in outcome.answers} == {0: 0, 1: ErrorCode.INVALID_REQUEST, 2: ErrorCode.HANDLER_FAILED, 3: 0}
    assert [json.loads(answer.body) for answer in outcome.answers if not answer.failed] == [
        {"n": 1, "name": "a", "id": "id-0"},
        {"n": 1, "name": "d", "id": "id-3"},
    ]


def test_view_lies_in_the_arena(model: WriteModel) -> None:
    """A memoryview parameter sees the body where the kernel put it: nothing is copied."""
    folder = model("def predict(x: memoryview):\n    return [x.readonly, len(x.obj), bytes(x).decode()]\n")
    _, outcome = run_worker(load_frame(folder, "svc"), jobs_frame(job_record(1, arena=(2, 3))), arena=memoryview(b"__abc__"))
    assert outcome.loaded["view"] is True
    assert json.loads(outcome.answers[0].body) == [True, 7, "abc"]


@pytest.mark.parametrize("count", [1, 3])
def test_view_of_a_small_body_may_be_written_to(model: WriteModel, count: int) -> None:
    """Whether it came alone or with others like it."""
    folder = model("def predict(x: memoryview):\n    x[0] = 65\n    return bytes(x).decode()\n")
    _, outcome = run_worker(load_frame(folder, "svc"), jobs_frame(*(job_record(seq, b"abc") for seq in range(count))))
    assert [answer.body for answer in outcome.answers] == [b"Abc"] * count


def test_class_is_loaded_warmed_up_and_closed(model: WriteModel, capsys: pytest.CaptureFixture[str]) -> None:
    """The stages run in order, with the context where they take it."""
    source = """
class Model:
    def load(self, ctx):
        print("load", ctx.model_name != "")
    def warmup(self):
        print("warmup")
    def predict(self, text: str) -> str:
        print("predict")
        return text.upper()
    def close(self):
        print("close")
"""
    answer = run(model(source), job_record(1, b"abc")).answers[0]
    assert answer.body == b"ABC"
    assert capsys.readouterr().out.split("\n")[:-1] == ["load True", "warmup", "predict", "close"]


def test_close_that_raises_is_logged(model: WriteModel, capsys: pytest.CaptureFixture[str]) -> None:
    """The process still ends as it should."""
    source = "class M:\n    def predict(self, x: str): return x\n    def close(self): raise OSError('stuck')\n"
    status, _ = run_worker(load_frame(model(source), "svc"))
    assert status == 0
    assert "stuck" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "style"),
    [
        ("def handle(data, context): return ['x'] * len(data or [])", "function"),
        ("def handle(data: list, context) -> list: return ['x'] * len(data or [])", "function"),
        ("def handle(data: List[dict], ctx: Context) -> List[str]: return ['x'] * len(data or [])", "function"),
        ("def handle(rows, _): return ['x'] * len(rows or [])", "function"),
        ("def handle(*args): return ['x'] * len(args[0] or [])", "function"),
        ("def handle(data, context, extra=None): return ['x'] * len(data or [])", "function"),
        ("def handle(text: str, ctx): return 'x'", "typed"),
        ("def predict(a: str, b: str = ''): return a", "typed"),
        ("def predict(x): return x", "typed"),
        ("class M:\n    def predict(self, data, context): return ['x'] * len(data)", "class"),
    ],
)
def test_old_way_or_typed(model: WriteModel, source: str, style: str) -> None:
    """Two parameters without a hint on the first, or named as old handlers name them, are called the old way."""
    outcome = run(model("from typing import *\nfrom argosy.handler import Context\n" + source), job_record(1, b"x"))
    assert outcome.loaded.get("style") == style, outcome.loaded


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def predict(): return 1", "at least one input"),
        ("def predict(ctx): return 1", "at least one input"),
        ("def predict(a: Batch[str], b: int): return 1", "its batch as the only input"),
        ("def predict(x: Missing): return 1", "cannot be read"),
        ("import socket\ndef predict(x: socket.socket): return 1", "x cannot be socket; an input is str"),
        ("def predict(x: Dict[int, str]): return 1", "x cannot be Dict[int, str]"),
    ],
)
def test_signature_that_cannot_be_served_is_refused_at_load(model: WriteModel, source: str, words: str) -> None:
    """The author learns it before the first request does."""
    loaded = run(model(HEAD + source)).loaded
    assert (loaded["ok"], loaded["code"]) == (False, ErrorCode.INVALID_MODEL)
    assert words in loaded["message"]


@pytest.mark.parametrize(("raised", "code"), [("RuntimeError('x')", ErrorCode.HANDLER_FAILED), ("MemoryError", ErrorCode.OUT_OF_MEMORY)])
def test_input_class_that_raises_fails_its_request_alone(model: WriteModel, raised: str, code: ErrorCode) -> None:
    """A dataclass may do anything when it is made."""
    source = f"""
@dataclasses.dataclass
class Wild:
    wild: bool
    def __post_init__(self):
        if self.wild:
            raise {raised}

def predict(x: Wild):
    return "fine"
"""
    records = [job_record(seq, body, JSON) for seq, body in ((1, b'{"wild": true}'), (2, b'{"wild": false}'))]
    assert {answer.seq: answer.code for answer in run(model(HEAD + source), *records).answers} == {1: code, 2: 0}


def test_only_field_of_a_form_without_a_value_is_the_text_itself(model: WriteModel) -> None:
    """`curl -d 'some text'` announces a form; a handler with one input gets the text all the same."""
    source = "def predict(text: str) -> str:\n    return text\n"
    assert one(model, source, job_record(1, None, parts=[("some text", "", b"")])).body == b"some text"
    assert one(model, source, job_record(1, None, parts=[("text", "", b"")])).body == b""
