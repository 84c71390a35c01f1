"""The folder that an image is built from: what is in it, archives unpacked, the files that we add."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from argosy.docker.recipe import IGNORED, REQUIREMENTS, Recipe, dockerfile
from argosy.errors import ArgosyError, ErrorCode
from argosy.store.manifest import check_model_name, read_manifest
from argosy.store.repository import model_folder, nested_folder
from argosy.store.unpack import is_tar, unpack

DOCKERFILE = "Dockerfile"
IGNORE_FILE = ".dockerignore"


def describe(folder: Path, base: str, name: str, handler: str | None) -> Recipe:
    """The recipe for the model in a folder. `name` and `handler` count where it has no manifest that says them.

    Raises `ArgosyError` INVALID_MODEL for a manifest that cannot be read, a name that cannot be used, or a model without a handler.
    """
    found = read_manifest(folder)
    if found.handler is None and handler is None:
        message = f"{folder} has no manifest and no handler.py, model.py or service.py: name the handler as FILE.py or FILE.py:FUNCTION"
        raise ArgosyError(ErrorCode.INVALID_MODEL, message)
    named = found.model_name or name
    check_model_name(named)
    return Recipe(base, named, None if found.handler else handler, (folder / REQUIREMENTS).is_file())


@contextmanager
def unpacked(archive: Path, parent: Path) -> Iterator[Path]:
    """A temporary folder below `parent` with what is in an archive, readable for every user. Raises `ArgosyError` as `store.unpack` does."""
    try:
        scratch = tempfile.TemporaryDirectory(prefix="argosy-image-", dir=parent)
    except OSError as error:
        raise _refused(parent, error) from None
    with scratch as made:
        folder = Path(made, "model")
        try:
            with archive.open("rb") as file:
                is_nested = is_tar(file)
                unpack(file, folder, archive.name)
        except OSError as error:
            raise ArgosyError(ErrorCode.MODEL_NOT_FOUND, f"cannot read {archive}: {error.strerror}") from None
        model = nested_folder(folder) if is_nested else model_folder(folder)
        _share(model)
        yield model


def _share(folder: Path) -> None:
    """What was unpacked is for us alone; an image is for whoever runs it."""
    for path in (folder, *folder.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(0o755 if path.is_dir() or mode & 0o100 else 0o644)


def additions(folder: Path, recipe: Recipe) -> dict[str, str]:
    """The files that the folder lacks, by name; a .dockerignore that is there already is the author's."""
    return {DOCKERFILE: dockerfile(recipe), **({} if (folder / IGNORE_FILE).exists() else {IGNORE_FILE: IGNORED})}


def write(folder: Path, files: Mapping[str, str], *, force: bool) -> None:
    """Put files into the folder. Raises `ArgosyError` CONFLICT, before anything is written, unless `force` allows to replace what is there."""
    existing = next((folder / name for name in files if (folder / name).exists()), None)
    if existing is not None and not force:
        raise ArgosyError(ErrorCode.CONFLICT, f"{existing} exists already: build with it, or replace it with --force")
    try:
        for name, text in files.items():
            (folder / name).write_text(text)
    except OSError as error:
        raise _refused(folder, error) from None


def keep(model: Path, target: Path) -> None:
    """Make an unpacked model the folder `target`, which must not exist. Raises `ArgosyError` CONFLICT."""
    if target.exists():
        raise ArgosyError(ErrorCode.CONFLICT, f"{target} exists already: name another folder with --output")
    try:
        os.rename(model, target)
    except OSError as error:
        raise _refused(target, error) from None


def _refused(path: Path, error: OSError) -> ArgosyError:
    return ArgosyError(ErrorCode.STORAGE_FULL, f"cannot write {path}: {error.strerror}")
