"""Request, Response and the reply sink: the one representation of a prediction inside the server."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from argosy.errors import ArgosyError

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Part:
    """A named input of a request: a query parameter, a form field or a multipart file."""

    name: str
    content_type: str
    """Media type of the part without parameters; empty if it had none."""
    value: Buffer


class JobState(enum.IntEnum):
    """Where an admitted request is. Written by `dataplane` only, and only forward."""

    NEW = 0
    WAITING = 1
    SENT = 2
    SETTLED = 3


_NEW = JobState.NEW


class Slot(Protocol):
    """A piece of shared memory that holds a large body; see `supervisor.arena`."""

    offset: int
    view: memoryview

    def release(self) -> None:
        """Give the memory back. Calling it again does nothing."""


class Response:
    """A complete answer. `headers` are (name, value) pairs chosen by the handler; None if it chose none."""

    __slots__ = ("body", "headers", "phrase", "status")

    def __init__(self, status: int, body: Buffer, phrase: str = "", headers: Sequence[tuple[str, str]] | None = None) -> None:
        self.status = status
        self.body = body
        self.phrase = phrase
        self.headers = headers

    def __repr__(self) -> str:
        return f"<Response {self.status} {len(self.body)} bytes>"


class Flow(Protocol):
    """The way back of a streamed answer."""

    def drained(self) -> None:
        """There is room for more: what `chunk` was given so far has been passed on. Nothing comes for long unless this is called again and again."""


class ReplySink(Protocol):
    """Where the answer of one request goes. Exactly one of `answer`, `respond`, `end` and `fail` is called, once, and nothing after it.

    A streamed answer begins with `begin`; pieces follow, and `end`, or `fail` when the rest will not come.
    """

    def answer(self, body: bytes, now: float) -> None:
        """The whole answer at once, as nearly every one is: status 200 and a body. `now` is a time of the loop's clock."""

    def respond(self, response: Response) -> None:
        """The whole answer at once, whatever it is."""

    def begin(self, response: Response, flow: Flow) -> None:
        """The answer comes in pieces; `response` has its status and headers, and no body."""

    def chunk(self, data: bytes) -> None:
        """A piece of the answer, never empty."""

    def end(self) -> None:
        """That was all."""

    def fail(self, error: ArgosyError) -> None:
        """There is no answer, or no rest of it."""


class Request:
    """One prediction on its way. Its id is the `x-request-id` of the exchange.

    `headers` is the header block as name, value, name, value … joined by NUL. `body` is None when the input is `parts` alone; `slot` is set
    when the body lies in the model's arena, `body` is then a view of it. `deadline` is in seconds of the monotonic clock, 0.0 for none.
    `admitted_at`, a time of the same clock, is when the queue got it. `state` belongs to the dataplane.
    """

    # class attributes are the defaults: most requests need none of them, and setting them would cost more than all the rest
    parts: Sequence[Part] = ()
    slot: Slot | None = None
    deadline = 0.0
    state = _NEW
    admitted_at = 0.0
    returned = 0
    """How often it was taken back from a worker that died before it began."""

    def __init__(
        self,
        id: bytes,
        content_type: bytes,
        headers: bytes,
        body: Buffer | None,
        sink: ReplySink,
        parts: Sequence[Part] = (),
        slot: Slot | None = None,
        deadline: float = 0.0,
    ) -> None:
        self.id = id
        self.content_type = content_type
        self.headers = headers
        self.body = body
        self.sink = sink
        if parts:
            self.parts = parts
        if slot is not None:
            self.slot = slot
        if deadline:
            self.deadline = deadline

    def __repr__(self) -> str:
        return f"<Request {self.id.decode('latin-1')} {self.state.name} body={0 if self.body is None else len(self.body)}>"


class PlainRequest(Request):
    """A request whose input is a small body and nothing else: no parts, no slot, no deadline. Nearly every one is.

    `shape` is what `wire.job_shape` makes of it. Whoever makes one sets `id`, `content_type`, `headers`, `body`, `sink`, `shape` and `admitted_at`.
    """

    # no constructor: calling one would take half of what it takes to make and fill the object
    __init__ = object.__init__

    body: Buffer
    shape: bytes
