"""The process that `multi-model-server` starts, with a stand-in for the server."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from argosy.cli import daemon, server_process
from argosy.cli.banner import Run, load_server
from argosy.config import Target
from argosy.errors import ArgosyError, ErrorCode
from argosy.server import run
from argosy.testing.commands import FakeServer


def serve(folder: Path, server: FakeServer, *argv: str, **env: str) -> int:
    """The exit status of a server process started in the folder."""
    return server_process.serve(list(argv), {"TMPDIR": str(folder), **env}, folder, lambda: server)


def test_a_bad_configuration_ends_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One line on standard output, status 1, no pid file."""
    (tmp_path / "config.properties").write_text("job_queue_size=x\n")
    assert serve(tmp_path, FakeServer()) == 1
    assert capfd.readouterr().out.startswith('Invalid configuration: For input string: "x"')
    assert not (tmp_path / ".model_server.pid").exists()


def test_a_failure_repeats_no_control_characters(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither of the configuration nor of what failed later."""
    (tmp_path / "config.properties").write_text("error_detail=\x1b[2J\\n\n")
    assert serve(tmp_path, FakeServer()) == 1
    (tmp_path / "config.properties").unlink()
    assert serve(tmp_path, FakeServer(error=ArgosyError(ErrorCode.INTERNAL, "file \x1b[2J is gone"))) == 1
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all("\\x1b[2J" in line and line.isprintable() for line in lines)


@pytest.mark.parametrize(("code", "text"), [
    (ErrorCode.INVALID_CONFIG, "Invalid configuration: port taken"), (ErrorCode.INTERNAL, "Model server cannot start: port taken"),
])
def test_a_server_that_cannot_start(tmp_path: Path, capfd: pytest.CaptureFixture[str], code: ErrorCode, text: str) -> None:
    """The pid file goes again; probable mistakes are told, since they may be the reason."""
    (tmp_path / "config.properties").write_text("port=1\n")
    assert serve(tmp_path, FakeServer(error=ArgosyError(code, "port taken"))) == 1
    shown = capfd.readouterr().out
    assert text in shown
    assert "Warning: unknown setting port" in shown
    assert not (tmp_path / ".model_server.pid").exists()


def test_two_starts_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The second finds the pid file of the first and does not touch it."""
    (tmp_path / ".model_server.pid").write_text("1")
    server = FakeServer()
    assert serve(tmp_path, server) == 1
    assert "another server" in capfd.readouterr().out
    assert (tmp_path / ".model_server.pid").read_text() == "1"
    assert server.config is None


def test_a_folder_without_room_for_the_pid_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The reason is told."""
    assert server_process.serve([], {"TMPDIR": "/proc"}, tmp_path, FakeServer) == 1
    assert "Cannot write the pid file /proc/.model_server.pid" in capfd.readouterr().out


def test_a_start(tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """The flags reach the configuration; `Model server started.` is a line of its own; the exit status is the server's."""
    (tmp_path / "my.properties").write_text("job_queue_size=7\nload_models=z\nvmargs=x\njob_queue=1\n")
    seen = []

    def while_running() -> None:
        seen.append((tmp_path / ".model_server.pid").read_text())

    caplog.set_level(logging.INFO)
    server = FakeServer(result=3, while_running=while_running)
    assert serve(tmp_path, server, "--python", "p", "-f", "my.properties", "-s", str(tmp_path), "-m", "a", "b=c") == 3
    assert server.config is not None
    assert (server.config.job_queue_size, server.config.model_store) == (7, tmp_path)
    assert server.config.start_targets == (Target(None, "a"), Target("b", "c"))
    assert server.targets == []
    assert seen == [str(os.getpid())]
    assert not (tmp_path / ".model_server.pid").exists()
    assert capfd.readouterr().out == "Model server started.\n"
    report, warning, *notes = caplog.messages
    assert f"Model Store: {tmp_path}" in report
    assert "Initial Models: a,b=c" in report
    assert warning.startswith("unknown setting job_queue ")
    assert notes[0].startswith("response timeout")


def test_the_launcher_is_told(tmp_path: Path) -> None:
    """Through the descriptor that it named."""
    reader, writer = os.pipe()
    assert serve(tmp_path, FakeServer(), **{daemon.READY_FD: str(writer)}) == 0
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"1"


def test_the_server_fits() -> None:
    """The real one is called as the stand-in is."""
    real: Run = run
    assert load_server() is real
