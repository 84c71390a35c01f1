"""The folder that an archive is unpacked into: what may go into it, under which names, and how much."""

from __future__ import annotations

import errno
import os
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from argosy.errors import ArgosyError, ErrorCode

_CHUNK = 1 << 20
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an archive may unpack to."""

    total_bytes: int = 256 << 30
    ratio: int = 100
    """Unpacked bytes per byte of the archive; counts only above `free_bytes`."""
    free_bytes: int = 256 << 20
    entries: int = 100_000
    name_bytes: int = 1024
    depth: int = 64

    def allowance(self, archive_bytes: int) -> int:
        """How many bytes an archive of that size may unpack to."""
        return min(self.total_bytes, max(self.free_bytes, self.ratio * archive_bytes))


class Source(Protocol):
    """Where the bytes of an entry come from."""

    def read(self, size: int = ..., /) -> bytes:
        """At most that many of the next bytes; none at the end."""


class Tree:
    """A folder that is being filled. Every method may raise `ArgosyError` INVALID_MODEL, naming the archive and the entry at hand."""

    def __init__(self, directory: Path, label: str, limits: Limits, archive_bytes: int, is_stopped: Callable[[], bool]) -> None:
        self.label = label
        self._is_stopped = is_stopped
        self.limits = limits
        self._allowance = limits.allowance(archive_bytes)
        self._left = self._allowance
        self._directory = directory
        self._entry = ""
        self._files: set[str] = set()
        self._folders: set[str] = {""}
        self._alike: dict[str, str] = {}
        """Paths by what they would be where letter case does not count."""

    def __repr__(self) -> str:
        return f"<Tree {self.label}: {len(self._files)} files, {self._left} bytes left>"

    def refuse(self, why: str) -> ArgosyError:
        """The failure to raise; `why` continues a sentence about the archive."""
        where = f" (entry {self._entry[:200]!r})" if self._entry else ""
        return ArgosyError(ErrorCode.INVALID_MODEL, f"Model archive {self.label} {why}{where}.")

    def at(self, name: str) -> None:
        """Failures are about this entry from now on."""
        self._entry = name

    def check_count(self, entries: int) -> None:
        """Refuses an archive of more entries than allowed."""
        if entries > self.limits.entries:
            raise self.refuse(f"has more than {self.limits.entries} entries")

    def reserve(self, size: int) -> None:
        """Refuses what is announced to be larger than what may still come, or raises `OSError` if it cannot fit the disk."""
        if size > self._left:
            raise self.refuse(f"unpacks to more than {self._allowance} bytes, which is the limit for an archive of its size")
        disk = os.statvfs(self._directory)
        if size > disk.f_bavail * disk.f_frsize:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def folder(self, name: str) -> None:
        """Make a folder, if it is not there."""
        self._make_folders(self._checked(name))

    def file(self, name: str, source: Source, size: int, executable: bool) -> None:
        """Write a file of exactly that many bytes. Its name must be new."""
        path = self._checked(name)
        if not path or path in self._files or path in self._folders:
            raise self.refuse("has two entries of one name")
        self._make_folders(path.rpartition("/")[0])
        self._claim(path)
        self._files.add(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._directory / path, flags, 0o700 if executable else 0o600)
        with open(descriptor, "wb", buffering=0) as target:
            written = 0
            while data := source.read(_CHUNK):
                written += len(data)
                self._spend(len(data))
                _write_all(target.fileno(), data)
        if written != size:
            raise self.refuse(f"is cut off: there are {written} bytes of {size}")

    def _spend(self, size: int) -> None:
        if self._is_stopped():
            raise ArgosyError(ErrorCode.DRAINING, f"Unpacking {self.label} was given up: the server is stopping.")
        self._left -= size
        if self._left < 0:
            self.reserve(0)

    def _make_folders(self, path: str) -> None:
        parts = path.split("/") if path else []
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            if folder in self._files:
                raise self.refuse("has a file and a folder of one name")
            if folder not in self._folders:
                self._claim(folder)
                (self._directory / folder).mkdir(mode=0o700)
                self._folders.add(folder)

    def _claim(self, path: str) -> None:
        """Refuse a second name for what some file systems, and whoever reads the archive there, take for the same file."""
        alike = unicodedata.normalize("NFC", path).casefold()
        if self._alike.setdefault(alike, path) != path:
            raise self.refuse("has two entries whose names differ only in letter case or in how they are encoded")

    def _checked(self, name: str) -> str:
        """The entry's path below the directory. What is not plainly inside is refused, never mended."""
        parts = [part for part in name.removesuffix("/").split("/") if part != "."]
        path = "/".join(parts)
        if name.startswith("/") or ".." in parts or "\\" in name or _DRIVE.match(path):
            raise self.refuse("has an entry that would leave the model folder")
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in name) or (path and "" in parts):
            raise self.refuse("has an entry with an unusable name")
        sizes = [len(part.encode("utf-8", "surrogateescape")) for part in parts]
        if len(parts) > self.limits.depth or sum(sizes) > self.limits.name_bytes or max(sizes, default=0) > 255:
            raise self.refuse("has an entry with too long a name")
        return path


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
