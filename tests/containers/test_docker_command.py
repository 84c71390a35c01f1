"""`argosy docker` builds images for real, and what it builds serves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from containers.conftest import Start
from fakes.images import environment, podman

HANDLER = '''
"""Counts words, and says where a package of the image is."""
import iniconfig

def predict(text: str) -> dict:
    return {"words": len(text.split()), "package": iniconfig.__file__}
'''


def argosy(*argv: str | Path) -> str:
    """What the command prints."""
    done = subprocess.run(
        [Path(sys.executable).parent / "argosy", *argv], env=environment(), capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a handler and what it needs."""
    folder = tmp_path / "counter"
    folder.mkdir()
    (folder / "handler.py").write_text(HANDLER)
    (folder / "requirements.txt").write_text("iniconfig==2.0.0\n")
    (folder / "table.csv").write_text("1,2")
    (folder / ".env").write_text("TOKEN=x")
    return folder


@pytest.mark.parametrize(("form", "tool"), [("folder", "podman"), ("folder", "buildah"), ("archive", "podman"), ("written", "podman")])
def test_from_handler_to_container(start: Start, model: Path, tmp_path: Path, form: str, tool: str) -> None:
    """Folder, archive, or folder with the Dockerfile written: the container serves the model under its name, whoever it runs as."""
    target = model
    if form == "archive":
        argosy("archive", "--model-name", "counter", "--model-path", model, "--handler", "handler:predict", "--export-path", tmp_path)
        target = tmp_path / "counter.mar"
    if form == "written":
        argosy("docker", "init", model)
    tag = f"argosy-test-{form}-{tool}"
    try:
        assert f"{tag} is built" in argosy("docker", "build", target, "--tag", tag, "--tool", tool)
        container = start(image=f"localhost/{tag}", volumes={}, options=["--user", "4242"])
        container.wait_until_healthy()
        answer = json.loads(container.ask("POST", "/predictions/counter", "a b c", "text/plain").body)
        assert answer["words"] == 3
        assert "iniconfig" in podman("run", "--rm", tag, "grep", "iniconfig", "/usr/share/argosy/sbom.cdx.json")
        kept = podman("run", "--rm", tag, "ls", "-A", "/opt/argosy/models/counter").split()
        assert {"handler.py", "table.csv"} <= set(kept)
        assert {".env", "Dockerfile"} & set(kept) == set()
    finally:
        podman("rmi", "--force", "--ignore", tag)
