"""The folder that an image is built from."""

from __future__ import annotations

import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from argosy.docker.context import additions, describe, keep, unpacked, write
from argosy.docker.recipe import IGNORED, Recipe
from argosy.errors import ArgosyError, ErrorCode

MANIFEST = json.dumps({"runtime": "python", "model": {"modelName": "words", "handler": "service:handle"}})


def model(folder: Path) -> Path:
    """A model with a manifest."""
    (folder / "MAR-INF").mkdir(parents=True)
    (folder / "MAR-INF/MANIFEST.json").write_text(MANIFEST)
    (folder / "service.py").write_text("handle = None\n")
    return folder


def test_a_folder_without_a_handler(tmp_path: Path) -> None:
    """The error says how to name one."""
    with pytest.raises(ArgosyError, match=r"has no manifest and no handler\.py.*FILE\.py:FUNCTION") as failed:
        describe(tmp_path, "b", "m", None)
    assert failed.value.code is ErrorCode.INVALID_MODEL


def test_a_broken_manifest(tmp_path: Path) -> None:
    """It is not passed over."""
    (model(tmp_path / "m") / "MAR-INF/MANIFEST.json").write_text("{")
    with pytest.raises(ArgosyError, match="Failed to parse"):
        describe(tmp_path / "m", "b", "m", "handler:predict")


def test_a_name_that_cannot_be_used(tmp_path: Path) -> None:
    """What would not be a name on a command line or in a path is refused."""
    with pytest.raises(ArgosyError, match="is not allowed"):
        describe(tmp_path, "b", "a b", "handler")


def test_described_by_its_manifest(tmp_path: Path) -> None:
    """Name and handler are those of the manifest."""
    assert describe(model(tmp_path / "m"), "b", "m", "other") == Recipe("b", "words", None, False)


def test_described_by_the_caller(tmp_path: Path) -> None:
    """Without a manifest the caller knows; requirements are seen."""
    (tmp_path / "requirements.txt").write_text("six\n")
    assert describe(tmp_path, "b", "m", "handler:predict") == Recipe("b", "m", "handler:predict", True)


@pytest.mark.parametrize("data", [b"", b"no archive at all", b"PK\x03\x04broken"])
def test_damaged_archives(tmp_path: Path, data: bytes) -> None:
    """Refused, and nothing stays."""
    (tmp_path / "m.mar").write_bytes(data)
    with pytest.raises(ArgosyError), unpacked(tmp_path / "m.mar", tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["m.mar"]


def test_an_archive_that_is_not_there(tmp_path: Path) -> None:
    """The system's words, and the path."""
    with pytest.raises(ArgosyError, match=r"cannot read .*m\.mar: No such file"), unpacked(tmp_path / "m.mar", tmp_path):
        pass


def test_no_place_to_unpack(tmp_path: Path) -> None:
    """The folder is named."""
    with pytest.raises(ArgosyError, match=r"cannot write .*/none: No such file") as failed, unpacked(tmp_path / "m.mar", tmp_path / "none"):
        pass
    assert failed.value.code is ErrorCode.STORAGE_FULL


@pytest.mark.parametrize("form", ["flat zip", "nested tar"])
def test_archives(tmp_path: Path, form: str) -> None:
    """The model itself, readable for whoever the server runs as; gone after the block."""
    source = model(tmp_path / "source")
    (source / "tool.sh").write_text("#!/bin/sh\n")
    (source / "tool.sh").chmod(0o755)
    archive = tmp_path / "m"
    if form == "flat zip":
        with zipfile.ZipFile(archive, "w") as zipped:
            for path in source.rglob("*"):
                zipped.write(path, path.relative_to(source))
    else:
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(source, "words")
    (tmp_path / "scratch").mkdir()
    with unpacked(archive, tmp_path / "scratch") as folder:
        assert describe(folder, "b", "m", None).name == "words"
        modes = {path.name: oct(path.stat().st_mode & 0o777) for path in folder.rglob("*")}
        assert modes == {"MAR-INF": "0o755", "MANIFEST.json": "0o644", "service.py": "0o644", "tool.sh": "0o755"}
        assert folder.stat().st_mode & 0o777 == 0o755
    assert list((tmp_path / "scratch").iterdir()) == []


def test_what_is_added(tmp_path: Path) -> None:
    """A Dockerfile, and a list of what stays outside unless the author has one."""
    recipe = Recipe("b", "m")
    assert additions(tmp_path, recipe)[".dockerignore"] == IGNORED
    (tmp_path / ".dockerignore").write_text("mine\n")
    assert list(additions(tmp_path, recipe)) == ["Dockerfile"]


def test_what_is_there_already(tmp_path: Path) -> None:
    """It is replaced only by force, and nothing is written if it is not."""
    (tmp_path / "Dockerfile").write_text("mine\n")
    with pytest.raises(ArgosyError, match="Dockerfile exists already: build with it, or replace it with --force") as failed:
        write(tmp_path, {".dockerignore": "x", "Dockerfile": "new"}, force=False)
    assert failed.value.code is ErrorCode.CONFLICT
    assert [path.name for path in tmp_path.iterdir()] == ["Dockerfile"]
    write(tmp_path, {"Dockerfile": "new"}, force=True)
    assert (tmp_path / "Dockerfile").read_text() == "new"


def test_a_folder_that_has_gone(tmp_path: Path) -> None:
    """The error names it."""
    with pytest.raises(ArgosyError, match=r"cannot write .*/gone: No such file"):
        write(tmp_path / "gone", {"Dockerfile": "new"}, force=False)


def test_keeping(tmp_path: Path) -> None:
    """The model becomes the folder that was asked for, never part of one that is there."""
    keep(model(tmp_path / "m"), tmp_path / "kept")
    assert (tmp_path / "kept/service.py").exists()
    with pytest.raises(ArgosyError, match="exists already: name another folder with --output"):
        keep(model(tmp_path / "n"), tmp_path / "kept")
    with pytest.raises(ArgosyError, match="cannot write"):
        keep(tmp_path / "none", tmp_path / "other")
