"""Programs that build images, run for real; they are scripts of the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.docker.execution import build, probe
from argosy.docker.tool import Order, Tool
from argosy.errors import ArgosyError, ErrorCode


def script(folder: Path, name: str, text: str) -> None:
    """A program of that name, before all others on PATH."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_a_program_that_is_not_there(programs: Path) -> None:
    """Said in two words."""
    assert probe(["docker", "version"]) == "not installed"


def test_a_program_that_cannot_be_run(programs: Path) -> None:
    """The system's words."""
    (programs / "docker").write_text("text")
    assert probe([str(programs / "docker")]) == "Permission denied"


def test_a_program_that_fails(programs: Path) -> None:
    """The last line of what it says on standard error, else on standard output, else its status."""
    script(programs, "docker", "echo first >&2; echo second >&2; echo; exit 1")
    script(programs, "podman", "echo out; exit 1")
    script(programs, "buildah", "exit 3")
    assert [probe([name]) for name in ("docker", "podman", "buildah")] == ["second", "out", "status 3"]


def test_a_program_that_works(programs: Path) -> None:
    """No problem, whatever it prints."""
    script(programs, "docker", "echo warning >&2")
    assert probe(["docker", "version"]) == ""


def test_building(programs: Path, tmp_path: Path) -> None:
    """The program gets the command of the order, and what must be in its environment."""
    script(programs, "docker", f'echo "$BUILDX_NO_DEFAULT_ATTESTATIONS $*" > {tmp_path}/seen')
    order = Order(tmp_path, tmp_path / "Dockerfile", ["t:1"])
    build(Tool("docker"), order)
    assert (tmp_path / "seen").read_text() == "1 " + " ".join(Tool("docker").command(order)[1:]) + "\n"


def test_a_build_that_fails(programs: Path, tmp_path: Path) -> None:
    """The error names program, image and status; the reason is in the output."""
    script(programs, "podman", "exit 125")
    with pytest.raises(ArgosyError, match=r"podman could not build t:1 \(status 125\)") as failed:
        build(Tool("podman"), Order(tmp_path, tmp_path / "Dockerfile", ["t:1"]))
    assert failed.value.code is ErrorCode.INTERNAL


def test_a_builder_that_has_gone(programs: Path, tmp_path: Path) -> None:
    """It was there a moment ago."""
    with pytest.raises(ArgosyError, match="buildah cannot be run: No such file or directory"):
        build(Tool("buildah"), Order(tmp_path, tmp_path / "Dockerfile", ["t:1"]))
