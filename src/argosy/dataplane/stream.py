"""A streamed answer under way: what came of it, how far its client has followed, and that it ends once."""

from __future__ import annotations

import logging
from collections.abc import Callable

from argosy import wire
from argosy.errors import ArgosyError
from argosy.messages import JobState, Request, Response

_log = logging.getLogger("argosy.dataplane")
_STEP = wire.WINDOW // 2
"""Credit is given for so many bytes at once: a frame for each piece would wake the worker more often than the pieces do."""


class Stream:
    """Takes the place of the reply sink of a job whose answer comes in pieces.

    `send` writes to the worker. `leave` is told when the client cannot take a piece. The worker stops when it has sent `wire.WINDOW` bytes that the
    client has not made room for.
    """

    __slots__ = ("_credit", "_job", "_leave", "_received", "_send", "_seq", "sink")

    def __init__(self, job: Request, seq: int, send: Callable[[bytes], None], leave: Callable[[Request], None]) -> None:
        self.sink = job.sink
        self._job = job
        self._seq = seq
        self._send = send
        self._leave = leave
        self._received = 0
        self._credit = 0

    def __repr__(self) -> str:
        return f"<Stream of {self._job.id.decode('latin-1')} {self._received} bytes{' stalled' if self.is_stalled else ''}>"

    @property
    def is_stalled(self) -> bool:
        """Whether the worker may not go on until the client has made room."""
        return self._received - self._credit >= wire.WINDOW and self._job.state is not JobState.SETTLED

    def drained(self) -> None:
        """See `messages.Flow`."""
        if self._received - self._credit >= _STEP and self._job.state is not JobState.SETTLED:
            self._credit = self._received
            self._send(wire.credit_frame(self._seq, self._credit))

    def cancel(self) -> None:
        """Wake the worker, should it wait for room: nobody reads the answer any more."""
        self._send(wire.frame(wire.CANCEL, id=self._seq))

    # -- the reply sink ----------------------------------------------------------------------------------------------

    def begin(self, response: Response, flow: object = None) -> None:
        """The head of the answer came."""
        self._guard(lambda: self.sink.begin(response, self))

    def chunk(self, data: bytes) -> None:
        """A piece came. Those that nobody waits for any more are dropped."""
        self._received += wire.HEADER.size + len(data)
        if data and self._job.state is not JobState.SETTLED:
            self._guard(lambda: self.sink.chunk(data))

    def _guard(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception:  # noqa: BLE001  the job boundary: one client's trouble must not reach the link
            _log.exception("request %s: its client could not be given the streamed answer", self._job.id.decode("latin-1"))
            self._leave(self._job)

    def answer(self, body: bytes, now: float) -> None:
        """The worker said that this was all."""
        self.sink.end()

    def respond(self, response: Response) -> None:
        """The same."""
        self.sink.end()

    def end(self) -> None:
        """The same."""
        self.sink.end()

    def fail(self, error: ArgosyError) -> None:
        """The rest will not come."""
        self.sink.fail(error)
