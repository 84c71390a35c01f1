"""What a worker shares with the server: what it has begun, what it answered and could not send, who is not awaited any more, and large answers."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import weakref
from functools import partial

from argosy import wire

# <linux/fcntl.h>
_ADD_SEALS = 1033
_SEAL_SEAL, _SEAL_SHRINK, _SEAL_GROW = 0x1, 0x2, 0x4


class Page:
    """The server's side of the shared page with `room` bytes for large answers; its layout is in `wire`. The worker inherits `fd`.

    Memory for answers is taken from the system when one is first written there, and kept for the next. Raises OSError when the system refuses it.
    """

    def __init__(self, room: int = 0) -> None:
        size = wire.ROOM_OFFSET + room
        self.room = room
        self._room = ctypes.c_char * room
        self._out: dict[int, weakref.ref[ctypes.Array[ctypes.c_char]]] = {}
        """What still refers to a place, by its number."""
        self.fd = os.memfd_create("argosy-page", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, self.fd)
            try:
                os.ftruncate(self.fd, size)
                self._map = mmap.mmap(self.fd, size)
            except OSError as error:  # a limit on files, on address space, or what this processor can address
                why = f"{error.strerror} (it shares {size} bytes of memory with us; a lower answer_memory_bytes may help)"
                raise OSError(error.errno, why) from error
            # a worker that made it shorter would end the server at its next look
            fcntl.fcntl(self.fd, _ADD_SEALS, _SEAL_SEAL | _SEAL_SHRINK | _SEAL_GROW)
            undo.pop_all()

    def _word(self, index: int) -> int:
        return int.from_bytes(self._map[index * 8 : index * 8 + 8], "little")

    @property
    def begun(self) -> int:
        """Jobs with this seq or a higher one have not reached the handler."""
        return self._word(wire.BEGUN)

    def unsent(self) -> list[wire.Answer]:
        """Answers that the worker finished and may not have sent. None if it left anything else there."""
        length = min(self._word(wire.OUTBOX), wire.OUTBOX_SIZE)
        try:
            answers = wire.read_answers(self._map[wire.PAGE_SIZE : wire.PAGE_SIZE + length])
            for answer in answers:
                self._check(answer.place)
                if not answer.failed:
                    wire.read_headers(answer.headers)
        except wire.WireError:
            return []
        return answers if all(answer.last for answer in answers) else []

    def finished(self) -> list[wire.Answer]:
        """The unsent answers of a worker that is running; none while it changes them."""
        before = self._map[: wire.WORDS_SIZE]
        answers = self.unsent()
        # records are written before the word that counts them, and a new batch moves BEGUN: equal words mean that nothing was written over
        return answers if self._map[: wire.WORDS_SIZE] == before else []

    def cancel(self, seq: int) -> None:
        """Tell the worker that nobody waits for job `seq`."""
        self._map[wire.CANCEL_OFFSET + seq % wire.CANCEL_SLOTS] = 1

    def uncancel(self, seq: int) -> None:
        """Make the place of `seq` usable for a later job."""
        self._map[wire.CANCEL_OFFSET + seq % wire.CANCEL_SLOTS] = 0

    def _check(self, place: wire.Place | None) -> None:
        if place is not None and (place.number >= wire.PLACES or place.offset + place.length > self.room):
            raise wire.WireError(f"an answer in a place that there is not: {place}")

    def body(self, place: wire.Place) -> memoryview:
        """The body that lies there. The place is the worker's again when nothing refers to this view or a part of it any more.

        Raises `wire.WireError` when there is no such place.
        """
        self._check(place)
        # an object of its own for each answer: views of views refer to what they are views of, and not to each other
        holder = self._room.from_buffer(self._map, wire.ROOM_OFFSET)
        self._out[place.number] = weakref.ref(holder, partial(self._free, place.number))
        return memoryview(holder).cast("B")[place.offset : place.offset + place.length]

    def _free(self, number: int, _: object) -> None:
        del self._out[number]
        self._map[wire.PLACES_OFFSET + number] = 0

    def close(self) -> None:
        """Free the memory, as soon as nobody refers to an answer in it."""
        os.close(self.fd)
        self._out.clear()
        with contextlib.suppress(BufferError):  # it goes with the last of them
            self._map.close()
