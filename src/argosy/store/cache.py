"""Unpacked archives on disk, one folder for each content, shared by their users and deleted with the last of them."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from argosy.errors import ArgosyError, ErrorCode
from argosy.store.tree import Limits
from argosy.store.unpack import unpack

_ATTEMPTS = 100
_LOCK = "lock"
_CHUNK = 1 << 20


class Location:
    """Where the files of a model are. `release` must be called when they are no longer used."""

    __slots__ = ("_release", "directory", "owned")

    def __init__(self, directory: Path, release: Callable[[], None] | None = None) -> None:
        self.directory = directory
        self.owned = release is not None
        """Whether the folder belongs to the cache; if not, it is the user's own and never changed."""
        self._release = release

    def __repr__(self) -> str:
        return f"<Location {self.directory} {'owned' if self.owned else 'in place'}>"

    def release(self) -> None:
        """The caller no longer uses the files. Calling it again does nothing. Blocks while files are deleted; never raises."""
        release, self._release = self._release, None
        if release is not None:
            release()


class _Entry:
    """One unpacked content."""

    def __init__(self) -> None:
        self.users = 0  # changed under the cache's lock only
        self.unpacking = threading.Lock()


class Cache:
    """The unpacked archives of this server, below `root`. Its methods may be called from several threads.

    Each server has a folder of its own there, locked while the server lives; folders of dead servers are deleted when a cache is made.
    """

    def __init__(self, root: Path, limits: Limits | None = None, group: int | None = None) -> None:
        """Make `root` (mode 0700) if needed. A `group` may read what is unpacked, and neither list nor change what there is.

        Raises `ArgosyError` INVALID_CONFIG when it is not a private folder of this user.
        """
        self._limits = limits or Limits()
        self._group = group
        self._root = root
        with _locked(root, group):
            _remove_leftovers(root)
            self._home = root / f"server-{os.getpid()}-{secrets.token_hex(4)}"
            self.scratch = self._home / "scratch"
            """A folder for downloads in progress."""
            self._lock_file = self._made_home()
        self._entries: dict[str, _Entry] = {}  # written under _lock only
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def __repr__(self) -> str:
        users = sum(entry.users for entry in self._entries.values())
        return f"<Cache {self._home}: {len(self._entries)} archives, {users} users>"

    def _made_home(self) -> int | None:
        """Make what is missing of the folder of this server; the descriptor that locks it, None if it is locked. The root must be locked."""
        self._home.mkdir(mode=0o700, exist_ok=True)
        if self._group is not None:
            _let_in(self._home, self._group)
        self.scratch.mkdir(mode=0o700, exist_ok=True)
        return _try_lock(self._home / _LOCK)

    def restore(self) -> None:
        """Make the folder of this server again if somebody has deleted it, as cleaners of temporary folders do: without what was unpacked there.

        Raises `ArgosyError` INVALID_CONFIG or OSError when that cannot be.
        """
        with self._lock:
            if self._closed.is_set() or self._lock_file is None or self.scratch.is_dir():
                return
            with _locked(self._root, self._group):
                taken = self._made_home()
                if taken is not None:
                    os.close(self._lock_file)
                    self._lock_file = taken

    def close(self) -> None:
        """Delete everything, the root too unless another server uses it.

        No `Location` of this cache may be in use. Unpacking that is under way fails soon and is waited for.
        """
        self._closed.set()
        with self._lock:
            entries = list(self._entries.values())
        for entry in entries:
            with entry.unpacking:
                pass  # whoever held it has stopped, whoever comes later sees that the cache is closed
        if self._lock_file is None:
            return
        with _locked(self._root, self._group):
            shutil.rmtree(self._home, ignore_errors=True)
            os.close(self._lock_file)
            self._lock_file = None
            if [path.name for path in self._root.iterdir()] == [_LOCK]:
                (self._root / _LOCK).unlink()
                with suppress(OSError):  # a server that starts has just made the lock anew: the folder is its own now
                    self._root.rmdir()

    def unpacked(self, archive: BinaryIO, label: str) -> Location:
        """The content of the open archive as a folder. Raises `ArgosyError` as `unpack` does, DRAINING once closed; then nothing stays on disk."""
        key = _digest(archive, label)
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            entry.users += 1
        directory = self._home / key
        with ExitStack() as undo:
            undo.callback(self._leave, key)
            with entry.unpacking:
                if self._closed.is_set():
                    raise ArgosyError(ErrorCode.DRAINING, f"{label} is not unpacked: the server is stopping.")
                self.restore()
                if not directory.exists():
                    unpack(archive, directory, label, self._limits, self._closed.is_set)
                    if self._group is not None:
                        _share(directory, self._group)
            undo.pop_all()
        return Location(directory, lambda: self._leave(key))

    def _leave(self, key: str) -> None:
        with self._lock:
            entry = self._entries[key]
            entry.users -= 1
            if entry.users:
                return
            del self._entries[key]
            condemned = self._home / f"{key}.{secrets.token_hex(4)}"
            with suppress(OSError):  # never unpacked, or removed by somebody else
                (self._home / key).rename(condemned)
        shutil.rmtree(condemned, ignore_errors=True)


