"""The pid file, and whom it may mean."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from argosy.cli import daemon

ENDS_ON_SIGTERM = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); print('up', flush=True); signal.pause()"
IGNORES_SIGTERM = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); sys.stdin.read()"
STARTS_ANOTHER = (
    "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', sys.argv[2]], stdin=0, stdout=subprocess.PIPE);"
    "child.stdout.readline(); print(child.pid, flush=True); sys.stdin.read()")


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A Python process that runs the code; it ends when its standard input does."""
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    """The next line that the process prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def finish(process: subprocess.Popen[str]) -> int:
    """End the process if it still runs; its exit status."""
    process.communicate()
    return process.returncode


@pytest.mark.parametrize(("data", "expected"), [(b"", 0), (b"12", 12), (b"12\n", 12), (b"-1", 0), (b"x", 0), (b"\xff", 0), (b"9" * 30, 0)])
def test_reading_a_pid_file(tmp_path: Path, data: bytes, expected: int) -> None:
    """Whatever is no pid is 0."""
    (tmp_path / "pid").write_bytes(data)
    assert daemon.read_pid(tmp_path / "pid") == expected


def test_a_claim_is_exclusive_and_leaves_nothing_else(tmp_path: Path) -> None:
    """The file has the decimal pid without a newline; only its owner releases it."""
    path = tmp_path / "pid"
    assert daemon.read_pid(path) is None
    assert daemon.claim(path)
    assert not daemon.claim(path)
    assert path.read_text() == str(os.getpid())
    assert [file.name for file in tmp_path.iterdir()] == ["pid"]
    daemon.release(path)
    assert not path.exists()
    path.write_text("1")
    daemon.release(path)
    assert path.exists()


def test_a_foreign_process_is_no_server() -> None:
    """Only the class name as an argument makes one; 0 and ended processes are none."""
    assert not daemon.is_server(os.getpid())
    assert not daemon.is_server(0)
    process = start("import sys; print('up', flush=True); sys.stdin.read()", daemon.CLASS_NAME)
    try:
        assert line(process) == "up"
        assert daemon.is_server(process.pid)
    finally:
        finish(process)
    assert not daemon.is_server(process.pid)


def test_stop_asks_first() -> None:
    """A server that ends by itself is not killed."""
    process = start(ENDS_ON_SIGTERM, daemon.CLASS_NAME)
    assert line(process) == "up"
    daemon.stop(process.pid, 30.0)
    assert finish(process) == 5


def test_stop_kills_what_does_not_end() -> None:
    """The server and whatever it started."""
    process = start(STARTS_ANOTHER, daemon.CLASS_NAME, IGNORES_SIGTERM)
    child = int(line(process))
    watched = os.pidfd_open(child)
    assert daemon.descendants(process.pid) == [child]
    try:
        daemon.stop(process.pid, 30.0)
        assert daemon.ended([watched], 30.0)
    finally:
        os.close(watched)
        finish(process)


def test_stop_leaves_a_foreign_process_alone() -> None:
    """A pid that was used again does not hit a stranger."""
    process = start("import sys; print('up', flush=True); sys.stdin.read()")
    assert line(process) == "up"
    daemon.stop(process.pid, 0.0)
    assert process.poll() is None
    assert finish(process) == 0


def test_a_background_start_that_fails_tells_its_status(tmp_path: Path) -> None:
    """At least 1, so that nobody takes it for a server."""
    assert daemon.start_background([sys.executable, "-c", "raise SystemExit(3)"], os.environ) == 3
    assert daemon.start_background([sys.executable, "-c", ""], os.environ) == 1


def test_a_background_start_returns_when_the_server_listens(tmp_path: Path) -> None:
    """The server goes on in a session of its own."""
    note = tmp_path / "note"
    os.mkfifo(note)
    code = (
        "import os, sys; from argosy.cli import daemon; daemon.tell_launcher(os.environ);"
        "open(sys.argv[1], 'w').write(f'{os.getpid()} {os.getsid(0)}')")
    assert daemon.start_background([sys.executable, "-c", code, str(note)], os.environ) == 0
    pid, session = note.read_text().split()
    assert pid == session


def test_telling_nobody() -> None:
    """Without a launcher, or with one that has gone, nothing happens."""
    daemon.tell_launcher({})
    daemon.tell_launcher({daemon.READY_FD: "x"})
    daemon.tell_launcher({daemon.READY_FD: "987654"})
