"""The project's own files: scripts can be run, packaging says what it should."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(path for path in [*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run"] if path.is_file())


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """The parsed pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_developer_interface_is_complete() -> None:
    """The scripts that the documents promise are there."""
    assert {"quickstart", "check", "test", "bench"} <= {path.name for path in SCRIPTS}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_script_is_executable_and_parses(path: Path) -> None:
    """A script can be run, names its interpreter, and says in its second line what it is for."""
    first, second = path.read_text().splitlines()[:2]
    assert os.access(path, os.X_OK)
    assert first.startswith("#!/usr/bin/env ")
    assert second.startswith(("# ", '"""'))
    if first.endswith("bash"):
        result = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr


def test_run_time_dependencies_stay_six(project: dict[str, Any]) -> None:
    """One more needs a decision on record."""
    names = {requirement.partition(">")[0] for requirement in project["project"]["dependencies"]}
    assert names == {"click", "httptools", "prometheus-client", "psutil", "python-multipart", "uvloop"}


def test_every_command_leads_to_a_function(project: dict[str, Any]) -> None:
    """The commands of the package exist: those of old, and the entry point of images."""
    commands = project["project"]["scripts"]
    assert set(commands) == {"argosy", "argosy-entrypoint", "model-archiver", "multi-model-server", "mxnet-model-server"}
    for target in commands.values():
        module, _, function = target.partition(":")
        code = f"import {module} as module; assert callable(module.{function})"
        subprocess.run([sys.executable, "-c", code], check=True)


def test_warnings_are_errors(project: dict[str, Any]) -> None:
    """A warning never passes unseen."""
    assert project["tool"]["pytest"]["ini_options"]["filterwarnings"][0] == "error"
    assert project["tool"]["mypy"]["strict"] is True


def test_generated_files_are_ignored() -> None:
    """What tools leave behind is never offered for a commit."""
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"__pycache__/", "/.venv/", "/build/", "/dist/", "*.egg-info/", ".mypy_cache/", ".pytest_cache/", ".ruff_cache/"} <= set(ignored)


@pytest.mark.slow
def test_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    """The wheel builds; it has the type marker and the licence, and no tests."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (wheel,) = tmp_path.glob("argosy-*-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "argosy/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"argosy"}
    assert not [name for name in names if "test_" in name or name.endswith(".pyc")]
