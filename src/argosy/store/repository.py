"""From the url of a model to a folder with its files: in the model store, unpacked from an archive, or downloaded."""

from __future__ import annotations

import gzip
import os
import re
import stat
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from argosy.errors import ArgosyError, ErrorCode
from argosy.store import manifest, untar
from argosy.store.address import is_remote
from argosy.store.cache import Cache, Location
from argosy.store.download import Downloader
from argosy.store.unpack import is_tar

_ARCHIVES = (".mar", ".model")
_TARS = (".tar.gz", ".tgz")
_LOCAL = "file://"
_NEVER = frozenset({"__MACOSX", "lost+found"})
"""Folders that packing and file systems leave behind."""


class Repository:
    """Finds the files of models. Its methods block on disk and network and may be called from several threads."""

    def __init__(self, store: Path | None, cache: Cache, downloader: Downloader) -> None:
        """`store` is the model store, None if there is none. The repository closes the cache and the downloader."""
        self._store = store
        self._cache = cache
        self._downloader = downloader

    def __repr__(self) -> str:
        return f"<Repository {self._store} {self._cache}>"

    def close(self) -> None:
        """Stop downloads and delete what was unpacked. No model may be in use."""
        self._downloader.close()
        self._cache.close()

    def locate(self, url: str, *, trusted: bool = False) -> Location:
        """The files of the model at that url; a folder of the store is used in place and never changed.

        `trusted` says that the operator named the url (command line, configuration): it may then be downloaded from anywhere, or be
        `file://` and a path outside the store.
        Raises `ArgosyError`: MODEL_NOT_FOUND, INVALID_MODEL, FORBIDDEN, DOWNLOAD_FAILED, STORAGE_FULL, INTERNAL; then nothing stays on disk.
        """
        try:
            if trusted and url.startswith(_LOCAL):
                return self._at(Path(url[len(_LOCAL) :]), url)
            return self._download(url, trusted) if is_remote(url) else self._find(url)
        except OSError as error:
            raise ArgosyError(ErrorCode.INTERNAL, f"Failed to save model: {url}", detail=str(error)) from error

    def _find(self, url: str) -> Location:
        return self._at(self._in_store(url), url)

    def _at(self, path: Path, url: str) -> Location:
        if not path.exists():
            raise _not_found(f"Model not found: {path}")
        if path.is_dir():
            return Location(unpacked_folder(path))
        with _open_regular(path, url) as archive:
            return self._unpack(archive, url)

    def _download(self, url: str, trusted: bool) -> Location:
        self._cache.restore()
        with tempfile.TemporaryFile(dir=self._cache.scratch) as archive:
            self._downloader.fetch(url, archive, trusted=trusted)
            return self._unpack(archive, url)

    def _unpack(self, archive: BinaryIO, url: str) -> Location:
        nested = is_tar(archive)
        with ExitStack() as undo:
            location = self._cache.unpacked(archive, url)
            undo.callback(location.release)
            location.directory = nested_folder(location.directory) if nested else model_folder(location.directory)
            undo.pop_all()
        return location

    def _in_store(self, url: str) -> Path:
        if ".." in url:
            raise _not_found(f"Relative path is not allowed in url: {url}")
        if self._store is None:
            raise _not_found("Model store has not been configured.")
        within = f"{self._store}/"
        path = Path(url) if url.startswith(within) else self._store / url.lstrip("/")
        if "\0" in url or not os.path.exists(path):
            raise _not_found(f"Model not found in model store: {url}")
        return path


def _not_found(message: str) -> ArgosyError:
    return ArgosyError(ErrorCode.MODEL_NOT_FOUND, message)


