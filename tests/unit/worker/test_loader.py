"""How the entry point is found, and what is said when it cannot be loaded."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from argosy.errors import ErrorCode
from argosy.testing.worker import Outcome, job_record, jobs_frame, load_frame, run_worker
from argosy.worker.loader import LoadFailed, is_out_of_memory, parse_handler

WriteModel = Callable[..., Path]

FUNCTION = "def {0}(data, context):\n    return ['{0}'] * len(data or [])\n"
CLASS = """
class {0}:
    def initialize(self, context):
        self.name = context.model_name
    def handle(self, data, context):
        return ["{0}"] * len(data)
"""


def load(folder: Path, handler: str = "svc", **order: object) -> Outcome:
    """What a worker says of a handler, and its answer to one job if it was loaded."""
    return run_worker(load_frame(folder, handler, **order), jobs_frame(job_record(1)))[1]


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        ("svc", ("", "svc", None)),
        ("svc:run", ("", "svc", "run")),
        ("svc.py:run", ("", "svc", "run")),
        ("pkg/inner/svc.py:run", ("pkg/inner", "svc", "run")),
        ("/opt/code/svc", ("/opt/code", "svc", None)),
        ("a.b.c:run", ("", "a.b.c", "run")),
        ("svc:", ("", "svc", None)),
    ],
)
def test_handler_is_taken_apart(handler: str, expected: tuple[str, str, str | None]) -> None:
    """Folders, module and function; the ending .py does not matter."""
    assert tuple(parse_handler(handler)) == expected


@pytest.mark.parametrize("handler", ["", ":run", "folder/", "a-b", "a..b", "../"])
def test_handler_that_names_no_module_is_refused(handler: str) -> None:
    """The message shows what a handler looks like."""
    with pytest.raises(LoadFailed, match="write it as module:function") as caught:
        parse_handler(handler)
    assert caught.value.code is ErrorCode.INVALID_MODEL


@pytest.mark.parametrize(
    ("source", "handler", "style", "body"),
    [
        (FUNCTION.format("handle"), "svc", "function", b"handle"),
        (FUNCTION.format("handle") + CLASS.format("Other"), "svc", "function", b"handle"),
        (FUNCTION.format("run"), "svc:run", "function", b"run"),
        (FUNCTION.format("run"), "svc.py:run", "function", b"run"),
        (FUNCTION.format("predict"), "svc", "function", b"predict"),
        (FUNCTION.format("handle") + FUNCTION.format("predict"), "svc", "function", b"handle"),
        (CLASS.format("Service"), "svc", "class", b"Service"),
        (CLASS.format("Service"), "svc:absent", "class", b"Service"),
        (CLASS.format("First") + CLASS.format("Second"), "svc:Second", "class", b"Second"),
        ("from pathlib import Path\n" + CLASS.format("Service"), "svc", "class", b"Service"),
        ("class Row: pass\n" + CLASS.format("Service"), "svc", "class", b"Service"),
        ("class Service:\n    def handle(self, data, context):\n        return ['bare']\n", "svc", "class", b"bare"),
        (CLASS.format("S") + "_service = S()\n_service.initialize.__self__.name = ''\nrun = _service.handle\n", "svc:run", "function", b"S"),
    ],
)
def test_entry_is_found(model: WriteModel, source: str, handler: str, style: str, body: bytes) -> None:
    """The named function, else handle, else predict, else the one class of the module."""
    if handler == "svc:run" and "_service" in source:
        source = source.replace("return ['S'] * len(data)", "return ['S'] * len(data or [])").replace('["S"] * len(data)', '["S"] * len(data or [])')
    outcome = load(model(source), handler)
    assert (outcome.loaded["ok"], outcome.loaded.get("style")) == (True, style), outcome.loaded
    assert [answer.body for answer in outcome.answers] == [body]


def test_module_in_a_folder_is_imported_by_its_last_name(tmp_path: Path, model: WriteModel) -> None:
    """Folders before the module are searched, not imported."""
    (tmp_path / "pkg" / "inner").mkdir(parents=True)
    folder = model(FUNCTION.format("run"), "pkg/inner/nested_svc.py")
    assert load(folder, "pkg/inner/nested_svc.py:run").loaded["ok"]


def test_module_may_have_the_name_of_one_that_is_loaded(model: WriteModel) -> None:
    """A service called like a module of the standard library is still the model's."""
    assert load(model(FUNCTION.format("handle"), "token.py"), "token").answers[0].body == b"handle"


ASYNC_INITIALIZE = "class S:\n    async def initialize(self, c): pass\n    def handle(self, data, context): pass"
LAZY_LOAD = "class S:\n    def load(self): yield 1\n    def predict(self, text: str): return 1"
BATCHED = "from argosy.handler import Batch\ndef predict(xs: Batch[str]):\n    yield 1"


