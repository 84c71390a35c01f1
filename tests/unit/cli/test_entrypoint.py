"""What a container runs as process 1."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from argosy.cli import daemon
from argosy.cli.entrypoint import SETTINGS, run, server_options, words

_COMMAND = "from argosy.cli.entrypoint import main; main()"


class Became(Exception):
    """The process would be another program now."""


def become(name: str, argv: list[str], environ: Mapping[str, str]) -> None:
    """Stands for the system's call, which does not return."""
    raise Became(name, *argv)


@pytest.mark.parametrize(("error", "status", "text"), [
    (FileNotFoundError(errno.ENOENT, "gone"), 127, "There is no command golden in this image; `serve` starts the model server.\n"),
    (PermissionError(errno.EACCES, "Permission denied"), 126, "golden cannot be run: Permission denied\n"),
    (OSError(errno.ENOEXEC, "Exec format error"), 126, "golden cannot be run: Exec format error\n"),
])
def test_what_cannot_be_run(tmp_path: Path, capfd: pytest.CaptureFixture[str], error: OSError, status: int, text: str) -> None:
    """A line says so, with the status that a shell has for it."""
    def refuse(name: str, argv: list[str], environ: Mapping[str, str]) -> None:
        raise error

    assert run(["golden"], {}, tmp_path, refuse) == status
    assert capfd.readouterr().out == text


def test_another_command(tmp_path: Path) -> None:
    """The process becomes it, with its arguments as they are."""
    with pytest.raises(Became) as became:
        run(["bash", "-c", "a b; c"], {}, tmp_path, become)
    assert became.value.args == ("bash", "bash", "-c", "a b; c")


@pytest.mark.parametrize(("argv", "command"), [
    ([], ["serve"]), (["serve"], ["serve"]), (["  "], ["serve"]), (["ls", "-l", "a b"], ["ls", "-l", "a b"]),
    (["ls -l 'a b'"], ["ls", "-l", "a b"]), (["cd / && ls"], ["/bin/sh", "-c", "cd / && ls"]), (["echo $HOME x"], ["/bin/sh", "-c", "echo $HOME x"]),
    (["echo 'open"], ["/bin/sh", "-c", "echo 'open"]), (["/with;mark"], ["/with;mark"]),
])
def test_lines(argv: list[str], command: list[str]) -> None:
    """One argument may be a whole line; a shell comes in only when it is needed."""
    assert words(argv) == command


@pytest.mark.parametrize(("command", "options"), [
    (["serve"], ["--start", "--foreground", "--mms-config", str(SETTINGS)]),
    (["serve", "--models", "a"], ["--start", "--foreground", "--mms-config", str(SETTINGS), "--models", "a"]),
    (["multi-model-server", "--start", "--models", "a"], ["--start", "--models", "a", "--foreground"]),
    (["/usr/local/bin/mxnet-model-server"], ["--foreground"]),
    (["bash"], None), (["serve.sh"], None), (["argosy", "serve"], None),
])
def test_servers(command: list[str], options: list[str] | None) -> None:
    """The server stays in the foreground, whichever command starts it."""
    assert server_options(command) == options


def test_refused_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The checks of `multi-model-server` hold; the container ends with their status."""
    assert run(["multi-model-server", "--model-store", "/no/such"], {"TMPDIR": str(tmp_path)}, tmp_path, become) == 1
    assert capfd.readouterr().out == "--model-store directory not found: /no/such\n"


def test_a_pid_of_a_former_life(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A container that was killed and started again has a file with the number of process 1, which this one is too; it does not hinder."""
    daemon.pid_file({"TMPDIR": str(tmp_path)}, tmp_path).write_text("1")
    assert run(["multi-model-server", "--model-store", "/no/such"], {"TMPDIR": str(tmp_path)}, tmp_path, become) == 1
    assert "Removing orphan pid file." in capfd.readouterr().out


def test_the_process_becomes_the_command() -> None:
    """Nothing stays in between: the number of the process is that of the command."""
    with subprocess.Popen([sys.executable, "-c", _COMMAND, "sh", "-c", "echo $$"], stdout=subprocess.PIPE, text=True) as process:
        output, _ = process.communicate(timeout=30)
    assert (int(output), process.returncode) == (process.pid, 0)
