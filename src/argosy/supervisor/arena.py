"""Shared memory for large bodies: one sealed memfd a model, written by the server, mapped read-only in its workers."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os

SMALLEST = 64 * 1024
# <linux/fcntl.h>; the fcntl module names the last one from Python 3.14 on only
_ADD_SEALS = 1033
_SEAL_SHRINK, _SEAL_GROW, _SEAL_FUTURE_WRITE = 0x2, 0x4, 0x10


class ArenaSlot:
    """A piece of an arena. Given back with `release`, by whoever settles the job, once the worker cannot read it any more."""

    __slots__ = ("_arena", "_order", "offset", "view")

    def __init__(self, arena: Arena, order: int, offset: int, view: memoryview) -> None:
        self._arena: Arena | None = arena
        self._order = order
        self.offset = offset
        self.view = view

    def __repr__(self) -> str:
        return f"<ArenaSlot {self.offset} released>" if self._arena is None else f"<ArenaSlot {self.offset}+{len(self.view)}>"

    def release(self) -> None:
        """Give the memory back. Calling it again does nothing."""
        arena, self._arena = self._arena, None
        if arena is not None:
            self.view.release()
            arena._give_back(self._order, self.offset)


class Arena:
    """A buddy allocator over one memfd of `size` bytes, a power of two times 64 KiB.

    Pages are taken from the system when first written and kept for the next body, since faulting them in costs more than the copy that the
    arena avoids; `size` is therefore also the bound of what it can hold on to. After `close` live slots stay valid, new ones are refused.
    """

    def __init__(self, size: int, name: str = "argosy") -> None:
        self._top = max(0, (size // SMALLEST).bit_length() - 1)
        self.size = SMALLEST << self._top
        self.fd = os.memfd_create(name[:200], os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self._closed = False
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, self.fd)
            os.ftruncate(self.fd, self.size)
            self._map = mmap.mmap(self.fd, self.size)
            with contextlib.suppress(OSError):  # FUTURE_WRITE needs Linux 5.1; workers map it read-only anyhow
                fcntl.fcntl(self.fd, _ADD_SEALS, _SEAL_SHRINK | _SEAL_GROW | _SEAL_FUTURE_WRITE)
            undo.pop_all()
        self._view = memoryview(self._map)
        self._free: list[set[int]] = [set() for _ in range(self._top + 1)]
        self._free[self._top].add(0)
        self._spare: list[list[int]] = [[] for _ in range(self._top + 1)]
        """Slots that were given back, the last one last: most bodies are as long as earlier ones, and what was used last is still in the caches."""
        self.used = 0

    def __repr__(self) -> str:
        return f"<Arena {self.used} of {self.size} bytes used{' closed' if self._closed else ''}>"

    def take(self, length: int) -> ArenaSlot | None:
        """A slot whose view is exactly `length` bytes, or None when there is no room."""
        order = ((length - 1) // SMALLEST).bit_length() if length > 0 else 0
        if order > self._top or self._closed:
            return None
        if self._spare[order]:
            offset = self._spare[order].pop()
        else:
            found = self._split(order)
            if found is None:
                self._merge()
                found = self._split(order)
            if found is None:
                return None
            offset = found
        self.used += SMALLEST << order
        return ArenaSlot(self, order, offset, self._view[offset : offset + length])

    def _split(self, order: int) -> int | None:
        """Cut a slot out of the smallest free piece that is large enough."""
        found = next((k for k in range(order, self._top + 1) if self._free[k]), None)
        if found is None:
            return None
        offset = self._free[found].pop()
        for k in range(found - 1, order - 1, -1):
            self._free[k].add(offset + (SMALLEST << k))
        return offset

    def _merge(self) -> None:
        """Make large free pieces of the slots that were given back."""
        for first_order, spare in enumerate(self._spare):
            for first in spare:
                order, offset = first_order, first
                while order < self._top and (buddy := offset ^ (SMALLEST << order)) in self._free[order]:
                    self._free[order].remove(buddy)
                    offset = min(offset, buddy)
                    order += 1
                self._free[order].add(offset)
            spare.clear()

    def _give_back(self, order: int, offset: int) -> None:
        self.used -= SMALLEST << order
        self._spare[order].append(offset)
        if self._closed:
            self._unmap()

    def close(self) -> None:
        """Refuse new slots and free the memory as soon as no slot is out."""
        if not self._closed:
            self._closed = True
            os.close(self.fd)
            self._unmap()

    def _unmap(self) -> None:
        if self.used == 0:
            self._view.release()
            with contextlib.suppress(BufferError):  # who fills the last slot still has a part of its view: the memory goes when that does
                self._map.close()
            del self._map
