"""The script that builds base images, and the lists of packages that go into them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import argosy

ROOT = Path(__file__).resolve().parents[3]


def build(*options: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """What the script does."""
    command = [sys.executable, str(ROOT / "docker/build"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environ}, timeout=60)


def test_no_program_to_build_with(tmp_path: Path) -> None:
    """Status 1, and one line that says so."""
    done = build(PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("docker/build: no image can be built here (docker: not installed; podman: not installed; buildah: not installed)")


def test_a_time_that_is_none() -> None:
    """Refused before anything is built."""
    done = build("--dry-run", SOURCE_DATE_EPOCH="yesterday")
    assert (done.returncode, done.stderr) == (1, "docker/build: SOURCE_DATE_EPOCH=yesterday is not a number of seconds since 1970\n")


def test_a_gpu_image_with_another_python() -> None:
    """Which CUDA image has it, only the caller knows."""
    done = build("--dry-run", "--gpu", "--python", "3.13")
    assert done.returncode == 1
    assert "name a CUDA image with Python 3.13 by --base" in done.stderr


@pytest.mark.parametrize(("options", "words"), [
    ([], ["--tag argosy:base-cpu-py3.11 --tag argosy:base-cpu ", "--target cpu", "BASE=debian:bookworm-slim", "PYTHON=3.11"]),
    (["--python", "3.13"], ["--tag argosy:base-cpu-py3.13 --target cpu", "BASE=python:3.13-slim-bookworm", "PYTHON=3.13"]),
    (["--gpu"], ["--tag argosy:base-gpu-py3.12 --tag argosy:base-gpu ", "--target gpu", "BASE=nvidia/cuda:12.6.3-runtime-ubuntu24", "PYTHON=3.12"]),
    (["--base", "mine", "--tag", "a:1", "--tag", "b"], ["--tag a:1 --tag b --target cpu", "BASE=mine"]),
    (["--", "--no-cache"], [f" --no-cache {ROOT}"]),
])
def test_commands(options: list[str], words: list[str]) -> None:
    """Base, Python, stage and names follow from the options; all files get one time."""
    line = build("--dry-run", "--tool", "buildah", *options, SOURCE_DATE_EPOCH="86400").stdout
    assert [word for word in (*words, "--timestamp 86400", f"VERSION={argosy.__version__}", "buildah build ") if word not in line] == []


def test_the_time_of_the_last_commit() -> None:
    """It is the time of all files unless another one is given."""
    environ = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    done = subprocess.run([ROOT / "docker/build", "--dry-run"], env=environ, capture_output=True, text=True, check=True)
    assert re.search(r"SOURCE_DATE_EPOCH=\d+", done.stdout)


def pinned(name: str) -> dict[str, str]:
    """The versions in one of the lists; each entry has hashes."""
    text = (ROOT / "docker" / name).read_text()
    entries = re.findall(r"^([a-z0-9-]+)==(\S+)[^\n]*\\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(entries) == len(re.findall(r"^\w", text, re.MULTILINE))
    return dict(entries)


@pytest.mark.parametrize(("table", "key", "name"), [
    ("project", "dependencies", "requirements.txt"), ("build-system", "requires", "requirements-build.txt"),
])
def test_pinned_packages(table: str, key: str, name: str) -> None:
    """What the package needs is in the list, in a version that it accepts."""
    versions = pinned(name)
    wanted = [Requirement(text) for text in tomllib.loads((ROOT / "pyproject.toml").read_text())[table][key]]
    assert [str(one) for one in wanted if not one.specifier.contains(versions.get(one.name, ""))] == []
