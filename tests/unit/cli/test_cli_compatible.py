"""`multi-model-server` before a server is started: checks, texts, exit statuses, their order."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from argosy import __version__
from argosy.cli import compatible, daemon


def environ(folder: Path, **more: str) -> dict[str, str]:
    """An environment whose temporary folder is the test's."""
    return {"TMPDIR": str(folder), **more}


def refused(folder: Path, capfd: pytest.CaptureFixture[str], *argv: str, env: Mapping[str, str] | None = None) -> str:
    """What is printed by a start that is refused with status 1."""
    assert compatible.launch(list(argv), {**environ(folder), **(env or {})}, folder) == 1
    return capfd.readouterr().out


def test_checks(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each prints one known line on standard output."""
    assert refused(tmp_path, capfd, "--log-config", "no.xml") == f"--log-config file not found: {tmp_path / 'no.xml'}\n"
    assert refused(tmp_path, capfd, env={"TEMP": "/no/such"}) == "Invalid temp directory: /no/such, please check TEMP environment variable.\n"
    assert refused(tmp_path, capfd, "--mms-config", "no.properties") == "--mms-config file not found: no.properties\n"
    assert refused(tmp_path, capfd, "--model-store", "/no/such") == "--model-store directory not found: /no/such\n"


def test_the_order_of_the_checks(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The first that fails is the only one that is told."""
    argv = ["--log-config", "no.xml", "--mms-config", "no.properties", "--model-store", "/no", "--models", "m"]
    assert refused(tmp_path, capfd, *argv, env={"TEMP": "/no"}).startswith("--log-config")
    assert refused(tmp_path, capfd, *argv[2:], env={"TEMP": "/no"}).startswith("Invalid temp")
    assert refused(tmp_path, capfd, *argv[2:]).startswith("--mms-config")
    assert refused(tmp_path, capfd, *argv[4:]).startswith("--model-store directory")
    assert refused(tmp_path, capfd, *argv[6:]).startswith("--model-store is required")


@pytest.mark.parametrize("models", [["m"], ["a=m"], ["http://h/m", "m"], ["all"], ["ALL", "m"], ["http:/h"]])
def test_local_models_need_a_store(tmp_path: Path, capfd: pytest.CaptureFixture[str], models: list[str]) -> None:
    """On the command line; only remote ones and exactly ALL do not."""
    assert refused(tmp_path, capfd, "--models", *models) == "--model-store is required to load model locally.\n"


def test_jvm_options_are_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The known warning, and that they are without effect."""
    (tmp_path / "config.properties").write_text("vmargs=-Xmx128m\n")
    text = refused(tmp_path, capfd, "--models", "m")
    assert text.startswith("Warning: MMS is using non-default JVM parameters: -Xmx128m")
    (tmp_path / "config.properties").write_text("vmargs=\x1b[2J\n")
    assert refused(tmp_path, capfd, "--models", "m").startswith("Warning: MMS is using non-default JVM parameters: \\x1b[2J")


@pytest.mark.parametrize(("argv", "words"), [
    (["--golden"], "unrecognized arguments: --golden"), (["--start", "--stop"], "not allowed with argument --start"),
])
def test_usage_errors(tmp_path: Path, capfd: pytest.CaptureFixture[str], argv: list[str], words: str) -> None:
    """Status 2 and a word on standard error."""
    with pytest.raises(SystemExit) as caught:
        compatible.launch(argv, environ(tmp_path), tmp_path)
    assert caught.value.code == 2
    assert words in capfd.readouterr().err


def test_version(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """New: the original refused the option."""
    with pytest.raises(SystemExit) as caught:
        compatible.launch(["--version"], environ(tmp_path), tmp_path)
    assert caught.value.code == 0
    assert capfd.readouterr().out == f"argosy {__version__}\n"


def test_stop_without_a_server(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """No pid file; a pid file of nobody; a pid file of a process that is no server, which is left alone."""
    assert compatible.launch(["--stop"], environ(tmp_path), tmp_path) == 0
    for text in ("999999", "", "rubbish", str(os.getpid())):
        (tmp_path / ".model_server.pid").write_text(text)
        assert compatible.launch(["--stop"], environ(tmp_path), tmp_path) == 0
        assert not (tmp_path / ".model_server.pid").exists()
    assert capfd.readouterr().out == "Model server is not currently running.\n" + "Model server already stopped.\n" * 4


def test_a_stale_pid_file_is_removed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """And the start goes on."""
    (tmp_path / ".model_server.pid").write_text(str(os.getpid()))
    assert refused(tmp_path, capfd, "--models", "m").startswith("Removing orphan pid file.\n--model-store is required")
    assert not (tmp_path / ".model_server.pid").exists()


def test_the_command_line_of_the_server() -> None:
    """The class name is one element of it, the models come last."""
    asked = compatible.parser().parse_args(["--mms-config", "f", "--model-store", "s", "--models", "a", "b=c"])
    command = compatible.server_command(asked)
    rest = ["--python", sys.executable, "-f", "f", "-s", "s", "-m", "a", "b=c"]
    assert command[command.index(daemon.CLASS_NAME) + 1:] == rest
    assert command.count(daemon.CLASS_NAME) == 1
    assert compatible.server_command(compatible.parser().parse_args([]))[-2:] == ["--python", sys.executable]


@pytest.mark.parametrize(("option", "says"), [
    ("--model-store", "--model-store directory not found: "), ("--log-config", "--log-config file not found: "),
    ("--mms-config", "--mms-config file not found: "),
])  # fmt: skip
def test_names_that_cannot_be(tmp_path: Path, capfd: pytest.CaptureFixture[str], option: str, says: str) -> None:
    """They are names of nothing, like those that nobody may look at."""
    assert refused(tmp_path, capfd, option, "x" * 300).startswith(says)