def _open_regular(path: Path, url: str) -> BinaryIO:
    """The file, opened; never a pipe or a device, which could block or have no end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_found(f"Model not found in model store: {url}")
    return os.fdopen(descriptor, "rb")


def model_folder(directory: Path) -> Path:
    """The folder itself, unless only a folder in it has a manifest of the 0.x format: then that one."""
    if (directory / manifest.FOLDER / manifest.FILE).is_file() or manifest.find_legacy(directory):
        return directory
    return next((folder for folder in _folders(directory) if manifest.find_legacy(folder)), directory)


def nested_folder(directory: Path) -> Path:
    """The one folder in which the archiver puts everything that goes into a tar.gz, or the folder itself."""
    inside = [folder for folder in _folders(directory) if not _is_stray(folder)]
    if len(inside) == 1 and (inside[0] / manifest.FOLDER / manifest.FILE).is_file() and inside[0].name != manifest.FOLDER:
        return inside[0]
    return model_folder(directory)


def unpacked_folder(directory: Path) -> Path:
    """The model in a folder into which a platform has unpacked an archive: the folder itself, or the one in it where a tar.gz has everything.

    A folder with other files beside that one is a model by itself.
    """
    model = model_folder(directory)
    if _is_described(model) or any(_is_of_model(path) for path in directory.iterdir()):
        return model
    return nested_folder(directory)


def _folders(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.is_dir() and os.access(path, os.R_OK | os.X_OK))


def scan_store(store: Path, *, has_default: bool = False) -> list[str]:
    """The urls of all models in the store, sorted.

    These are its folders, its `.mar` and `.model` files, and each `.tar.gz` that was not unpacked beside itself; hidden names are left out.
    A store that is itself one model is the only one, with the url `.`: it has `MAR-INF` at its top or, if models without manifest `has_default`
    handler, other files and no archive or folder with a manifest. Raises `ArgosyError` INVALID_CONFIG.
    """
    try:
        if (store / manifest.FOLDER / manifest.FILE).is_file():
            return ["."]
        entries = [path for path in sorted(store.iterdir()) if not _is_stray(path)]
    except OSError as error:
        raise ArgosyError(ErrorCode.INVALID_CONFIG, f"Cannot read the model store {store}: {error.strerror}.") from error
    models = [path for path in entries if path.is_dir() or _is_loadable(path)]
    if has_default and not any(map(_is_described, models)) and any(map(_is_of_model, entries)):
        return ["."]
    return [path.name for path in models]


def _is_stray(path: Path) -> bool:
    """Whether packing or a file system left it behind."""
    return path.name.startswith(".") or path.name in _NEVER


def _is_of_model(path: Path) -> bool:
    """Whether it is a file that a model may need, not an archive that lies unpacked beside itself."""
    return path.is_file() and not _is_stray(path) and not path.name.endswith(_TARS)


def _is_described(model: Path) -> bool:
    """Whether it says itself how it is served."""
    if not model.is_dir():
        return True
    folder = model_folder(model)
    return (folder / manifest.FOLDER / manifest.FILE).is_file() or manifest.find_legacy(folder) is not None


def _is_loadable(path: Path) -> bool:
    if path.name.endswith(_TARS):
        top = _top_of(path)
        return top is not None and not (path.parent / top).exists()
    return path.name.endswith(_ARCHIVES) and path.is_file()


def _top_of(path: Path) -> str | None:
    """The first component of the first entry of a tar.gz; None if that cannot be told."""
    try:
        with gzip.open(path) as stream:
            name = untar.first_name(stream)
    except (OSError, EOFError, ValueError):
        return None
    return name.removeprefix("./").partition("/")[0] or None


def default_name(url: str) -> str:
    """The name of a model that is loaded at start and says none itself.

    It is the last component of the url without suffix, every character but letters, digits and `_` replaced by `_`. The store itself is `model`.
    """
    if url == ".":
        return "model"
    last = url.partition("?")[0] if is_remote(url) else url
    last = last.rstrip("/").rpartition("/")[2]
    for suffix in _TARS:
        last = last.removesuffix(suffix)
    if ".model" in last or ".mar" in last:
        last = last.rpartition(".")[0]
    return re.sub(r"\W", "_", last, flags=re.ASCII)