@pytest.mark.parametrize(
    ("source", "handler", "code", "words", "hint"),
    [
        ("", "svc", ErrorCode.INVALID_MODEL, "Expected only one class", "has no function handle; write one"),
        ("def handel(data, context): pass", "svc", ErrorCode.INVALID_MODEL, "Expected only one class", "did you mean svc:handel?"),
        ("def serve(data, context): pass", "svc:xyz", ErrorCode.INVALID_MODEL, "Expected only one class", "it has serve"),
        (CLASS.format("A") + CLASS.format("B"), "svc", ErrorCode.INVALID_MODEL, "found A, B", ""),
        ("", "svd", ErrorCode.INVALID_MODEL, "No module named 'svd'", "did you mean svc?"),
        ("", "quite_other", ErrorCode.INVALID_MODEL, "No module named", "it has svc"),
        ("import not_installed_anywhere", "svc", ErrorCode.LOAD_FAILED, "not_installed_anywhere", "-m pip install not_installed_anywhere"),
        ("def handle(data, context)\n    pass", "svc", ErrorCode.LOAD_FAILED, "svc.py:1", "cannot read line 1: def handle"),
        ("def handle(data, context):\n    raise OSError('no weights')", "svc", ErrorCode.LOAD_FAILED, "OSError: no weights", ""),
        ("raise MemoryError", "svc", ErrorCode.OUT_OF_MEMORY, "System out of memory", ""),
        ("def handle(data, context):\n    raise MemoryError", "svc", ErrorCode.OUT_OF_MEMORY, "System out of memory", ""),
        ("class S:\n    def initialize(self, c): pass\n", "svc", ErrorCode.LOAD_FAILED, "has no attribute 'handle'", ""),
        (ASYNC_INITIALIZE, "svc", ErrorCode.INVALID_MODEL, "initialize is asynchronous", ""),
        (LAZY_LOAD, "svc", ErrorCode.INVALID_MODEL, "load is a generator", ""),
        (BATCHED, "svc", ErrorCode.INVALID_MODEL, "takes a Batch", ""),
        ("async def handle(data, context):\n    raise OSError('no weights')", "svc", ErrorCode.LOAD_FAILED, "svc.py:2", ""),
        ("handle = 5", "svc", ErrorCode.INVALID_MODEL, "Expected only one class", ""),
    ],
)
def test_failed_load_says_what_where_and_what_to_do(
    model: WriteModel, source: str, handler: str, code: ErrorCode, words: str, hint: str
) -> None:
    """The answer names the exception and the place; the server logs it; the process ends with status 1."""
    status, outcome = run_worker(load_frame(model(source), handler))
    assert status == 1
    assert (outcome.loaded["ok"], outcome.loaded["code"]) == (False, code)
    assert words in outcome.loaded["message"]
    assert hint in outcome.loaded["hint"]
    assert "\n" not in outcome.loaded["message"]


def test_failed_load_points_to_the_line(model: WriteModel) -> None:
    """File and line of the handler are in the message, its frames alone in the detail."""
    folder = model("def load():\n    raise OSError('no weights')\ndef handle(data, context):\n    load()\n")
    loaded = load(folder).loaded
    assert loaded["message"] == f"The handler svc could not be loaded: OSError: no weights ({folder}/svc.py:2)"
    assert loaded["detail"].count("svc.py") == 2
    assert "loader.py" not in loaded["detail"]


BROKEN = """
class Fragile:
    ready = False
    def initialize(self, context):
        raise {0}("went wrong")
    def handle(self, data, context):
        return [str(self.ready)] * len(data)
"""


def test_initialize_that_raises_fails_the_load(model: WriteModel) -> None:
    """A model that is not ready does not serve."""
    loaded = load(model(BROKEN.format("RuntimeError"))).loaded
    assert (loaded["ok"], loaded["code"]) == (False, ErrorCode.LOAD_FAILED)
    assert "RuntimeError: went wrong" in loaded["message"]


@pytest.mark.parametrize("raised", ["RuntimeError", "MemoryError"])
def test_initialize_that_raises_is_swallowed_on_request(model: WriteModel, raised: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As the old server did: logged, and the model serves."""
    outcome = load(model(BROKEN.format(raised)), swallow_initialize_errors=True)
    assert outcome.loaded["ok"]
    assert outcome.answers[0].body == b"False"
    assert "went wrong" in capsys.readouterr().err


def test_system_exit_while_loading_ends_the_process(model: WriteModel) -> None:
    """It is not an error of ours to catch."""
    with pytest.raises(SystemExit):
        run_worker(load_frame(model("raise SystemExit(5)"), "svc"))


class OutOfMemoryError(RuntimeError):
    """Called as frameworks call theirs."""


@pytest.mark.parametrize(("error", "expected"), [
    (MemoryError(), True), (OSError(errno.ENOMEM, "no"), True), (OutOfMemoryError("x"), True), (RuntimeError("std::bad_alloc"), True),
    (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"), True),
    (ImportError("libx.so: failed to map segment from shared object: Cannot allocate memory"), True),
    (RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate"), True),
    (OSError(errno.ENOENT, "no"), False), (ValueError("out of memory"), False), (RuntimeError("shape"), False), (None, False),
])
def test_what_says_that_memory_was_short(error: BaseException | None, expected: bool) -> None:
    """Exceptions of Python, of the system and of frameworks, and only they."""
    assert is_out_of_memory(error) is expected


def test_a_cause_counts() -> None:
    """Toolkits wrap what they catch; a circle of causes ends."""
    outer, middle = ValueError("weights"), ValueError("layer")
    outer.__cause__, middle.__context__ = middle, MemoryError()
    assert is_out_of_memory(outer)
    middle.__context__ = outer
    assert not is_out_of_memory(outer)
