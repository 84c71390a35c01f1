"""The two commands that pack models."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from argosy.cli.archive import archive_command, model_archiver

WANTED = ["--model-name", "m", "--model-path", "model", "--handler", "service:handle", "--export-path", "out"]
PROGRAM = [sys.executable, "-c", "from argosy.cli.archive import model_archiver; model_archiver()"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model and an export folder."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "service.py").write_text("def handle(data, context):\n    return data\n")
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of `model-archiver`."""
    try:
        model_archiver(arguments)
        status: object = 0
    except SystemExit as leaving:
        status = leaving.code
    output = capsys.readouterr()
    assert isinstance(status, int)
    return status, output.out, output.err


def changed(name: str, value: str) -> list[str]:
    """The wanted arguments with one of them changed."""
    at = WANTED.index(name)
    return [*WANTED[: at + 1], value, *WANTED[at + 2 :]]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "--model-name",
            "bad name",
            "Model name contains special characters.\nThe allowed regular expression filter for model name is: ^[A-Za-z0-9][A-Za-z0-9_\\-.]*$",
        ),
        ("--model-path", "nope", "Given model-path nope is not a valid directory. Point to a valid model-path directory."),
        ("--export-path", "nope", "Given export-path nope is not a directory. Point to a valid export-path directory."),
    ],
)
def test_a_refusal_is_one_error_and_status_1(capsys: pytest.CaptureFixture[str], name: str, value: str, message: str) -> None:
    """In the words and on the stream that scripts know."""
    assert run(capsys, *changed(name, value)) == (1, "", f"ERROR - {message}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: --model-name, --model-path, --handler"),
        ([*WANTED, "--runtime", "ruby"], "argument --runtime: invalid choice: 'ruby'"),
        ([*WANTED, "--archive-format", "zip"], "argument --archive-format: invalid choice: 'zip'"),
        ([*WANTED, "--version"], "unrecognized arguments: --version"),
    ],
)
def test_wrong_usage_is_status_2(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    """As every command-line tool has it."""
    status, _, error = run(capsys, *arguments)
    assert status == 2
    assert message in error


def test_an_existing_archive_is_kept_and_named(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    """The message tells which file is in the way and which option replaces it."""
    (here / "out" / "m.mar").write_text("mine")
    status, _, error = run(capsys, *WANTED)
    assert status == 1
    assert error.startswith("ERROR - out/m.mar already exists.\nPlease specify --force/-f option to overwrite")
    assert (here / "out" / "m.mar").read_text() == "mine"


@pytest.mark.parametrize("option", ["-f", "--force"])
def test_force_replaces_and_says_so(capsys: pytest.CaptureFixture[str], here: Path, option: str) -> None:
    """A warning, not a failure."""
    (here / "out" / "m.mar").write_text("mine")
    assert run(capsys, *WANTED, option) == (0, "", "WARNING - Overwriting out/m.mar ...\n")
    assert zipfile.is_zipfile(here / "out" / "m.mar")


def test_several_onnx_files_stop_a_conversion(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    """Before anything is written."""
    for name in ("x.onnx", "y.onnx"):
        (here / "model" / name).touch()
    status, _, error = run(capsys, *WANTED, "-c")
    assert status == 1
    assert "expects only one .onnx file" in error
    assert list((here / "out").iterdir()) == []


@pytest.mark.parametrize(("form", "name"), [("default", "m.mar"), ("tgz", "m.tar.gz"), ("no-archive", "m")])
def test_success_is_silent(capsys: pytest.CaptureFixture[str], here: Path, form: str, name: str) -> None:
    """Each format under its name."""
    assert run(capsys, *WANTED, "--archive-format", form) == (0, "", "")
    assert [path.name for path in (here / "out").iterdir()] == [name]


def test_the_current_folder_is_the_default_export_path(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    """And the manifest says what was asked for."""
    assert run(capsys, *WANTED[:6], "--runtime", "python3")[0] == 0
    manifest = json.loads(zipfile.ZipFile(here / "m.mar").read("MAR-INF/MANIFEST.json"))
    assert (manifest["runtime"], manifest["model"]) == ("python3", {"modelName": "m", "handler": "service:handle"})


def test_the_newer_command_tells_what_it_did(here: Path) -> None:
    """How many files, where, how large."""
    result = CliRunner().invoke(archive_command, WANTED)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("Packed 2 files into out/m.mar (0.0 MB).")
    result = CliRunner().invoke(archive_command, [*WANTED, "--archive-format", "no-archive"])
    assert result.stdout == "Packed 2 files into out/m.\n"


@pytest.mark.parametrize(("name", "value", "reason"), [
    ("--handler", "/etc/evil:run", "Handler '/etc/evil:run' is not inside the model folder"),
    ("--handler", "../service.py:handle", "is not inside the model folder"),
    ("--handler", "h" * 1025, "is 1025 characters long"),
    ("--handler", "any thing", "The handler 'any thing' names no module"),
    ("--handler", "", "The handler '' names no module"),
    ("--model-name", "m" * 129, "is not allowed: use letters"),
])  # fmt: skip
def test_what_the_server_will_refuse_is_packed_with_its_reason(capsys: pytest.CaptureFixture[str], name: str, value: str, reason: str) -> None:
    """Scripts get the archive that they always got; people read the server's own words before they upload it."""
    status, out, err = run(capsys, *changed(name, value))
    assert (status, out) == (0, "")
    assert err.startswith("WARNING - The server will refuse this model: ")
    assert reason in err
    assert err.count("\n") == 1
    result = CliRunner().invoke(archive_command, [*changed(name, value), "--force"])
    assert result.exit_code == 0
    assert f"Warning: {err.removeprefix('WARNING - ')}" in result.stderr


def test_the_newer_command_warns_of_python2(capsys: pytest.CaptureFixture[str]) -> None:
    """The older one is silent, as it always was."""
    assert run(capsys, *WANTED, "--runtime", "python2") == (0, "", "")
    result = CliRunner().invoke(archive_command, [*WANTED, "--runtime", "python2", "--force"])
    assert result.exit_code == 0
    assert "Warning: The server will refuse this model: Model m asks for runtime python2, which is not supported." in result.stderr


def test_the_newer_command_warns_of_a_handler_that_is_not_there() -> None:
    """The commonest mistake is seen when packing, not when serving."""
    result = CliRunner().invoke(archive_command, changed("--handler", "servise:handle"))
    assert result.exit_code == 0
    assert "there is no servise.py in model" in result.stderr


def test_the_newer_command_refuses_with_status_1() -> None:
    """With the same words."""
    result = CliRunner().invoke(archive_command, changed("--model-path", "nope"))
    assert result.exit_code == 1
    assert "Given model-path nope is not a valid directory" in result.stderr


@pytest.mark.parametrize("form", ["default", "tgz", "no-archive"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_in_the_middle_leaves_nothing_half_written(here: Path, form: str, number: int, status: int) -> None:
    """A large folder is being packed, as the bar shows, when the signal comes: the half-written file goes away, the status says why."""
    with (here / "model" / "weights.bin").open("wb") as weights:
        weights.truncate(4 << 30)
    reader, writer = pty.openpty()
    with subprocess.Popen([*PROGRAM, *WANTED, "--archive-format", form], stderr=writer) as packing:
        shown = b""
        while re.search(rb" [1-9]\d?%", shown) is None:
            shown += os.read(reader, 4096)
        assert len(list((here / "out").iterdir())) == 1
        packing.send_signal(number)
        packing.wait()
    os.close(reader)
    os.close(writer)
    assert packing.returncode == status
    assert list((here / "out").iterdir()) == []


def test_packing_needs_no_memory_for_the_size_of_the_model(here: Path) -> None:
    """A process that may use 60 MB packs 300."""
    with (here / "model" / "weights.bin").open("wb") as weights:
        weights.truncate(300 << 20)
    bounded = f"import resource; resource.setrlimit(resource.RLIMIT_DATA, (60 << 20,) * 2); {PROGRAM[2]}"
    for form in ("default", "tgz", "no-archive"):
        subprocess.run([sys.executable, "-c", bounded, *WANTED, "--archive-format", form], check=True)
    assert (here / "out" / "m" / "weights.bin").stat().st_size == 300 << 20


def test_a_terminal_sees_a_bar(here: Path) -> None:
    """And only a terminal does."""
    reader, writer = pty.openpty()
    subprocess.run([*PROGRAM, *WANTED], stderr=writer, check=True)
    os.close(writer)
    assert b"Packing" in os.read(reader, 1 << 16)
    os.close(reader)
