"""`argosy docker`: Dockerfiles written, programs called; the programs are scripts of the test."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from argosy.cli.archive import Order, carry_out
from argosy.cli.main import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a handler in the folder `words`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words").mkdir()
    (tmp_path / "words/handler.py").write_text("def predict(text: str) -> int:\n    return len(text.split())\n")
    (tmp_path / "words/requirements.txt").write_text("six\n")
    return tmp_path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first folder of PATH; in it docker has no engine and podman notes what it is told. There is no buildah."""
    made = tmp_path / "bin"
    made.mkdir()
    script(made, "docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    note = f'[ "$1" = info ] || {{ echo "$@" >{tmp_path}/told; cp "$3" {tmp_path}/built; [ ! -e "$7" ] || cp "$7" {tmp_path}/ignored; }}'
    script(made, "podman", note)
    monkeypatch.setenv("PATH", f"{made}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return made


def script(folder: Path, name: str, text: str) -> None:
    """A program of that name."""
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def run(*argv: str) -> Result:
    """What the command does."""
    return CliRunner().invoke(main, ["docker", *argv])


def packed(folder: Path) -> str:
    """An archive of the handler; its path."""
    return carry_out(Order("words", str(folder / "words"), "handler:predict", export_path=str(folder)), print).target


@pytest.mark.parametrize(("argv", "text"), [
    (["build", "none"], "there is no none in"),
    (["init", "words", "--base", "b", "--gpu"], "--base and --gpu both name an image to start from"),
    (["init", "words", "--output", "o"], "--output is for archives"),
    (["init", "words", "--force", "--golden"], "No such option"),
])
def test_refusals(folder: Path, programs: Path, argv: list[str], text: str) -> None:
    """One line says what is wrong; nothing is written and nothing built."""
    result = run(*argv)
    assert result.exit_code in (1, 2)
    assert text in result.output
    assert sorted(path.name for path in (folder / "words").iterdir()) == ["handler.py", "requirements.txt"]
    assert not (folder / "told").exists()


def test_no_program(folder: Path, programs: Path) -> None:
    """Each is named with its reason, before any archive is unpacked."""
    (programs / "podman").unlink()
    script(programs, "podman", "echo 'no space' >&2; exit 125")
    result = run("build", "words", "--tool", "podman")
    assert result.exit_code == 1
    assert "no image can be built here (podman: no space)" in result.output


def test_a_build_that_fails(folder: Path, programs: Path) -> None:
    """Status 1, and nothing stays behind."""
    script(programs, "podman", '[ "$1" = info ] || exit 4')
    result = run("build", "words")
    assert result.exit_code == 1
    assert "podman could not build words (status 4)" in result.output
    assert not (folder / "words/Dockerfile").exists()


def test_init(folder: Path) -> None:
    """Two files in the folder, and what to do next; a second time only by force."""
    assert run("init", "words").output == "words/Dockerfile is written; next: argosy docker build words\n"
    text = (folder / "words/Dockerfile").read_text()
    assert text.startswith("# Serves the model words")
    assert "FROM argosy:base-cpu\n" in text
    assert 'MMS_DEFAULT_SERVICE_HANDLER="handler:predict"' in text
    assert (folder / "words/.dockerignore").exists()
    again = run("init", "words", "--gpu")
    assert (again.exit_code, (folder / "words/Dockerfile").read_text()) == (1, text)
    assert run("init", "words", "--gpu", "--force").exit_code == 0
    assert "FROM argosy:base-gpu\n" in (folder / "words/Dockerfile").read_text()


def test_init_in_the_current_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is called like the folder."""
    monkeypatch.chdir(folder / "words")
    assert run("init", "handler.py:predict", "--base", "mine:1").output.startswith("Dockerfile is written")
    first, second, *_ = (folder / "words/Dockerfile").read_text().splitlines()
    assert first.startswith("# Serves the model words: ")
    assert second == "FROM mine:1"


def test_init_of_an_archive(folder: Path) -> None:
    """It becomes a folder with everything in it; one that exists is left alone."""
    archive = packed(folder)
    assert run("init", archive, "--output", "image").output == "image/Dockerfile is written; next: argosy docker build image\n"
    assert sorted(path.name for path in (folder / "image").iterdir()) == [".dockerignore", "Dockerfile", "MAR-INF", "handler.py", "requirements.txt"]
    assert "MMS_DEFAULT_SERVICE_HANDLER" not in (folder / "image/Dockerfile").read_text()
    refused = run("init", archive)
    assert refused.exit_code == 1
    assert "words exists already: name another folder with --output" in refused.output
    assert not (folder / "words/Dockerfile").exists()
    assert not list(folder.glob("argosy-image-*"))


def test_build(folder: Path, programs: Path) -> None:
    """With the first program that works, from a Dockerfile that is gone afterwards."""
    result = run("build", "words", "--", "--no-cache")
    assert result.output == "words is built; next: podman run --rm -p 8080:8080 words\n"
    told = (folder / "told").read_text().split()
    assert told[-4:] == ["--tag", "words", "--no-cache", str(folder / "words")]
    assert (folder / "built").read_text().startswith("# Serves the model words")
    assert ".git" in (folder / "ignored").read_text().split()
    assert not Path(told[2]).exists()
    assert not (folder / "words/Dockerfile").exists()


def test_build_with_a_dockerfile(folder: Path, programs: Path) -> None:
    """It is used as it is; what it starts from cannot be said another time."""
    run("init", "words")
    assert run("build", "words", "--tag", "a:1", "--tag", "b").exit_code == 0
    assert (folder / "told").read_text() == f"build --file {folder}/words/Dockerfile --format docker --tag a:1 --tag b {folder}/words\n"
    result = run("build", "words", "--gpu")
    assert result.exit_code == 1
    assert "says itself what it starts from" in result.output


def test_build_of_an_archive(folder: Path, programs: Path) -> None:
    """It is unpacked for the time of the build."""
    assert run("build", packed(folder)).exit_code == 0
    told = (folder / "told").read_text().split()
    assert not Path(told[-1]).exists()
    assert "COPY requirements.txt" in (folder / "built").read_text()


@pytest.mark.parametrize("tool", ["docker", "podman", "buildah"])
def test_dry_run(folder: Path, programs: Path, tool: str) -> None:
    """The Dockerfile and the command, for a program that need not be there; nothing is called."""
    result = run("build", "words", "--dry-run", "--tool", tool)
    assert result.exit_code == 0
    assert "FROM argosy:base-cpu\n" in result.output
    assert result.output.splitlines()[-1].endswith(f" --tag words {folder}/words")
    assert f"{tool} build --file " in result.output
    assert not (folder / "told").exists()


def test_bill(folder: Path) -> None:
    """On standard output or in a file; the time is that of SOURCE_DATE_EPOCH, and only a number is one."""
    printed = CliRunner(env={"SOURCE_DATE_EPOCH": "86400"}).invoke(main, ["docker", "sbom"])
    bill = json.loads(printed.output)
    assert bill["metadata"]["timestamp"] == "1970-01-02T00:00:00Z"
    assert "pkg:pypi/click" in {component["purl"].partition("@")[0] for component in bill["components"]}
    written = CliRunner(env={"SOURCE_DATE_EPOCH": "86400"}).invoke(main, ["docker", "sbom", "--output", "bill.json"])
    assert (written.exit_code, (folder / "bill.json").read_text()) == (0, printed.output)
    for wrong in ("today", "9" * 30, "\u00b2", "-1"):
        refused = CliRunner(env={"SOURCE_DATE_EPOCH": wrong}).invoke(main, ["docker", "sbom"])
        assert (refused.exit_code, refused.output) == (1, f"argosy: SOURCE_DATE_EPOCH={wrong} is not a number of seconds since 1970\n")
    assert "cannot write none/bill.json: No such file" in CliRunner().invoke(main, ["docker", "sbom", "--output", "none/bill.json"]).output
