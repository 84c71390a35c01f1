"""The base image can be made again."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from fakes.images import DEBIAN, environment, podman

ROOT = Path(__file__).resolve().parents[2]


def layers(image: str) -> list[str]:
    """The digests of an image's layers."""
    found: list[str] = json.loads(podman("image", "inspect", "--format", "{{json .RootFS.Layers}}", image))
    return found


def build(tag: str, *options: str) -> None:
    """The image for a GPU, as far as it can be built without CUDA."""
    command = [str(ROOT / "docker/build"), "--tool", "podman", "--gpu", "--python", "3.11", "--base", DEBIAN, "--tag", tag, "--", "--quiet", *options]
    done = subprocess.run(command, env={**environment(), "SOURCE_DATE_EPOCH": "0"}, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_same_layers() -> None:
    """A build from nothing, minutes after another one, gives every layer byte for byte; the image for a GPU is the other one with settings."""
    first, again = (f"argosy-test-{word}-{os.getpid()}" for word in ("first", "again"))
    try:
        # the steps of the base image come from the cache
        build(first)
        build(again, "--no-cache")
        assert layers(again) == layers(first)
        settings = json.loads(podman("image", "inspect", "--format", "{{json .Config.Env}}", again))
        assert {"NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"} <= set(settings)
        assert "argosy" in podman("run", "--rm", again, "argosy", "version")
    finally:
        podman("rmi", "--force", "--ignore", first, again)
