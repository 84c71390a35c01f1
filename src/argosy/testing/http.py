"""A client of the HTTP frontend without a network: it sends bytes in any pieces and reads what the server wrote."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argosy.config import Address
from argosy.dataplane.model import Counters
from argosy.dataplane.registry import Registry
from argosy.dataplane.served import ServedModel
from argosy.errors import ArgosyError
from argosy.frontend.head import access_lines
from argosy.frontend.http import Connection
from argosy.frontend.limits import Limits
from argosy.frontend.listener import Listener
from argosy.frontend.site import Budget, HttpCounters, Site
from argosy.messages import JobState, Request, Response
from argosy.protocols.endpoint import Action, Call, Dialect, HttpReply, HttpRequest, Predict
from argosy.protocols.status import error_reply, not_allowed, not_found
from argosy.protocols.tokens import Gate
from argosy.supervisor.arena import Arena
from argosy.supervisor.spec import ModelSpec
from argosy.testing.loop import FakeLoop

_HIGH_WATER = 64 * 1024


class FakeSocket:
    """What a connection asks of the system is in `options`."""

    family = socket.AF_INET

    def __init__(self) -> None:
        self.options: dict[int, int | bytes] = {}

    def __repr__(self) -> str:
        return f"<FakeSocket {self.options}>"

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Keep it."""
        assert level == socket.SOL_SOCKET
        self.options[option] = value

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        """It cannot tell anything."""
        return b""


class FakeTransport(asyncio.Transport):
    """The server's end of a connection. What it writes is in `sent`; with `stuck` the client does not read it."""

    def __init__(
        self, loop: FakeLoop, *, is_tls: bool = False, peer: object = ("192.0.2.7", 4711), certificate: dict[str, Any] | None = None
    ) -> None:
        self.socket = FakeSocket()
        super().__init__({"peername": peer, "peercert": certificate, "socket": self.socket, "ssl_object": object() if is_tls else None})
        self.sent = bytearray()
        self.unsent = 0
        """Bytes that the client has not read yet."""
        self.stuck = False
        self.is_reading_paused = False
        self.eof_sent = False
        self.closing = False
        self.aborted = False
        self.is_lost = False
        self.protocol: Connection
        self._loop = loop
        self._is_tls = is_tls
        self._is_writing_paused = False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Keep what is sent."""
        assert not self.eof_sent, "written after the end"
        self.sent += data
        if self.stuck:
            self.unsent += len(data)
            if self.unsent > _HIGH_WATER and not self._is_writing_paused:
                self._is_writing_paused = True
                self.protocol.pause_writing()

    def read_on(self, count: int | None = None) -> None:
        """The client reads so many of the bytes that it left unread; all of them, and all to come, by default."""
        self.stuck = count is not None
        self.unsent -= self.unsent if count is None else count
        if self._is_writing_paused and not self.unsent:
            self._is_writing_paused = False
            self.protocol.resume_writing()
        if self.closing and not self.unsent:
            self.lose(None)

    def get_write_buffer_size(self) -> int:
        """What the client has not read."""
        return self.unsent

    def can_write_eof(self) -> bool:
        """TLS cannot."""
        return not self._is_tls

    def write_eof(self) -> None:
        """Nothing more will be written."""
        self.eof_sent = True

    def pause_reading(self) -> None:
        """Deliver nothing until `resume_reading`."""
        assert not self.is_reading_paused
        self.is_reading_paused = True

    def resume_reading(self) -> None:
        """Deliver again."""
        assert self.is_reading_paused
        self.is_reading_paused = False

    def is_closing(self) -> bool:
        """Whether it was closed from this side."""
        return self.closing

    def close(self) -> None:
        """End the connection when everything is sent."""
        self.closing = True
        if not self.unsent:
            self.lose(None)

    def abort(self) -> None:
        """End the connection."""
        self.closing = self.aborted = True
        self.lose(None)

    def lose(self, error: Exception | None) -> None:
        """The connection has ended."""
        if not self.is_lost:
            self.is_lost = self.closing = True
            self._loop.call_soon(self.protocol.connection_lost, error)


@dataclass(frozen=True)
class Reply:
    """One reply as a client reads it."""

    status: int
    phrase: str
    headers: tuple[tuple[str, str], ...]
    """Names in lower case."""
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header that may be there once."""
        found = [value for key, value in self.headers if key == name]
        assert len(found) < 2, f"{name} is there {len(found)} times"
        return found[0] if found else None


