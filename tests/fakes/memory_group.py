"""A real limit on the memory of a server and its workers: a cgroup of its own, version 1 or 2."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path("/sys/fs/cgroup")


def _parents() -> Iterator[tuple[Path, str]]:
    """Where groups can be made, and the file of their limit."""
    yield _ROOT / "memory", "memory.limit_in_bytes"
    yield _ROOT, "memory.max"


@contextlib.contextmanager
def memory_group(limit_bytes: int) -> Iterator[list[str]]:
    """Gives the command that runs another one below the limit. Skips where such a group cannot be made."""
    for parent, name in _parents():
        group = parent / f"argosy-test-{os.getpid()}-{time.monotonic_ns()}"
        with contextlib.suppress(OSError):
            group.mkdir()
            try:
                (group / name).write_text(str(limit_bytes))
            except OSError:
                group.rmdir()
                continue
            try:
                yield ["sh", "-c", f"echo $$ > {group}/cgroup.procs; exec \"$@\"", "sh"]
            finally:
                _remove(group)
            return
    pytest.skip("no cgroup with a limit on memory can be made here (that needs root and a memory controller)")


def _remove(group: Path) -> None:
    """As soon as the kernel has let go of its processes."""
    deadline = time.monotonic() + 30
    while True:
        try:
            group.rmdir()
        except OSError:
            assert time.monotonic() < deadline, f"{group} is still in use"
            time.sleep(0.01)
        else:
            return
