"""Brings model data to a folder: from an archive or folder on this machine, or from storage."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.local.storage import Storage, read_address
from argosy.store.unpack import unpack

_TARGET = re.compile(r"\S[ -~]*")
_MOST_TARGET = 1024


class ModelSource:
    """Model data by its place: a path, `file://…` or `s3://…`. All methods block."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def __repr__(self) -> str:
        return f"<ModelSource {self._storage!r}>"

    def bring(self, place: str, folder: Path) -> Path:
        """The folder with the files of a model: a local folder itself, else `folder`, new and filled from the archive.

        Raises `ArgosyError` MODEL_NOT_FOUND, INVALID_MODEL, DOWNLOAD_FAILED or STORAGE_FULL.
        """
        if place.startswith("s3://"):
            archive = folder.with_name(f"{folder.name}.archive")
            try:
                self._storage.fetch(read_address(place), archive)
                return _unpacked(archive, folder, place)
            finally:
                archive.unlink(missing_ok=True)
        path = Path(place.removeprefix("file://")).resolve()
        if path.is_dir():
            return path
        return _unpacked(path, folder, place)

    def bring_target(self, prefix: str, target: str, folder: Path) -> None:
        """Fill `folder` with a target model of a multi-model container: an archive, or a local folder, below `prefix`. Raises like `bring`."""
        if not _TARGET.fullmatch(target) or len(target) > _MOST_TARGET or any(part in ("", ".", "..") for part in target.split("/")):
            raise ArgosyError(ErrorCode.INVALID_REQUEST, f"{target[:200]!r} is no target model: a path below the model data is needed.")
        place = f"{prefix.rstrip('/')}/{target}"
        found = self.bring(place, folder)
        if found != folder:
            shutil.copytree(found, folder)


def _unpacked(archive: Path, folder: Path, place: str) -> Path:
    try:
        with archive.open("rb") as opened:
            unpack(opened, folder, place)
    except FileNotFoundError:
        raise ArgosyError(ErrorCode.MODEL_NOT_FOUND, f"There is no model data at {place}: give an archive (tar.gz) or a folder.") from None
    except OSError as error:
        raise ArgosyError(ErrorCode.MODEL_NOT_FOUND, f"Cannot read the model data {place}: {error.strerror}") from None
    except ArgosyError as error:
        raise ArgosyError(error.code, f"The model data {place} cannot be unpacked: {error.detail or error.message}", detail=error.detail) from error
    _open_up(folder)
    return folder


def _open_up(folder: Path) -> None:
    """Let others read what was unpacked: containers may run as another user."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
