"""Shared memory for large bodies: no two slots overlap, all of it comes back, and workers cannot write to it."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from argosy.supervisor.arena import SMALLEST, Arena, ArenaSlot

SIZE = 16 * SMALLEST


def is_mapped(name: str) -> bool:
    """Whether this process has an arena of that name in its memory."""
    return f"memfd:{name} " in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize(("asked", "size"), [(1, 1), (SMALLEST, 1), (3 * SMALLEST, 2), (SIZE, 16), (SIZE + 1, 16)])
def test_its_size_is_a_power_of_two(asked: int, size: int) -> None:
    """It is never larger than asked, but holds at least one small body."""
    arena = Arena(asked)
    assert arena.size == size * SMALLEST
    arena.close()


def test_no_room() -> None:
    """A body that does not fit gets no slot, and one that is released makes room again."""
    arena = Arena(2 * SMALLEST)
    assert arena.take(2 * SMALLEST + 1) is None
    slot = arena.take(SMALLEST + 1)
    assert slot is not None
    assert (len(slot.view), repr(slot)) == (SMALLEST + 1, f"<ArenaSlot 0+{SMALLEST + 1}>")
    assert arena.take(1) is None
    slot.release()
    slot.release()
    assert arena.used == 0
    assert "released" in repr(slot)
    assert arena.take(2 * SMALLEST) is not None


def test_closing_with_live_slots() -> None:
    """They stay valid until they are released; then the memory goes. New ones are refused."""
    arena = Arena(SIZE, "closed")
    slot = arena.take(10)
    assert slot is not None
    arena.close()
    arena.close()
    assert arena.take(1) is None
    slot.view[:] = b"0123456789"
    assert bytes(slot.view) == b"0123456789"
    assert repr(arena) == f"<Arena {SMALLEST} of {SIZE} bytes used closed>"
    assert is_mapped("closed")
    slot.release()
    assert not is_mapped("closed")
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(arena.fd)


def test_closing_while_the_last_slot_is_being_filled() -> None:
    """A transport still has the part of the view that it has just filled when the slot goes back: the memory goes when it lets go of that."""
    arena = Arena(SIZE, "filled")
    slot = arena.take(10)
    assert slot is not None
    part = slot.view[5:]
    arena.close()
    slot.release()
    assert (bytes(part), arena.used, is_mapped("filled")) == (bytes(5), 0, True)
    part.release()
    del part
    assert not is_mapped("filled")


def test_a_worker_can_read_and_not_write() -> None:
    """The seal refuses a writable map in another process, whatever it tries; a read-only one shows the bytes."""
    arena = Arena(SMALLEST, "sealed")
    slot = arena.take(5)
    assert slot is not None
    slot.view[:] = b"hello"
    code = (
        "import mmap, os, sys\nfd, size = int(sys.argv[1]), int(sys.argv[2])\n"
        "print(bytes(mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ)[:5]).decode())\n"
        "for attempt in (lambda: mmap.mmap(fd, size), lambda: os.pwrite(fd, b'x', 0), lambda: os.ftruncate(fd, 0)):\n"
        "    try:\n        attempt()\n    except OSError:\n        print('refused')\n"
    )
    command = [sys.executable, "-c", code, str(arena.fd), str(arena.size)]
    done = subprocess.run(command, pass_fds=[arena.fd], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["hello", "refused", "refused", "refused"]
    slot.release()
    arena.close()


def test_a_name_may_be_long() -> None:
    """The name of a model does not limit its memory."""
    Arena(SMALLEST, "n" * 1000).close()


class Traffic(RuleBasedStateMachine):
    """Bodies come and go; each writes its own byte and must still find it when it goes."""

    def __init__(self) -> None:
        super().__init__()
        self.arena = Arena(SIZE)
        self.slots: list[tuple[ArenaSlot, int]] = []
        self.count = 0

    @rule(length=st.integers(0, SIZE + 10))
    def take(self, length: int) -> None:
        slot = self.arena.take(length)
        if slot is not None:
            assert len(slot.view) == length
            self.count += 1
            mark = self.count % 251
            slot.view[:] = bytes([mark]) * length
            self.slots.append((slot, mark))

    @rule(place=st.integers(0, 100))
    def release(self, place: int) -> None:
        if self.slots:
            slot, mark = self.slots.pop(place % len(self.slots))
            assert slot.view.tobytes() == bytes([mark]) * len(slot.view)
            slot.release()

    @invariant()
    def the_books_balance(self) -> None:
        ends = sorted((slot.offset, slot.offset + max(1, len(slot.view))) for slot, _ in self.slots)
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ends))
        assert sum(len(slot.view) for slot, _ in self.slots) <= self.arena.used <= self.arena.size
        pieces = [*enumerate(self.arena._free), *enumerate(self.arena._spare)]
        free = sum(len(places) * (SMALLEST << order) for order, places in pieces)
        assert free + self.arena.used == self.arena.size

    def teardown(self) -> None:
        while self.slots:
            self.release(0)
        assert self.arena.used == 0
        whole = self.arena.take(SIZE)
        assert whole is not None, "everything has merged"
        whole.release()
        self.arena.close()


Traffic.TestCase.settings = settings(deadline=None, max_examples=40)
TestTraffic = Traffic.TestCase
