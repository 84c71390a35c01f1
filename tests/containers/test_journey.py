"""The journey of the PaddlePaddle example, from training to a deployed endpoint, with a real image and a real registry."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fakes.images import BASE, article_image, environment, podman

JOURNEY = Path(__file__).resolve().parents[2] / "examples" / "paddle_sentiment" / "journey"
PREDICTION = "b'Prediction : This is a Positive review'"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not os.environ.get("ARGOSY_PADDLE"), reason="ARGOSY_PADDLE does not say that 800 MB of PaddlePaddle may be installed"),
    pytest.mark.skipif(shutil.which("docker-registry") is None, reason="docker-registry is not installed"),
]


def test_the_whole_journey(tmp_path: Path) -> None:
    """The client gets the prediction from the endpoint on this machine, and again after the deployment; no container and no image is left."""
    article_image()
    tag = f"journey-{os.getpid()}"
    environ = {**environment(), "ARGOSY_PADDLE_WORK": str(tmp_path), "TMPDIR": str(tmp_path)}
    environ.setdefault("ARGOSY_PADDLE_VENV", sys.prefix)
    with (tmp_path / "output").open("w+") as out:
        done = subprocess.run([JOURNEY, "--size", "small", "--tag", tag], env=environ, stdout=out, stderr=out, check=False)
        out.seek(0)
        said = out.read()
    assert done.returncode == 0, said
    assert said.splitlines().count(PREDICTION) == 2
    assert "pushed by podman" in said
    assert "endpoint  sentiment: InService" in said
    assert "7 things were removed." in said
    left = podman("images", "--format", "{{.Repository}}:{{.Tag}}")
    assert tag not in left
    assert f"{BASE}-py3.11" in left
    assert tag not in podman("ps", "--all", "--format", "{{.Image}}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifacts", "model-store", "output"]
    assert not (tmp_path / "artifacts" / "images-made").exists()
