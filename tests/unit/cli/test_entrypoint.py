"""What a container runs as process 1."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from argosy.cli import daemon
from argosy.cli.entrypoint import run, words

_COMMAND = "from argosy.cli.entrypoint import main; main()"


class Became(Exception):
    """The process would be another program now."""


def become(name: str, argv: list[str], environ: Mapping[str, str]) -> None:
    """Stands for the system's call, which does not return."""
    raise Became(name, *argv)


def no_server(options: Sequence[str]) -> int:
    """Stands where none may be started."""
    raise AssertionError(options)


@pytest.mark.parametrize(("error", "status", "text"), [
    (FileNotFoundError(errno.ENOENT, "gone"), 127, "There is no command golden in this image; `serve` starts the model server.\n"),
    (PermissionError(errno.EACCES, "Permission denied"), 126, "golden cannot be run: Permission denied\n"),
    (OSError(errno.ENOEXEC, "Exec format error"), 126, "golden cannot be run: Exec format error\n"),
])
def test_what_cannot_be_run(tmp_path: Path, capfd: pytest.CaptureFixture[str], error: OSError, status: int, text: str) -> None:
    """A line says so, with the status that a shell has for it."""
    def refuse(name: str, argv: list[str], environ: Mapping[str, str]) -> None:
        raise error

    assert run(["golden"], {}, tmp_path, no_server, refuse) == status
    assert capfd.readouterr().out == text


def test_another_command(tmp_path: Path) -> None:
    """The process becomes it, with its arguments as they are."""
    with pytest.raises(Became) as became:
        run(["bash", "-c", "a b; c"], {}, tmp_path, no_server, become)
    assert became.value.args == ("bash", "bash", "-c", "a b; c")


@pytest.mark.parametrize(("argv", "command"), [
    ([], ["serve"]), (["serve"], ["serve"]), (["  "], ["serve"]), (["ls", "-l", "a b"], ["ls", "-l", "a b"]),
    (["ls -l 'a b'"], ["ls", "-l", "a b"]), (["cd / && ls"], ["/bin/sh", "-c", "cd / && ls"]), (["echo $HOME x"], ["/bin/sh", "-c", "echo $HOME x"]),
    (["echo 'open"], ["/bin/sh", "-c", "echo 'open"]), (["/with;mark"], ["/with;mark"]),
])
def test_lines(argv: list[str], command: list[str]) -> None:
    """One argument may be a whole line; a shell comes in only when it is needed."""
    assert words(argv) == command


@pytest.mark.parametrize(("argv", "options"), [([], []), (["serve"], []), (["serve", "--workers", "2"], ["--workers", "2"]), (["serve -h"], ["-h"])])
def test_serve(tmp_path: Path, argv: list[str], options: list[str]) -> None:
    """The server runs in this process, with the options behind the word; its status is the container's."""
    seen: list[str] = []

    def serve(given: Sequence[str]) -> int:
        seen.extend(given)
        return 7

    assert run(argv, {}, tmp_path, serve, become) == 7
    assert seen == options


def test_wrong_options() -> None:
    """They are told as `argosy serve` tells them, with its status."""
    done = subprocess.run([sys.executable, "-c", _COMMAND, "serve", "--golden"], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert "No such option '--golden'" in done.stderr


@pytest.mark.parametrize("command", ["multi-model-server", "/usr/local/bin/mxnet-model-server"])
def test_refused_start(tmp_path: Path, capfd: pytest.CaptureFixture[str], command: str) -> None:
    """The checks of the old commands hold; the container ends with their status."""
    assert run([command, "--model-store", "/no/such"], {"TMPDIR": str(tmp_path)}, tmp_path, no_server, become) == 1
    assert capfd.readouterr().out == "--model-store directory not found: /no/such\n"


def test_a_pid_of_a_former_life(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A container that was killed and started again has a file with the number of process 1, which this one is too; it does not hinder."""
    daemon.pid_file({"TMPDIR": str(tmp_path)}, tmp_path).write_text("1")
    assert run(["multi-model-server", "--model-store", "/no/such"], {"TMPDIR": str(tmp_path)}, tmp_path, no_server, become) == 1
    assert "Removing orphan pid file." in capfd.readouterr().out


def test_the_process_becomes_the_command() -> None:
    """Nothing stays in between: the number of the process is that of the command."""
    with subprocess.Popen([sys.executable, "-c", _COMMAND, "sh", "-c", "echo $$"], stdout=subprocess.PIPE, text=True) as process:
        output, _ = process.communicate(timeout=30)
    assert (int(output), process.returncode) == (process.pid, 0)
