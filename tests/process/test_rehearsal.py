"""An archive is tried on this machine: in a process, and in a container where images are there; what fails says why, and nothing is left."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy.artifact import prepared
from argosy.sagemaker.deploy.images import Commands, Containers, find_image
from argosy.sagemaker.deploy.rehearsal import Rehearsal, Sample
from argosy.sagemaker.deploy.step import Action
from argosy.store import archive, manifest
from fakes import images
from fakes.account import packed

TRY = Action("try", "")


def tried(path: Path, sample: Sample | None = None, image: str = "", timeout_s: float = 60.0, **environment: str) -> None:
    """Try an archive."""
    found = None
    if image:
        podman = Containers(Commands(images.environment()), "podman", ("image", "inspect", "--format", "{{.Id}}"), ("push",))
        found = find_image(image, {"podman": podman})
    with prepared(str(path)) as artifact:
        Rehearsal(artifact, found, environment, sample, timeout_s, time.sleep, lambda: True).apply(TRY)


def test_a_good_archive(tmp_path: Path) -> None:
    """It starts, is healthy and answers the sample."""
    tried(packed(tmp_path), Sample(b"hello", "text/plain"))


def test_a_flat_archive(tmp_path: Path) -> None:
    """One that has its manifest at the top, as a .mar has, is served as well."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "handler.py").write_text("def predict(text: str) -> str:\n    return text\n")
    target = tmp_path / "flat.mar"
    archive.pack(source, target, archive.ArchiveFormat.DEFAULT, "flat", manifest.build_manifest("flat", "handler:predict", "python"))
    tried(target, Sample(b"hello", "text/plain"))


def test_a_handler_that_does_not_load(tmp_path: Path) -> None:
    """Its traceback is in the detail."""
    broken = packed(tmp_path, "import no_such_module\n")
    with pytest.raises(ArgosyError, match=r"hello\.tar\.gz does not load in a process on this machine") as found:
        tried(broken)
    assert found.value.code is ErrorCode.LOAD_FAILED
    assert "no_such_module" in found.value.detail
    assert "--no-check" in found.value.message


def test_a_sample_that_is_refused(tmp_path: Path) -> None:
    """Status and answer are told."""
    with pytest.raises(ArgosyError, match="answers the sample with 503") as found:
        tried(packed(tmp_path, "def predict(text: str) -> str:\n    raise ValueError('not that')\n"), Sample(b"x", "text/plain"))
    assert "not that" in found.value.detail


def test_variables_reach_the_model(tmp_path: Path) -> None:
    """The environment of the deployment is that of the trial."""
    source = "import os\nassert os.environ['LEVEL'] == '7'\ndef predict(text: str) -> str:\n    return text\n"
    tried(packed(tmp_path, source), LEVEL="7")


def test_an_archive_that_is_none(tmp_path: Path) -> None:
    """Damage is told before anything is started."""
    (tmp_path / "hello.tar.gz").write_bytes(b"\x1f\x8bjunk")
    with pytest.raises(ArgosyError) as found:
        tried(tmp_path / "hello.tar.gz")
    assert found.value.code is ErrorCode.INVALID_MODEL


@pytest.mark.slow
@pytest.mark.skipif(bool(images.why_not()), reason=images.why_not())
def test_in_a_container(tmp_path: Path) -> None:
    """The image serves the archive from /opt/ml/model; a model that does not load fails with what the container printed; no container is left."""
    before = images.podman("ps", "--all", "--format", "{{.Names}}")
    tried(packed(tmp_path), Sample(b"hello", "text/plain"), images.BASE)
    with pytest.raises(ArgosyError, match=f"in the image {images.BASE}") as found:
        tried(packed(tmp_path, "import no_such_module\n"), image=images.BASE, timeout_s=6.0)
    assert "no_such_module" in found.value.detail
    left = set(images.podman("ps", "--all", "--format", "{{.Names}}").split()) - set(before.split())
    assert [name for name in left if name.startswith("argosy-check-")] == []
