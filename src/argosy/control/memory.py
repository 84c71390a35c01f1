"""Whether a model fits into the memory that is left, guessed before it is loaded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from argosy.errors import ArgosyError, ErrorCode

WORKER_BYTES = 16 * 1024 * 1024
"""A worker process without its model."""
_MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Need:
    """What loading a model is expected to take, and what there is, in bytes."""

    wanted: int
    free: int


class Memory:
    """Memory that models which are being loaded will take. `factor` is what a worker takes as a multiple of its model's files; 0: nobody knows."""

    def __init__(self, factor: float, free: Callable[[], int]) -> None:
        self._factor = factor
        self._free = free
        self._promised = 0
        """Of those that load now. Written by `reserved`."""

    def __repr__(self) -> str:
        return f"<Memory {self._promised} bytes promised>"

    def measure(self, directory: Path, copies: int) -> Need:
        """What that many copies of the model in a folder take. Blocks on the disk; files that vanish meanwhile do not count."""
        return Need(int(_files_bytes(directory) * self._factor * copies) + WORKER_BYTES * copies, self._free())

    @contextmanager
    def reserved(self, name: str, need: Need) -> Iterator[None]:
        """Keep what the model needs from others that load at the same time. Raises `ArgosyError` OUT_OF_MEMORY when it is not there."""
        free = max(0, need.free - self._promised)
        if self._factor and need.wanted > free:
            message = (
                f"Model {name} needs about {need.wanted // _MB} MB of memory to load, of which {free // _MB} MB are free "
                "(setting load_memory_factor). Unload other models, or give the container more memory."
            )
            raise ArgosyError(ErrorCode.OUT_OF_MEMORY, message)
        self._promised += need.wanted
        try:
            yield
        finally:
            self._promised -= need.wanted


def _files_bytes(directory: Path) -> int:
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                total += _size(path)
    return total


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
