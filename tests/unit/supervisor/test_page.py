"""The server's side of the page that it shares with a worker."""

from __future__ import annotations

import fcntl
import os

import pytest

from argosy import wire
from argosy.supervisor.page import Page


def leave(page: Page, data: bytes, length: int | None = None) -> None:
    """What a worker would leave in its outbox."""
    os.pwrite(page.fd, data, wire.PAGE_SIZE)
    os.pwrite(page.fd, (len(data) if length is None else length).to_bytes(8, "little"), 8 * wire.OUTBOX)


def test_progress_and_cancellations() -> None:
    """A fresh page says that nothing was begun; marks are set and taken away for one job each, modulo the number of places."""
    page = Page()
    assert (page.begun, page.unsent()) == (0, [])
    os.pwrite(page.fd, (7).to_bytes(8, "little"), 8 * wire.BEGUN)
    assert page.begun == 7
    page.cancel(wire.CANCEL_SLOTS + 3)
    assert os.pread(page.fd, 3, wire.CANCEL_OFFSET + 2) == b"\0\1\0"
    page.uncancel(3)
    assert os.pread(page.fd, 3, wire.CANCEL_OFFSET + 2) == b"\0\0\0"
    page.close()


@pytest.mark.parametrize("size", [0, wire.PAGE_SIZE, wire.PAGE_SIZE + wire.OUTBOX_SIZE + 1])
def test_a_worker_cannot_resize_it(size: int) -> None:
    """If one could take the memory away, the server would be killed when it looks at it; nor can the seals be taken off or others be added."""
    page = Page()
    with pytest.raises(PermissionError):
        os.ftruncate(page.fd, size)
    with pytest.raises(PermissionError):
        fcntl.fcntl(page.fd, 1033, 0x8)
    assert page.begun == 0
    page.close()


@pytest.mark.parametrize(
    "data",
    [
        b"junk",
        wire.answer_record(1, 200, b"body")[:-1],
        wire.answer_record(1, 200, b"piece", flags=0),
        wire.answer_record(1, 200, b"", headers=b"a\0b\0c"),
        wire.answer_record(1, 200, b"fine") + b"rest",
        wire.answer_record(1, 200, wire.PLACE.pack(0, 0, 1), flags=wire.LAST | wire.PLACED),
        wire.answer_record(1, 500, wire.PLACE.pack(0, 0, 1), flags=wire.LAST | wire.PLACED | wire.FAILED),
    ],
)
def test_an_outbox_that_is_not_answers(data: bytes) -> None:
    """Nothing of it is believed."""
    page = Page()
    leave(page, data)
    assert page.unsent() == []
    page.close()


def test_what_a_worker_had_finished() -> None:
    """Answers and failures come as they were written, and a length beyond the outbox is not followed."""
    page = Page()
    leave(page, wire.answer_record(1, 200, b"a", headers=b"k\0v") + wire.failure_record(2, 11, "no", detail="odd"))
    assert [(answer.seq, answer.failed, answer.body) for answer in page.unsent()] == [(1, False, b"a"), (2, True, b"")]
    leave(page, b"", 1 << 60)
    assert page.unsent() == []
    page.close()


NOWHERE = [(wire.PLACES, 0, 1), (0, 101, 0), (0, 100, 1), (0, 0, 101), (0, 1, (1 << 64) - 1), (0, (1 << 64) - 1, 1), ((1 << 32) - 1, 0, 0)]


@pytest.mark.parametrize("place", NOWHERE)
def test_a_place_that_there_is_not(place: tuple[int, int, int]) -> None:
    """It is refused, also by who looks for what a dead worker has left: nothing outside of the room is ever looked at."""
    page = Page(100)
    with pytest.raises(wire.WireError, match="a place that there is not"):
        page.body(wire.Place(*place))
    leave(page, wire.answer_record(1, 200, wire.PLACE.pack(*place), flags=wire.LAST | wire.PLACED))
    assert page.unsent() == []
    page.close()


def test_a_place_to_the_last_byte() -> None:
    """The whole room, a part of it and nothing of it; a worker that names a place twice gives it up twice, and nothing more happens."""
    page = Page(100)
    os.pwrite(page.fd, bytes(range(100)), wire.ROOM_OFFSET)
    os.pwrite(page.fd, b"\1\1\1", wire.PLACES_OFFSET)
    assert bytes(page.body(wire.Place(0, 0, 100))) == bytes(range(100))
    assert bytes(page.body(wire.Place(1, 100, 0))) == b""
    first, second = page.body(wire.Place(2, 98, 2)), page.body(wire.Place(2, 98, 1))
    assert (bytes(first), bytes(second)) == (b"\x62\x63", b"\x62")
    del second
    assert os.pread(page.fd, 3, wire.PLACES_OFFSET) == b"\0\0\0"
    del first
    page.close()


def test_a_large_answer_that_a_worker_had_finished() -> None:
    """It is told with where it lies."""
    page = Page(100)
    leave(page, wire.answer_record(1, 200, wire.PLACE.pack(3, 10, 20), flags=wire.LAST | wire.PLACED))
    assert [(answer.body, answer.place) for answer in page.unsent()] == [(wire.PLACE.pack(3, 10, 20), (3, 10, 20))]
    page.close()
