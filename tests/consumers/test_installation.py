"""What `pip install` leaves on a machine: everything that the server needs. Looks into the environment that `ARGOSY_SAGEMAKER_TOOLKIT` names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import argosy

ENVIRONMENT = os.environ.get("ARGOSY_SAGEMAKER_TOOLKIT", "")
pytestmark = pytest.mark.skipif(not ENVIRONMENT, reason="ARGOSY_SAGEMAKER_TOOLKIT does not name the bin folder of an environment with Argosy")


def files(package: Path) -> set[str]:
    """The files of the package, without what running it makes."""
    return {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def run(*argv: str) -> str:
    """What a command of the environment prints."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ARGOSY_", "COV_"))}
    command = [str(Path(ENVIRONMENT) / argv[0]), *argv[1:]]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environ, cwd="/", timeout=60).stdout


def test_every_file_is_installed() -> None:
    """Code, settings for SageMaker, marker for type checkers: nothing stays behind when the package is built."""
    installed = Path(run("python", "-c", "import argosy; print(argosy.__file__)").strip()).parent
    assert files(installed) == files(Path(argosy.__file__).parent)


@pytest.mark.parametrize("command", ["argosy", "multi-model-server", "mxnet-model-server"])
def test_commands_are_installed(command: str) -> None:
    """Each says its version."""
    assert f"argosy {argosy.__version__}" in run(command, "--version")
