"""Whatever an archive looks like, SageMaker gets one tar.gz, the same bytes each time."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy.artifact import prepared
from argosy.store import archive, manifest


def packed(folder: Path, form: archive.ArchiveFormat) -> Path:
    """A model in that form."""
    source = folder / "source"
    source.mkdir(exist_ok=True)
    (source / "handler.py").write_text("def predict(text: str) -> str:\n    return text\n")
    target = Path(archive.target_of(str(folder), "m", form))
    archive.pack(source, target, form, "m", manifest.build_manifest("m", "handler:predict", "python"))
    return target


def test_a_tar_gz_is_taken_as_it_is(tmp_path: Path) -> None:
    """No copy is made."""
    path = packed(tmp_path, archive.ArchiveFormat.TGZ)
    with prepared(str(path)) as artifact:
        assert (artifact.path, artifact.stem, artifact.size) == (path, "m", path.stat().st_size)


@pytest.mark.parametrize("form", [archive.ArchiveFormat.DEFAULT, archive.ArchiveFormat.NO_ARCHIVE])
def test_other_forms_are_packed_anew(tmp_path: Path, form: archive.ArchiveFormat) -> None:
    """A .mar and a folder give the same tar.gz, with everything below the model's name; afterwards it is gone."""
    path = packed(tmp_path, form)
    digests = set()
    for _ in range(2):
        with prepared(str(path)) as artifact:
            digests.add(artifact.sha256)
            with tarfile.open(artifact.path) as tar:
                assert sorted(tar.getnames()) == ["m/MAR-INF/MANIFEST.json", "m/handler.py"]
        assert not artifact.path.exists()
    assert len(digests) == 1


def test_no_such_model(tmp_path: Path) -> None:
    """It says what may be given."""
    with pytest.raises(ArgosyError, match="give an archive, a packed folder or an s3:// URL") as found, prepared(str(tmp_path / "none")):
        pass
    assert found.value.code is ErrorCode.MODEL_NOT_FOUND


def test_a_folder_that_was_never_packed(tmp_path: Path) -> None:
    """It says how to pack it."""
    (tmp_path / "handler.py").write_text("")
    with pytest.raises(ArgosyError, match="has no manifest: pack it first with argosy archive"), prepared(str(tmp_path)):
        pass


def test_a_damaged_archive(tmp_path: Path) -> None:
    """It is refused, and nothing stays behind."""
    (tmp_path / "m.mar").write_bytes(b"PK\x03\x04junk")
    with pytest.raises(ArgosyError) as found, prepared(str(tmp_path / "m.mar")):
        pass
    assert found.value.code is ErrorCode.INVALID_MODEL