def read_replies(data: bytes, bodiless: Sequence[int] = ()) -> list[Reply]:
    """The replies that `data` consists of; those with an index in `bodiless` answer HEAD. Raises ValueError on anything that is not exactly that."""
    replies: list[Reply] = []
    while data:
        head, separator, data = data.partition(b"\r\n\r\n")
        if not separator:
            raise ValueError(f"a reply without an end: {head!r}")
        first, *lines = head.split(b"\r\n")
        version, status, phrase = first.split(b" ", 2)
        if version != b"HTTP/1.1" or any(c in line for line in (first, *lines) for c in b"\r\n\0"):
            raise ValueError(f"a malformed head: {head!r}")
        pairs = tuple(_field(line) for line in lines)
        reply = Reply(int(status), phrase.decode("latin-1"), pairs, b"")
        has_body = reply.status >= 200 and reply.status not in (204, 304) and len([r for r in replies if r.status >= 200]) not in bodiless
        length = int(reply.header("content-length") or "0") if has_body else 0
        if has_body and (reply.header("content-length") is None or len(data) < length):
            raise ValueError(f"a body that does not fit its length: {reply} {data!r}")
        replies.append(Reply(reply.status, reply.phrase, pairs, data[:length]))
        data = data[length:]
    return replies


def _field(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode("latin-1").partition(":")
    return name.lower(), value.strip()


class FakeModel(ServedModel):
    """A model that answers at once with `handler`, or keeps its requests in `jobs` until the test calls `answer` when there is none."""

    def __init__(self, name: str = "echo", handler: Callable[[Request], Response | ArgosyError] | None = None, arena_size: int = 1 << 20) -> None:
        self.spec = ModelSpec(
            name=name, version=None, url=name, directory=Path("/models") / name, handler="service:handle", runtime="python", interpreter="python",
            manifest=None)  # fmt: skip
        self.counters = Counters()
        self.style = {}
        self.min_workers = self.max_workers = 1
        self.arena = Arena(arena_size) if arena_size else None
        self.handler = handler
        self.jobs: list[Request] = []
        self.bodies: list[bytes] = []
        """What came, in order."""
        self.cancelled: list[Request] = []

    def __repr__(self) -> str:
        return f"<FakeModel {self.spec.name} {len(self.jobs)} jobs>"

    def submit(self, request: Request) -> None:
        """Take a request."""
        request.state = JobState.WAITING
        self.jobs.append(request)
        self.bodies.append(b"" if request.body is None else bytes(request.body))
        if self.handler is not None:
            self.answer(self.handler(request))

    def answer(self, outcome: Response | ArgosyError, index: int = 0) -> None:
        """Settle a request that waits."""
        request = self.jobs.pop(index)
        if isinstance(outcome, Response):
            outcome.body = bytes(outcome.body)
        if request.slot is not None:
            request.slot.release()
        request.state = JobState.SETTLED
        if isinstance(outcome, ArgosyError):
            request.sink.fail(outcome)
        else:
            request.sink.respond(outcome)

    def cancel(self, request: Request) -> None:
        """Nobody waits for it any more."""
        if request in self.jobs:
            self.jobs.remove(request)
            self.cancelled.append(request)
            if request.slot is not None:
                request.slot.release()


class FakeDialect:
    """`/predictions/<model>` predicts, `/invoke/<model>` does so with the query; other paths are those of `calls`."""

    def __init__(self) -> None:
        self.calls: dict[str, Call] = {"/ping": Call(lambda _: HttpReply(200, b'{"status": "Healthy"}\n'))}
        self.seen: list[HttpRequest] = []
        self.calls["/show"] = Call(self._show)

    def _show(self, request: HttpRequest) -> HttpReply:
        self.seen.append(request)
        return HttpReply(200, request.body, None)

    def route(self, method: str, path: str, query: str) -> Action:
        """See `Dialect`."""
        first, _, rest = path[1:].partition("/")
        if first in ("predictions", "invoke"):
            return Predict(rest, first == "invoke")
        if path not in self.calls:
            raise not_found()
        if method == "DELETE":
            raise not_allowed()
        return self.calls[path]

    def error_reply(self, error: ArgosyError, request_id: str) -> HttpReply:
        """See `Dialect`."""
        return error_reply(error)


def echo(request: Request) -> Response:
    """Answer with the body."""
    return Response(200, b"" if request.body is None else bytes(request.body))


class LineList:
    """Keeps the lines of the access log."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, record: tuple[Any, ...]) -> None:
        """Keep the line of a reply."""
        self.lines += access_lines([record])


@dataclass
class FakeSite:
    """A listener without a socket, with one model and one dialect."""

    limits: Limits = field(default_factory=Limits)
    budget_bytes: int = 1 << 20
    model: FakeModel = field(default_factory=lambda: FakeModel(handler=echo))
    dialect: Dialect = field(default_factory=FakeDialect)
    cors: tuple[tuple[str, str], ...] = ()
    gate: Gate | None = None

    def __post_init__(self) -> None:
        self.loop = FakeLoop()
        self.log = LineList()
        self.registry = Registry()
        self.registry.add(self.model)
        self.budget = Budget(self.budget_bytes)
        self.counters = HttpCounters()
        self.site = Site(self.loop, self.dialect, self.registry, self.limits, self.budget, self.counters, self.log.write, self.cors, self.gate)
        self.listener = Listener(Address("http", "127.0.0.1", 0), self.site)

    def client(
        self, *, is_tls: bool = False, peer: object = ("192.0.2.7", 4711), certificate: dict[str, Any] | None = None
    ) -> FakeClient:
        """A new connection, of a client with this certificate."""
        return FakeClient(self, FakeTransport(self.loop, is_tls=is_tls, peer=peer, certificate=certificate))

    def is_clean(self) -> bool:
        """Whether all memory for bodies was given back."""
        return self.budget.used == 0 and (self.model.arena is None or self.model.arena.used == 0)

    def close(self) -> None:
        """Give the memory of the model back."""
        if self.model.arena is not None:
            self.model.arena.close()


class FakeClient:
    """A client. Bytes reach the server when it reads: not while it has paused reading, and never after it has closed."""

    def __init__(self, site: FakeSite, transport: FakeTransport) -> None:
        self.transport = transport
        self.connection = transport.protocol = Connection(site.site, site.listener)
        self._loop = site.loop
        self._outgoing = bytearray()
        self._half_closed = False
        self._taken = 0
        self.connection.connection_made(transport)
        self._loop.run()

    def send(self, *pieces: bytes) -> FakeClient:
        """Send these, each as a packet of its own."""
        for piece in pieces:
            self._outgoing += piece
            self.pump()
        return self

    def send_split(self, data: bytes, at: Iterable[int]) -> FakeClient:
        """Send `data` cut at these positions."""
        last = 0
        for position in sorted(at):
            self.send(data[last:position])
            last = position
        return self.send(data[last:])

    def pump(self) -> FakeClient:
        """Let the server run, and read what waits if it wants to."""
        self._loop.run()
        while self._is_told() and not self.transport.is_reading_paused and not self.transport.closing:
            view = self.connection.get_buffer(-1)
            count = min(len(view), len(self._outgoing))
            view[:count] = self._outgoing[:count]
            del self._outgoing[:count]
            self.connection.buffer_updated(count)
            self._loop.run()
        if self._half_closed and not self._outgoing and not self.transport.is_reading_paused and not self.transport.closing:
            self._half_closed = False
            if not self.connection.eof_received():
                self.transport.close()
            self._loop.run()
        return self

    def _is_told(self) -> bool:
        """Whether the system tells the server of what was sent: it may have been asked not to before there is much of it."""
        least = self.transport.socket.options.get(socket.SO_RCVLOWAT, 1)
        assert isinstance(least, int)
        return len(self._outgoing) >= least or (self._half_closed and bool(self._outgoing))

    def finish(self) -> FakeClient:
        """Send nothing more, but read on."""
        self._half_closed = True
        return self.pump()

    def leave(self, error: Exception | None = None) -> FakeClient:
        """Be gone."""
        self.transport.lose(error)
        self._loop.run()
        return self

    def wait(self, seconds: float, sweep: float = 1.0) -> FakeClient:
        """Let time pass; the server looks for slow clients every `sweep` seconds."""
        while seconds > 0:
            self._loop.advance(min(sweep, seconds))
            seconds -= sweep
            if not self.transport.is_lost:
                self.connection.sweep(self._loop.now)
            self.pump()
        return self

    @property
    def raw(self) -> bytes:
        """What came since the last look, with what is sent at the end of this turn of the loop."""
        self._loop.run()
        new = bytes(self.transport.sent[self._taken :])
        self._taken = len(self.transport.sent)
        return new

    def replies(self, bodiless: Sequence[int] = ()) -> list[Reply]:
        """The replies that came since the last look."""
        return read_replies(self.raw, bodiless)

    def reply(self) -> Reply:
        """The only one."""
        (reply,) = self.replies()
        return reply

    @property
    def is_open(self) -> bool:
        """Whether the server has neither closed nor half-closed the connection."""
        return not (self.transport.closing or self.transport.eof_sent)
