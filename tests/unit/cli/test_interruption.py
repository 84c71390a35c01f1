"""Signals that come before a server listens to them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from argosy.cli import serve, server_process
from argosy.cli.banner import Run
from argosy.cli.interruption import interruptible, stoppable
from argosy.testing.commands import FakeServer


@pytest.fixture(autouse=True)
def default_signals() -> Iterator[None]:
    """Signals as they are in a fresh process; each test leaves them so."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        assert signal.signal(number, handler) is signal.SIG_DFL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_was_begun_is_undone(number: int) -> None:
    """The block is unwound, with the status that a shell gives for the signal."""
    undo, undone = ExitStack(), list[int]()
    undo.callback(undone.append, number)
    with pytest.raises(SystemExit) as left, interruptible(), undo:
        os.kill(os.getpid(), number)
    assert (left.value.code, undone) == (128 + number, [number])


def test_what_somebody_else_decided_stays() -> None:
    """`nohup` ignores SIGHUP: a server under it must go on doing so."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interruptible():
        os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert signal.signal(signal.SIGHUP, signal.SIG_DFL) is signal.SIG_IGN


def test_ctrl_c_is_no_failure_to_explain() -> None:
    """Status 130, without a traceback."""
    with pytest.raises(SystemExit) as left, stoppable():
        os.kill(os.getpid(), signal.SIGINT)
    assert left.value.code == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_server_that_is_stopped_while_it_starts_leaves_nothing(tmp_path: Path, number: int) -> None:
    """No folder of models, no pid file; whatever the moment before it listens to signals itself."""
    (tmp_path / "hello.py").write_text("def predict(text: str) -> str:\n    return text\n")
    seen: list[list[str]] = []

    def server() -> Run:
        seen.append(sorted(path.name for path in tmp_path.iterdir()))
        os.kill(os.getpid(), number)
        return FakeServer()

    environ = {"TMPDIR": str(tmp_path)}
    with pytest.raises(SystemExit) as left:
        serve.serve(["hello.py"], {}, environ, tmp_path, config_file=None, server=server)
    assert left.value.code == 128 + number
    running = FakeServer(while_running=lambda: os.kill(os.getpid(), number))
    with pytest.raises(SystemExit) as left:
        server_process.serve([], environ, tmp_path, lambda: running)
    assert left.value.code == 128 + number
    assert running.config is not None
    assert any(name.startswith("argosy-serve-") for name in seen[0])
    assert [path.name for path in tmp_path.iterdir()] == ["hello.py"]
