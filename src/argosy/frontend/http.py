"""HTTP/1.0 and 1.1 on one connection: httptools parses, the rest of the protocol is here.

A connection answers one request at a time, in order. What a client may send is limited before it is read; a refused client gets a reason.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import TYPE_CHECKING, cast

import httptools

from argosy.errors import ArgosyError, ErrorCode
from argosy.frontend.exchange import Exchange
from argosy.frontend.site import Plan, Site
from argosy.messages import Buffer
from argosy.protocols.endpoint import HttpReply
from argosy.protocols.status import failure, phrase

if TYPE_CHECKING:
    from argosy.frontend.listener import Listener

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_ID_CHARACTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/+=")
_BODY_RATE = 256
"""Bytes a second that a body must come in with, over `body_timeout_s`."""
_FORMS = (b"multipart/", b"application/x-www-form-urlencoded")


class Connection(asyncio.BufferedProtocol):
    """One client connection."""

    __slots__ = (
        "_body_left", "_budget_wait", "_continuing", "_ended", "_fed", "_lingering", "_listener", "_mark", "_parser", "_paused", "_reading", "_reading_paused",
        "_since", "_transport", "_waiting", "exchange", "peer", "site",
    )  # fmt: skip

    def __init__(self, site: Site, listener: Listener) -> None:
        self.site = site
        self.exchange: Exchange | None = None
        """The exchange that is being answered."""
        self.peer = ""
        self._listener = listener
        self._parser = httptools.HttpRequestParser(self)
        self._reading: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        """Requests that were read while an earlier one is being answered."""
        self._body_left = 0
        """Bytes of a large body that are still to be received straight into its slot."""
        self._fed = 0
        """Bytes of the head that is being read."""
        self._since = 0.0
        """When the connection became idle, or the head or body that is being read began."""
        self._mark = 0
        """How much of the body had come at `_since`."""
        self._budget_wait = False
        """The body that is being read waits for memory."""
        self._continuing = False
        """A fresh parser reads the body behind an ignored upgrade."""
        self._ended = False
        """Nothing more will be read: the last request was answered or refused."""
        self._lingering = False
        self._paused = False
        self._reading_paused = False

    def __repr__(self) -> str:
        return f"<Connection {self.peer} exchange={self.exchange!r} waiting={len(self._waiting)}{' ended' if self._ended else ''}>"

    # -- the transport -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._transport = cast(asyncio.Transport, transport)
        self._since = self.site.loop.time()
        peer = transport.get_extra_info("peername")
        self.peer = f"/{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "0.0.0.0"  # noqa: S104 - how MMS logs a unix socket
        if not self._listener.admit(self):
            self._ended = True
            self.write(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone: nothing that it asked for needs to be done any more."""
        self._ended = True
        self._listener.forget(self)
        current, self.exchange = self.exchange, None
        self._give_up_waiting()
        for exchange in (current, self._reading, *self._waiting):
            if exchange is not None:
                exchange.abandon()
        self._reading = None
        self._waiting.clear()

    def eof_received(self) -> bool:
        """The client sends nothing more. It gets the answers to what it sent; an unfinished request is dropped."""
        if self._reading is not None or (self.exchange is None and not self._waiting):
            return False
        if self.exchange is not None and self.exchange.request is not None:
            # a client that closed its socket looks the same as one that only finished sending: its job must not start
            return False
        self._ended = True
        return not isinstance(self._transport.get_extra_info("ssl_object"), ssl.SSLObject)

    def pause_writing(self) -> None:
        """The client reads too slowly: start no further request of it."""
        self._paused = True

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._paused = False
        self._next()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to receive: the slot of a large body, else the buffer that all connections share."""
        if self._body_left:
            reading = self._reading
            assert reading is not None and reading.slot is not None
            return reading.slot.view[reading.received :]
        return self.site.receive

    def buffer_updated(self, count: int) -> None:
        """`count` bytes were received."""
        self.site.counters.bytes_received += count
        if self._body_left:
            self._received_large(count)
        elif not self._ended:
            self._feed(self.site.receive[:count])

    def _received_large(self, count: int) -> None:
        reading = self._reading
        assert reading is not None
        reading.received += count
        self._body_left -= count
        if not self._body_left:
            # the old parser still waits for the body that it never saw
            self._parser = httptools.HttpRequestParser(self)
            self.on_message_complete()

    def _feed(self, data: Buffer) -> None:
        before = self._reading
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._without_upgrade(memoryview(data)[upgrade.args[0] :])
        except httptools.HttpParserError:
            if not self._ended:
                self._refuse(400, "BadRequestException", "Invalid HTTP message.")
        if self._ended:
            return
        if (reading := self._reading) is None:
            self._fed = 0
        elif reading.slot is not None:
            self._body_left = len(reading.slot.view) - reading.received
        elif reading.plan is None:
            self._fed = self._fed + len(data) if reading is before else len(data)
            if self._fed > self.site.limits.head_bytes + self.site.limits.target_bytes:
                self._refuse(431, "RequestHeaderFieldsTooLargeException", f"The request head is over {self.site.limits.head_bytes} bytes.")

    def _without_upgrade(self, rest: memoryview) -> None:
        """The client offered another protocol, which is ignored; llhttp stops at such a head, so a fresh parser reads the body."""
        reading = self._reading
        self._parser = httptools.HttpRequestParser(self)
        if reading is not None and not self._ended:
            names = [name.lower() for name in reading.headers[::2]]
            framing = next((k for k in (b"content-length", b"transfer-encoding") if k in names), None)
            value = reading.headers[2 * names.index(framing) + 1] if framing else b"0"
            self._continuing = True
            self._parser.feed_data(b"POST / HTTP/1.1\r\nHost: -\r\n%s: %s\r\n\r\n" % (framing or b"content-length", value))
        if len(rest) and not self._ended:
            self._feed(rest)

    # -- what the parser calls ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        if not self._continuing:
            self._since = now = self.site.loop.time()
            self._mark = 0
            self._reading = Exchange(self, now)

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        if self._continuing or self._ended:
            return
        reading = self._reading
        assert reading is not None
        reading.target += url
        if len(reading.target) > self.site.limits.target_bytes:
            self._refuse(414, "RequestUriTooLongException", f"The request target is over {self.site.limits.target_bytes} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field."""
        if self._continuing or self._ended:
            return
        assert self._reading is not None
        headers = self._reading.headers
        headers.append(name)
        headers.append(value)
        if len(headers) > 2 * self.site.limits.header_count:
            self._refuse(431, "RequestHeaderFieldsTooLargeException", f"The request has over {self.site.limits.header_count} header fields.")

    def on_headers_complete(self) -> None:
        """The head is whole: decide what to do with the request before its body is read."""
        if self._continuing or self._ended:
            return
        reading = self._reading
        assert reading is not None
        parser = self._parser
        reading.method = parser.get_method()
        reading.version = parser.get_http_version()
        reading.keep_alive = parser.should_keep_alive()
        if self._waiting or self.exchange is not None:
            self._pause_reading()
        head = _Head(reading)
        if sum(map(len, reading.headers)) > self.site.limits.head_bytes:
            self._refuse(431, "RequestHeaderFieldsTooLargeException", f"The request head is over {self.site.limits.head_bytes} bytes.")
            return
        reading.id = head.id or self.site.ids.fresh()
        reading.content_type = head.content_type
        problem = _problem(reading, head, self.site.limits.body_bytes)
        if problem is not None:
            self._refuse(*problem)
            return
        reading.plan = self.site.plan(reading.method, reading.target)
        if head.length >= self.site.limits.arena_bytes:
            self._reserve(reading, head)
        elif head.expects:
            self._invite(reading)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        reading = self._reading
        if self._ended or reading is None:
            return
        slot = reading.slot
        if slot is not None:  # what came along with the head
            slot.view[reading.received : reading.received + len(data)] = data
            reading.received += len(data)
            return
        reading.chunks.append(data)
        reading.received += len(data)
        if reading.received > self.site.limits.body_bytes:
            self._refuse(*_too_large(self.site.limits.body_bytes))
        elif reading.received > reading.reserved + self.site.limits.arena_bytes:
            self._grow(reading)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._continuing:
            self._continuing = False
        elif self._parser.should_upgrade():
            return  # its body follows, see `_without_upgrade`
        reading = self._reading
        if self._ended or reading is None:
            return
        self._reading = None
        self._give_up_waiting()  # it fitted into what came with its head
        if not reading.keep_alive:
            self._ended = True  # what follows a last request is ignored
        if self.exchange is None and not self._waiting and not self._paused:
            self.exchange = reading
            reading.start()
        else:
            self._waiting.append(reading)
            self._pause_reading()

    # -- bodies ------------------------------------------------------------------------------------------------------

    def _reserve(self, reading: Exchange, head: _Head) -> None:
        """See that there is memory for a large body before it is read."""
        if self.site.budget.take(head.length):
            reading.reserved = head.length
            self._place(reading, head.length, head.expects)
        elif head.length > self.site.budget.total:
            self._refuse(413, "RequestTooLargeException", f"The body is over {self.site.budget.total} bytes (setting request_memory_bytes).")
        else:
            self._pause_reading()
            self._budget_wait = True
            self.site.budget.wait(head.length, self._granted)

    def _granted(self) -> None:
        """The memory for the body that is being read is there now."""
        reading = self._reading
        assert reading is not None
        self._budget_wait = False
        head = _Head(reading)
        reading.reserved = head.length
        self._since = self.site.loop.time()
        self._place(reading, head.length, head.expects)
        if reading.slot is not None:
            self._body_left = len(reading.slot.view) - reading.received
        self._next()

    def _give_up_waiting(self) -> None:
        if self._budget_wait:
            self._budget_wait = False
            self.site.budget.give_up(self._granted)

    def _place(self, reading: Exchange, length: int, expects: bool) -> None:
        """Receive a large body for a handler straight into the arena of its model, if there is room."""
        model = reading.plan.model if reading.plan is not None else None
        if model is not None and model.arena is not None and not reading.content_type.lower().startswith(_FORMS):
            slot = model.arena.take(length)
            if slot is not None:
                slot.view[: reading.received] = b"".join(reading.chunks)
                reading.chunks.clear()
                reading.slot = slot
        if expects:
            self._invite(reading)

    def _grow(self, reading: Exchange) -> None:
        """A body without a length needs more memory."""
        step = max(reading.received - reading.reserved, self.site.limits.arena_bytes)
        if self.site.budget.take(step):
            reading.reserved += step
        else:
            self._refuse(503, "ServiceUnavailableException", "The server holds too many request bodies (setting request_memory_bytes); try again.")

    def _invite(self, reading: Exchange) -> None:
        """Answer `Expect: 100-continue`; a request that will be refused anyhow is read all the same."""
        if reading.received == 0:
            self.write(_CONTINUE)

    # -- replies -----------------------------------------------------------------------------------------------------

    def write(self, data: Buffer) -> None:
        """Send bytes; does nothing when the client is gone."""
        if not self._transport.is_closing():
            self.site.counters.bytes_sent += len(data)
            self._transport.write(data)

    def finished(self, exchange: Exchange, status: int, keep: bool) -> None:
        """The reply of the current exchange was sent."""
        site = self.site
        site.counters.count(status)
        now = site.loop.time()
        if site.access is not None:
            site.access.write(
                f'{self.peer} "{exchange.method.decode("latin-1")} {exchange.target.decode("latin-1")} HTTP/{exchange.version}" '
                f"{status} {int((now - exchange.started) * 1e3)}"
            )
        exchange.free()
        self.exchange = None
        self._since = now
        if not keep:
            self._end()
        elif self._waiting or self._reading_paused:
            self._next()

    def _next(self) -> None:
        """Start the next request, if it is its turn."""
        if self.exchange is None and self._waiting and not self._paused:
            self.exchange = self._waiting.popleft()
            self.site.loop.call_soon(self._start_current, self.exchange)
        if not self._waiting and not self._ended and not self._budget_wait:
            self._resume_reading()

    def _start_current(self, exchange: Exchange) -> None:
        if self.exchange is exchange:
            exchange.start()

    def _end(self) -> None:
        """Close the connection after what was written; if the client is still sending, first let it read the reply."""
        self._ended = True
        for exchange in self._waiting:
            exchange.free()
        self._waiting.clear()
        reading, self._reading = self._reading, None
        if reading is None:
            self._transport.close()
            return
        self._give_up_waiting()
        self._body_left = 0
        reading.free()
        if self._transport.can_write_eof():
            self._lingering = True
            self._since = self.site.loop.time()
            self._resume_reading()
            self._transport.write_eof()
        else:
            self._transport.close()

    def _refuse(self, status: int, kind: str, message: str) -> None:
        """Answer what cannot be read to its end, after the requests before it, and close."""
        self._ended = True
        reading = self._reading or Exchange(self, self.site.loop.time())
        reading.id = reading.id or self.site.ids.fresh()
        reading.method = reading.method or b"GET"
        reading.target = (reading.target or b"/")[:1024]
        reading.keep_alive = False
        reading.plan = Plan(refusal=HttpReply(status, failure(status, kind, message), reason=phrase(status)))
        self._reading = reading
        if self.exchange is None and not self._waiting:
            self.exchange = reading
            reading.start()
        else:
            self._waiting.append(reading)

    def _pause_reading(self) -> None:
        if not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()

    # -- time --------------------------------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Close the connection if its client is too slow. Called about once a second."""
        limits = self.site.limits
        waited = now - self._since
        if self._lingering:
            if waited > limits.linger_s:
                self._transport.abort()
        elif self._ended or self.exchange is not None:
            return
        elif self._reading is None:
            if waited > limits.idle_timeout_s:
                self._transport.close()
        elif self._reading.plan is None:
            if waited > limits.header_timeout_s:
                self._refuse(408, "RequestTimeoutException", f"The request head did not come within {limits.header_timeout_s:g} s.")
        elif waited > limits.body_timeout_s and not self._reading_paused:
            came = self._reading.received - self._mark
            if came < _BODY_RATE * limits.body_timeout_s:
                self._refuse(408, "RequestTimeoutException", f"The request body came too slowly: {came} bytes in {waited:.0f} s.")
            self._since, self._mark = now, self._reading.received if self._reading else 0

    def drain(self) -> None:
        """The server stops: close as soon as nothing is being answered."""
        if self.exchange is None and not self._waiting and (self._reading is None or self._reading.plan is None):
            self._ended = True
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()