def _let_in(folder: Path, group: int) -> None:
    """Let a group go through a folder to what it knows the name of."""
    os.chown(folder, -1, group)
    folder.chmod(0o710)


def _share(directory: Path, group: int) -> None:
    """Let a group read a tree of files and folders, and run what its owner may run. Those who own nothing in it cannot change anything."""
    for place in (directory, *directory.rglob("*")):
        os.chown(place, -1, group, follow_symlinks=False)
        mode = stat.S_IMODE(place.lstat().st_mode)
        place.chmod(mode | (mode >> 3 & 0o050))


def _digest(archive: BinaryIO, label: str) -> str:
    """SHA-256 of the bytes. Raises `ArgosyError` INVALID_MODEL when the file changes meanwhile."""
    archive.seek(0)
    before = os.fstat(archive.fileno())
    digest = hashlib.sha256()
    while data := archive.read(_CHUNK):
        digest.update(data)
    after = os.fstat(archive.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ArgosyError(ErrorCode.INVALID_MODEL, f"Model archive {label} is being written. Register it when it is complete.")
    return digest.hexdigest()


def _make_private(root: Path, group: int | None) -> None:
    found = _made(root)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise ArgosyError(ErrorCode.INVALID_CONFIG, f"Cannot use {root} for unpacked models: it is not a folder of this user.")
    with suppress(FileNotFoundError):
        if group is not None:
            _let_in(root, group)
        elif found.st_mode & 0o077:
            root.chmod(0o700)


def _made(root: Path) -> os.stat_result:
    """What is at the place of the root, which is made if nothing is. Another server that ends may delete it at any moment: then once more."""
    problem: OSError | None = None
    for _ in range(_ATTEMPTS):
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            return root.lstat()
        except (FileNotFoundError, FileExistsError) as error:
            problem = error
        except OSError as error:
            problem = error
            break
    why = problem.strerror if problem is not None else "it comes and goes"
    raise ArgosyError(ErrorCode.INVALID_CONFIG, f"Cannot use {root} for unpacked models: {why}.") from problem


@contextmanager
def _locked(root: Path, group: int | None) -> Iterator[None]:
    """Makes the root and keeps other servers from changing what is in it; waits for those that are starting or ending at this moment."""
    descriptor = None
    while descriptor is None:
        _make_private(root, group)
        descriptor = _wait_for_lock(root / _LOCK)
    try:
        yield
    finally:
        os.close(descriptor)


def _wait_for_lock(path: Path) -> int | None:
    """A descriptor that holds the lock until it is closed, or None if a server that ended has deleted the file meanwhile."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        return None
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    if os.fstat(descriptor).st_nlink:
        return descriptor
    os.close(descriptor)
    return None


def _try_lock(path: Path) -> int | None:
    """A descriptor that holds the lock until it is closed, or None if somebody else has it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_leftovers(root: Path) -> None:
    for home in root.glob("server-*/"):
        descriptor = _try_lock(home / _LOCK)
        if descriptor is not None:
            shutil.rmtree(home, ignore_errors=True)
            os.close(descriptor)
