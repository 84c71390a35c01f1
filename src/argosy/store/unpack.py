"""Unpacks a model archive (zip, tar or tar.gz) into a new folder, trusting nothing that the archive says."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from argosy.errors import ArgosyError, ErrorCode
from argosy.store.tree import Limits, Tree
from argosy.store.untar import unpack_tar
from argosy.store.unzip import unpack_zip

_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, NotImplementedError, RuntimeError, OverflowError)
"""What the standard library raises about a damaged archive, besides an `OSError` without a number."""


def _never() -> bool:
    return False


def unpack(archive: BinaryIO, directory: Path, label: str, limits: Limits | None = None, is_stopped: Callable[[], bool] = _never) -> None:
    """Unpack an archive that is open for reading into `directory`, which must not exist yet.

    Only regular files and folders are made, all below `directory` and for the owner only. On any failure `directory` is gone again.
    Raises `ArgosyError`: INVALID_MODEL for an archive that is damaged, too large or hostile, naming `label` and the entry; STORAGE_FULL when
    the disk is full; INTERNAL for other trouble with it. A file that is no archive at all gets the words that MMS has for it, with the truth in
    `detail`. Blocks for as long as the disk takes, or until `is_stopped` says so: then DRAINING.
    """
    read_entries = _recognised(archive, label)
    tree = Tree(directory, label, limits or Limits(), archive.seek(0, os.SEEK_END), is_stopped)
    archive.seek(0)
    with _translated(tree), ExitStack() as undo:
        directory.mkdir(mode=0o700)
        undo.callback(shutil.rmtree, directory, ignore_errors=True)
        read_entries(archive, tree)
        undo.pop_all()


def is_tar(archive: BinaryIO) -> bool:
    """Whether the open file is a tar, packed with gzip or plain."""
    return _kind(archive) in (_unpack_gzip, unpack_tar)


def _kind(archive: BinaryIO) -> Callable[[BinaryIO, Tree], None] | None:
    archive.seek(0)
    start = archive.read(512)
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return unpack_zip
    if start.startswith(b"\x1f\x8b"):
        return _unpack_gzip
    return unpack_tar if start[257:262] == b"ustar" else None


def _recognised(archive: BinaryIO, label: str) -> Callable[[BinaryIO, Tree], None]:
    found = _kind(archive)
    if found is None:
        archive.seek(0)
        start = archive.read(16)
        what = f"begins with {start!r}" if start else "is empty"
        raise ArgosyError(ErrorCode.INVALID_MODEL, "Model name is not defined.", detail=f"{label} is neither a zip nor a tar.gz archive: it {what}.")
    return found


def _unpack_gzip(archive: BinaryIO, tree: Tree) -> None:
    with gzip.GzipFile(fileobj=archive) as stream:
        unpack_tar(stream, tree)


@contextmanager
def _translated(tree: Tree) -> Iterator[None]:
    """Failures of the standard library become failures that say which archive and which entry."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise tree.refuse(f"is damaged: {error}") from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = f"No space left to unpack {tree.label}. Free some space where the server keeps its temporary files."
            raise ArgosyError(ErrorCode.STORAGE_FULL, message) from error
        raise ArgosyError(ErrorCode.INTERNAL, f"Failed to save model: {tree.label}", detail=str(error)) from error
    except _DAMAGE as error:
        raise tree.refuse(f"is damaged: {str(error) or type(error).__name__}") from error