class _Head:
    """What the server itself needs to know of a request's headers."""

    __slots__ = ("content_type", "encodings", "expects", "hosts", "id", "length", "unknown_expectation")

    def __init__(self, exchange: Exchange) -> None:
        self.content_type = b""
        self.encodings: list[bytes] = []
        self.expects = False
        self.unknown_expectation = False
        self.hosts = 0
        self.id = b""
        self.length = 0
        headers = exchange.headers
        for at in range(0, len(headers), 2):
            name = headers[at].lower()
            if name in _INTERESTING:
                self._note(name, headers[at + 1])

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            self.hosts += 1
        elif name == b"content-length":
            self.length = int(value)
        elif name == b"content-type":
            self.content_type = value
        elif name == b"transfer-encoding":
            self.encodings.append(value.strip().lower())
        elif name == b"expect":
            self.expects = value.strip().lower() == b"100-continue"
            self.unknown_expectation = not self.expects
        elif len(value) <= 128 and value and _ID_CHARACTERS.issuperset(value):
            self.id = value


_INTERESTING = frozenset({b"host", b"content-length", b"content-type", b"transfer-encoding", b"expect", b"x-request-id"})


def _too_large(limit: int) -> tuple[int, str, str]:
    return 413, "RequestTooLargeException", f"The request body is over the limit of {limit} bytes (setting max_request_size)."


def _problem(exchange: Exchange, head: _Head, body_limit: int) -> tuple[int, str, str] | None:
    """Why a request cannot be served, from its head alone: status, type and message of the refusal."""
    if exchange.version not in ("1.1", "1.0"):
        return 505, "HttpVersionNotSupportedException", "Only HTTP/1.0 and HTTP/1.1 are spoken here."
    if head.encodings and (head.encodings != [b"chunked"] or exchange.version == "1.0"):
        return 501, "NotImplementedException", "The only transfer coding that is understood is chunked, in HTTP/1.1."
    if head.hosts != 1 and (exchange.version == "1.1" or head.hosts):
        return 400, "BadRequestException", "An HTTP/1.1 request needs exactly one Host header."
    if exchange.method == b"CONNECT":
        return 405, "MethodNotAllowedException", "CONNECT is not served here."
    if head.unknown_expectation:
        return 417, "ExpectationFailedException", "The only expectation that is understood is 100-continue."
    if head.length > body_limit:
        return _too_large(body_limit)
    return None
