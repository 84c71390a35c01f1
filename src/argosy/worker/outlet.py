"""The worker's end of one streamed answer: its frames, and how much the server has room for."""

from __future__ import annotations

from typing import List

from argosy import wire
from argosy.errors import ErrorCode
from argosy.worker.link import Link, LinkClosed

CANCELLED = "Nobody waits for this request any more"


class Outlet:
    """What was sent of one streamed answer, and what may be sent now. Raises like `Link`."""

    def __init__(self, link: Link, seq: int) -> None:
        self._link = link
        self._seq = seq
        self._sent = 0
        self._head: List[wire.Buffer] = []
        """The head, until the first piece goes out with it."""
        self.begun = False

    def __repr__(self) -> str:
        return "<Outlet of job {} {} bytes sent{}>".format(self._seq, self._sent, " full" if self.is_full else "")

    @property
    def is_full(self) -> bool:
        """Whether the server has to make room first; it tells by a CREDIT frame."""
        return self._sent - self._link.credits.get(self._seq, 0) >= wire.WINDOW

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody reads it any more."""
        return self._link.is_cancelled(self._seq)

    def begin(self, status: int, phrase: bytes, headers: bytes) -> None:
        """The answer has this head. It is sent together with the first piece."""
        self._link.flush()
        record = wire.answer_record(self._seq, status, b"", flags=0, phrase=phrase, headers=headers)
        self._head = [wire.frame(wire.HEAD, record, count=1)]
        self._link.credits[self._seq] = 0
        self.begun = True

    def flush(self) -> None:
        """Send the head, if it has not been sent."""
        if self._head:
            head, self._head = self._head, []
            self._link.send_pieces(head)

    def send(self, data: wire.Buffer) -> None:
        """Send a piece of at most `wire.PIECE` bytes."""
        if self._link.abandoned:
            raise LinkClosed("a fork of the worker came back from the handler")
        head, self._head = self._head, []
        self._link.send_pieces([*head, wire.frame_header(wire.CHUNK, len(data), id=self._seq), data])
        self._sent += wire.HEADER.size + len(data)

    def end(self, busy_us: int) -> None:
        """That was all."""
        self._finish(wire.END, wire.answer_record(self._seq, 200, b"", busy_us=busy_us))

    def fail(self, seq: int, code: int, message: str, detail: str = "", status: int = 0, busy_us: int = 0) -> None:
        """The rest will not come; the arguments are those of `Link.fail`."""
        if self.begun:
            self._finish(wire.ERROR, wire.failure_record(seq, code, message, detail=detail, status=status, busy_us=busy_us))
        else:
            self._link.fail(seq, code, message, detail, status, busy_us)

    def drop(self, busy_us: int) -> None:
        """Nobody reads it any more."""
        self.fail(self._seq, ErrorCode.CANCELLED, CANCELLED, busy_us=busy_us)

    def _finish(self, kind: int, record: bytes) -> None:
        head, self._head = self._head, []
        self._link.flush()
        self._link.send_pieces([*head, wire.frame(kind, record, id=self._seq)])
        del self._link.credits[self._seq]
