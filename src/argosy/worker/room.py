"""The room in which large answers lie until the server has sent them: the worker takes places, the server gives them back."""

from __future__ import annotations

from typing import List, Optional, Tuple

from argosy import wire

WORTH_A_PLACE = 64 * 1024
"""Answers from this size on are written there; smaller ones go through the socket, which is cheaper for them."""
_GRAIN = 4096


class Room:
    """The worker's side; what lies behind the outbox in `page`, which may be nothing. One thread only."""

    def __init__(self, page: memoryview) -> None:
        self._marks = page[wire.PLACES_OFFSET : wire.PLACES_OFFSET + wire.PLACES]
        self._memory = page[wire.ROOM_OFFSET :]
        self._taken: List[Tuple[int, int, int]] = []
        """Begin, end and number of the places that were taken and may have been given back since, ascending."""

    def __repr__(self) -> str:
        return "<Room {} bytes, {} places taken>".format(len(self._memory), len(self._taken))

    def put(self, body: wire.Buffer) -> Optional[bytes]:
        """Write a body into the first place that is large enough: the data of a PLACE, None if there is none.

        The first, so that as little memory as possible is ever touched, and what was touched last is still in the processor's caches.
        """
        marks, size = bytes(self._marks), len(body)
        self._taken = taken = [place for place in self._taken if marks[place[2]]]
        number = marks.find(0)
        at = index = 0
        for begin, end, _ in taken:
            if begin - at >= size:
                break
            at = end
            index += 1
        if number < 0 or at + size > len(self._memory):
            return None
        self._memory[at : at + size] = body
        self._marks[number] = 1
        taken.insert(index, (at, at + size + -size % _GRAIN, number))
        return wire.PLACE.pack(number, at, size)
