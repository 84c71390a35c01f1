"""Places for large answers: the worker's side, and both sides together."""

from __future__ import annotations

import mmap
import random
from collections.abc import Iterator

import pytest

from argosy import wire
from argosy.supervisor.page import Page
from argosy.worker.room import Room

KILOBYTE = 1024


@pytest.fixture
def page() -> Iterator[Page]:
    """The server's side, with room for a megabyte."""
    page = Page(1024 * KILOBYTE)
    yield page
    page.close()


@pytest.fixture
def room(page: Page) -> Room:
    """The worker's side of it."""
    return Room(memoryview(mmap.mmap(page.fd, 0)))


def put(room: Room, body: bytes) -> wire.Place:
    """Where a body was put."""
    data = room.put(body)
    assert data is not None
    return wire.Place(*wire.PLACE.unpack(data))


@pytest.mark.parametrize("size", [0, wire.ROOM_OFFSET])
def test_a_page_without_room(size: int) -> None:
    """There is no place for anything, be it a page without a room or less than a page."""
    assert Room(memoryview(bytearray(size))).put(b"x") is None


def test_what_is_too_large_has_no_place(page: Page, room: Room) -> None:
    """All of the room may be one answer; one byte more finds none, and what is there stays."""
    whole = put(room, b"a" * page.room)
    assert room.put(b"b") is None
    assert bytes(page.body(whole)) == b"a" * page.room
    assert room.put(bytes(page.room + 1)) is None


def test_there_are_only_so_many_places(page: Page, room: Room) -> None:
    """Beyond them answers take another way, however small."""
    places = [put(room, b"%d" % number) for number in range(wire.PLACES)]
    assert room.put(b"x") is None
    bodies = [page.body(place) for place in places]
    assert [bytes(body) for body in bodies] == [b"%d" % number for number in range(wire.PLACES)]
    del bodies[17]
    assert put(room, b"new").number == 17


def test_a_place_is_free_when_nobody_refers_to_it(page: Page, room: Room) -> None:
    """A part of a part of a view keeps it, since transports cut what they could not send; the last one gone, it is the worker's again."""
    body = page.body(put(room, b"0123456789"))
    rest = memoryview(body[2:])[2:]
    del body
    second = put(room, b"second")
    assert bytes(rest) == b"456789"
    assert second.offset > 0
    del rest
    assert put(room, b"third").offset == 0


def test_the_first_place_that_is_large_enough(page: Page, room: Room) -> None:
    """Gaps are filled, by what fits into them; the memory that is touched stays as small as it can be."""
    sizes = [64 * KILOBYTE, 128 * KILOBYTE, 64 * KILOBYTE]
    bodies = [page.body(put(room, bytes(size))) for size in sizes]
    del bodies[1]
    large = put(room, bytes(129 * KILOBYTE))
    assert large.offset == sum(sizes)
    small = put(room, b"x" * 100 * KILOBYTE)
    assert small.offset == sizes[0]
    assert put(room, b"x" * 28 * KILOBYTE).offset == sizes[0] + 100 * KILOBYTE


def test_what_the_server_has_is_never_written_over(page: Page, room: Room) -> None:
    """Any sequence of answers and ends of replies: each body stays what it was until it is let go."""
    dice = random.Random(7)
    held: list[tuple[memoryview, bytes]] = []
    refused = 0
    for _ in range(5000):
        if held and dice.random() < 0.5:
            held.pop(dice.randrange(len(held)))
        body = dice.randbytes(8) * dice.randint(1, 12 * KILOBYTE)
        data = room.put(body)
        if data is None:
            refused += 1
            held.pop(0)
        else:
            held.append((page.body(wire.Place(*wire.PLACE.unpack(data))), body))
        view, content = dice.choice(held or [(b"", b"")])
        assert view == content
    assert all(view == content for view, content in held)
    assert refused > 100
    del view
    held.clear()
    assert put(room, bytes(page.room)).offset == 0


def test_answers_outlive_the_worker_and_its_page(page: Page, room: Room) -> None:
    """What a client is still being sent stays when the process is gone and its page was closed."""
    own = Page(100 * KILOBYTE)
    other = Room(memoryview(mmap.mmap(own.fd, 0)))
    body = own.body(put(other, b"last words"))
    own.close()
    del own, other
    assert bytes(body) == b"last words"
    del body
