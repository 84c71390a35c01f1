"""Small machines within the machine: memory groups, full disks. What is not permitted here skips the test and says so."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.testing.server import wait_for

_GROUPS = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def memory_group(megabytes: int) -> Iterator[list[str]]:
    """A command prefix that runs a program with so much memory. Skips where control groups cannot be made."""
    name = f"argosy-test-{secrets.token_hex(4)}"
    folder, limit = (_GROUPS / "memory" / name, "memory.limit_in_bytes") if (_GROUPS / "memory").is_dir() else (_GROUPS / name, "memory.max")
    try:
        folder.mkdir()
        (folder / limit).write_text(str(megabytes << 20))
    except OSError as error:
        with contextlib.suppress(OSError):
            folder.rmdir()
        pytest.skip(f"control groups cannot be made here: {error}")
    try:
        yield ["sh", "-c", f'echo $$ > {folder}/cgroup.procs && exec "$@"', "sh"]
    finally:
        wait_for(lambda: _is_removed(folder), "the last process of the group is gone")


def _is_removed(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        folder.rmdir()
    return not folder.exists()


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of so many megabytes in `folder`. Skips where nothing can be mounted."""
    folder.mkdir(parents=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


def make_read_only(folder: Path, *, on: bool) -> None:
    """Let nobody write to a mounted file system, or let them again."""
    subprocess.run(["mount", "-o", f"remount,{'ro' if on else 'rw'}", str(folder)], capture_output=True, check=True)


def freeze(folder: Path, *, on: bool) -> None:
    """Let nobody, not even root, change what is in the folders there, or let them again. Skips where the file system does not know that."""
    for path in (folder, *(found for found in folder.rglob("*") if found.is_dir())):
        done = subprocess.run(["chattr", "+i" if on else "-i", str(path)], capture_output=True, text=True, check=False)
        if done.returncode and on:
            pytest.skip(f"folders cannot be frozen here: {done.stderr.strip()}")


def fill(folder: Path) -> Path:
    """Write a file until the disk is full; the file."""
    path = folder / "filler"
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    return path


def free_mb(folder: Path) -> float:
    """How much room is left."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize / 1e6
