"""Model data comes to its folder whole, or not at all."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.local.models import ModelSource
from argosy.sagemaker.local.storage import FolderStorage


@pytest.fixture
def source(tmp_path: Path) -> ModelSource:
    """With a folder in place of S3, which holds `s3://b/models/m.tar.gz`."""
    (tmp_path / "w").write_text("weights")
    target = tmp_path / "s3" / "b" / "models"
    target.mkdir(parents=True)
    with tarfile.open(target / "m.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "w", "m/w")
    return ModelSource(FolderStorage(tmp_path / "s3"))


@pytest.mark.parametrize("place", ["s3://b/models/m.tar.gz", "{s3}/b/models/m.tar.gz", "file://{s3}/b/models/m.tar.gz"])
def test_an_archive_is_unpacked(source: ModelSource, tmp_path: Path, place: str) -> None:
    """Wherever it lies; others may read it, and the archive is not kept beside it."""
    folder = tmp_path / "out" / "model"
    folder.parent.mkdir()
    assert source.bring(place.format(s3=tmp_path / "s3"), folder) == folder
    assert (folder / "m" / "w").read_text() == "weights"
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / "m", folder / "m" / "w")] == [0o755, 0o755, 0o644]
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_folder_is_used_as_it_is(source: ModelSource, tmp_path: Path) -> None:
    """Nothing is copied."""
    assert source.bring(str(tmp_path / "s3"), tmp_path / "out") == tmp_path / "s3"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("place", "code", "words"), [
    ("{s3}/none.tar.gz", ErrorCode.MODEL_NOT_FOUND, "no model data at"), ("s3://b/none", ErrorCode.MODEL_NOT_FOUND, "no object at s3://b/none"),
    ("{s3}/../w", ErrorCode.INVALID_MODEL, "neither a zip nor a tar"), ("s3://b", ErrorCode.INVALID_REQUEST, "no address"),
])  # fmt: skip
def test_what_cannot_be_brought(source: ModelSource, tmp_path: Path, place: str, code: ErrorCode, words: str) -> None:
    """Is told, and leaves nothing."""
    with pytest.raises(ArgosyError, match=words) as caught:
        source.bring(place.format(s3=tmp_path / "s3"), tmp_path / "out")
    assert caught.value.code is code
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.archive").exists()


@pytest.mark.parametrize("prefix", ["s3://b/", "s3://b", "{s3}/b"])
def test_target_models(source: ModelSource, tmp_path: Path, prefix: str) -> None:
    """Lie below the model data."""
    source.bring_target(prefix.format(s3=tmp_path / "s3"), "models/m.tar.gz", tmp_path / "out")
    assert (tmp_path / "out" / "m" / "w").exists()


def test_a_target_folder_is_copied(source: ModelSource, tmp_path: Path) -> None:
    """The container's own folder holds it."""
    source.bring_target(str(tmp_path / "s3"), "b", tmp_path / "out")
    assert (tmp_path / "out" / "models" / "m.tar.gz").exists()


@pytest.mark.parametrize("target", ["../w", "a/../../w", "/w", "a//b", ".", "", " a", "x" * 1025, "a\nb"])
def test_targets_stay_below_the_model_data(source: ModelSource, tmp_path: Path, target: str) -> None:
    """Whatever a client asks for."""
    with pytest.raises(ArgosyError) as caught:
        source.bring_target(str(tmp_path / "s3"), target, tmp_path / "out")
    assert caught.value.code is ErrorCode.INVALID_REQUEST
