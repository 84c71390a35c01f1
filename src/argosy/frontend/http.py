"""HTTP/1.0 and 1.1 on one connection: httptools parses, the rest of the protocol is here.

A connection answers one request at a time, in order. What a client may send is limited before it is read; a refused client gets a reason.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import deque
from typing import TYPE_CHECKING, cast

import httptools

from argosy.frontend import body
from argosy.frontend.exchange import Exchange
from argosy.frontend.head import NO_HEAD, Head, read_head, subject
from argosy.frontend.limits import NO_MEMORY, Problem, endless, long_trailers, over_budget, oversize, slow_body, slow_head, too_large
from argosy.frontend.site import Site
from argosy.messages import Buffer

if TYPE_CHECKING:
    from argosy.frontend.listener import Listener

_log = logging.getLogger("argosy.frontend")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STOPS = (httptools.HttpParserError, httptools.HttpParserUpgrade)


class Connection(asyncio.BufferedProtocol):
    """One client connection."""

    __slots__ = (
        "_body_left", "_budget_wait", "_continuing", "_deferred", "_ended", "_fed", "_fields", "_head", "_lingering", "_listener", "_mark", "_parser",
        "_paused", "_reading", "_reading_paused", "_room", "_since", "_target", "_transport", "_unsent", "_waiting", "exchange", "peer", "site",
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
        self._target = b""
        self._fields: list[bytes] = []
        self._head = NO_HEAD
        """The last head that may come again."""
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
        self._unsent = 0
        """How much the client had not read when that was last looked at."""
        self._deferred: bytes | None = None
        """A reply that is sent at the end of this turn of the loop."""
        self._room = site.receive_head
        """Where the beginning of a request is received."""
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
        certificate = transport.get_extra_info("peercert")
        if certificate:
            self.peer += f" [{subject(certificate)}]"
        if not self._listener.admit(self):
            self._ended = True
            self.write(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone: nothing that it asked for needs to be done any more."""
        self._ended = True
        self._listener.forget(self)
        self.site.unread.remove(self)
        current, self.exchange = self.exchange, None
        if current is not None and current.streamed is not None and self.site.access is not None:
            reply, current.streamed = current.streamed, None
            self.site.access((self.site.loop.time(), self.peer, current.head, reply.status, current.started, reply.size))
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
        self.site.unread.add(self)

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._paused = False
        self.site.unread.remove(self)
        if self.exchange is not None and self.exchange.streamed is not None:
            self.exchange.streamed.resume()
        self._next()

    @property
    def is_paused(self) -> bool:
        """Whether the client has yet to read what was written for it."""
        return self._paused

    @property
    def socket(self) -> socket.socket | None:
        """The client's socket, for its options."""
        found: socket.socket | None = self._transport.get_extra_info("socket")
        return found

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to receive: the slot of a large body, else the buffer that all connections share.

        Of that only the beginning as long as no head was read: what comes along of a large body has to be copied twice.
        """
        reading = self._reading
        if self._body_left:
            assert reading is not None
            assert reading.slot is not None
            return reading.slot.view[reading.received :]
        if reading is None:
            return self._room
        # no more than is left of its body: what comes behind it would be taken apart at once, however many requests it were
        return self.site.receive[: max(len(self.site.receive_head), reading.head.length - reading.received)]

    def buffer_updated(self, count: int) -> None:
        """`count` bytes were received."""
        head = self._head
        if count == head.size and self.exchange is None and self._is_again(head):  # the usual request of a client that goes on
            self._predict(head, head.block, len(head.raw), count)
        elif self._body_left:
            self._received_large(count)
        elif not self._ended and not self._is_alike(head, count):
            self._feed(self.site.receive[:count])

    def _is_again(self, head: Head) -> bool:
        """Whether a request begins with the same bytes as an earlier one and therefore means the same: it need not be parsed again."""
        site = self.site
        return (
            self._reading is None
            and not self._paused
            and not self._ended
            and site.received.startswith(head.raw)
            and head.generation == site.registry.generation
        )

    def _predict(self, head: Head, block: bytes, begin: int, end: int) -> None:
        """An ordinary prediction has come whole, without having been parsed; its body lies between `begin` and `end`."""
        site = self.site
        self._since = now = site.loop.time()
        self.exchange = exchange = Exchange(self, now)
        exchange.head = head
        exchange.id = site.ids.fresh()
        exchange.predict(bytes(site.receive[begin:end]), block)

    def _is_alike(self, head: Head, count: int) -> bool:
        """Whether a request that is much like an earlier one has come and was taken without being parsed."""
        if head.large is not None:
            return self._large_again(head, count)
        if head.pattern is None or self._reading is not None or self.exchange is not None or self._paused:
            return False
        found = head.pattern.match(self.site.received, count)
        if found is None or head.generation != self.site.registry.generation:
            return False
        self._predict(head, found[1], found[0], count)
        return True

    def _large_again(self, head: Head, count: int) -> bool:
        """The beginning of a request with the same head as an earlier one, whose body goes into a slot; False when it is something else."""
        site, start, model = self.site, len(head.raw), head.large
        if self.exchange is not None or not 0 < start <= count < start + head.length or not self._is_again(head):
            self._room = site.receive_head
            return False
        assert model is not None
        if not site.budget.take(head.length):
            return False
        slot = model.arena.take(head.length) if model.arena is not None else None
        if slot is None:
            site.budget.give_back(head.length)
            return False
        self._since = now = site.loop.time()
        self._mark = 0
        self._reading = reading = Exchange(self, now)
        reading.head = head
        reading.id = site.ids.fresh()
        reading.reserved = head.length
        reading.slot = slot
        reading.received = count - start
        slot.view[: count - start] = site.receive[start:count]
        self._body_left = head.length - reading.received
        return True

    def _received_large(self, count: int) -> None:
        reading = self._reading
        assert reading is not None
        reading.received += count
        self._body_left -= count
        if not self._body_left:
            self.on_message_complete()

    def _feed(self, data: memoryview) -> None:
        before = self._reading
        self._fed = len(data) if before is None else self._fed + len(data)
        try:
            self._parser.feed_data(data)
        except _STOPS as error:
            self._stopped(error, data)
        if self._reading is not None and not self._ended:
            self._unfinished(self._reading, before, data)
        elif before is None and self.exchange is not None and self.exchange.head is self._head and not self._head.raw:
            self._head.remember(data, len(data) - self._head.length, self._small)

    @property
    def _small(self) -> int:
        limits = self.site.limits
        return min(limits.arena_bytes, limits.body_bytes)

    def _unfinished(self, reading: Exchange, before: Exchange | None, data: memoryview) -> None:
        """What came does not end the request: see that it stays within its limits."""
        if reading.slot is not None:
            if before is None and reading.head is self._head and reading.head.large is not None:
                reading.head.remember(data, len(data) - reading.received, self._small)
                self._room = self.site.receive[: len(reading.head.raw)] or self._room
            self._receive_into(reading)
        elif reading.head is NO_HEAD:
            if reading is not before:
                self._fed = len(data)
            if self._fed > self.site.limits.head_bytes:
                self._bound_head()
        elif reading.head.is_chunked:
            self._bound_framing(reading)

    def _receive_into(self, reading: Exchange) -> None:
        """Let the rest of the body come straight into its slot, past the parser, which would wait for it for ever."""
        assert reading.slot is not None
        self._body_left = len(reading.slot.view) - reading.received
        self._parser = httptools.HttpRequestParser(self)

    def _bound_head(self) -> None:
        """Refuse a head that is too long already. Of what came with its beginning, most may have belonged to earlier requests."""
        problem = endless(self._target, self._fields, self.site.limits, self._fed, len(self.site.receive))
        if problem is not None:
            self._refuse(problem)

    def _bound_framing(self, reading: Exchange) -> None:
        """Extensions of chunks and trailers are dropped, but they may not go on for ever."""
        if reading.received != reading.framed:
            reading.framed, self._fed = reading.received, 0
        elif self._fed > self.site.limits.head_bytes + self.site.limits.target_bytes:
            self._refuse(long_trailers(self.site.limits))

    def _stopped(self, error: Exception, data: memoryview) -> None:
        """The parser does not go on."""
        if isinstance(error, httptools.HttpParserUpgrade):
            self._without_upgrade(data[error.args[0] :])
        elif isinstance(error, httptools.HttpParserCallbackError):
            _log.error("A request could not be handled", exc_info=error)
            self._refuse((500, "InternalServerException", "The server failed; its log says more."))
        else:
            self._refuse((400, "BadRequestException", "Invalid HTTP message."))

    def _without_upgrade(self, rest: memoryview) -> None:
        """The client offered another protocol, which is ignored; llhttp stops at such a head, so a fresh parser reads the body.

        Only the last request of a connection may be so: what follows it might be of the other protocol.
        """
        reading = self._reading
        if reading is None or self._ended:
            return
        head = reading.head
        self._parser = httptools.HttpRequestParser(self)
        self._continuing = True
        head.keep_alive = head.is_plain = False
        self._parser.feed_data(head.framing)
        if len(rest) and not self._ended:
            try:
                self._parser.feed_data(rest)
            except _STOPS as error:
                self._stopped(error, rest)

    # -- what the parser calls ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        if not self._continuing:
            self._target = b""
            self._fields = []
            self._since = now = self.site.loop.time()
            self._mark = 0
            self._reading = Exchange(self, now)

    def on_url(self, url: bytes) -> None:
        """A piece of the request target. Its length is bounded by what is received before the head is whole, and checked then."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field; bounded like the target."""
        self._fields += (name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: decide what to do with the request before its body is read."""
        reading = self._reading
        if self._continuing or self._ended or reading is None:
            return
        parser = self._parser
        site = self.site
        fields, self._fields = self._fields, []
        known = self._head
        if (
            known.fields == fields
            and known.target == self._target
            and known.generation == site.registry.generation
            and known.method == parser.get_method()
            and known.keep_alive == parser.should_keep_alive()
        ):
            head = known
        else:
            head = read_head(parser, self._target, fields, self._fed, site)
            if head.is_repeatable and head.plan is not None and head.plan.model is not None:
                self._head = head
        reading.head = head
        if self.exchange is not None or self._waiting:
            self._pause_reading()
        if head.problem is not None:
            reading.id = head.id or site.ids.fresh()
            self._refuse(head.problem)
            return
        reading.id = head.id or site.ids.fresh()
        if head.length >= site.limits.arena_bytes:
            self._reserve(reading)
        elif head.expects:
            self._invite(reading)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        reading = self._reading
        if self._ended or reading is None:
            return
        if reading.head.model is not None and not reading.chunks:  # small, and its length is known to be within the limits
            reading.chunks.append(data)
            reading.received = len(data)
            return
        body.keep(reading, data)
        if reading.slot is not None:
            return
        if reading.received > self.site.limits.body_bytes:
            self._refuse(too_large(self.site.limits.body_bytes))
        elif reading.received > reading.reserved + self.site.limits.arena_bytes and not self._budget_wait and not body.grow(reading, self.site):
            self._refuse(NO_MEMORY)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._continuing:
            self._continuing = False
        reading = self._reading
        if self._ended or reading is None:
            return
        if reading.head.model is None and not self._is_whole(reading):
            return
        self._reading = None
        if self._budget_wait:
            self._give_up_waiting()  # it fitted into what came with its head
        if not reading.head.keep_alive:
            self._ended = True  # what follows a last request is ignored
        if self.exchange is None and not self._waiting and not self._paused:
            self.exchange = reading
            reading.start()
        else:
            self._waiting.append(reading)
            self._pause_reading()

    def _is_whole(self, reading: Exchange) -> bool:
        """Whether a request that the parser has finished is whole; False also when it was refused."""
        if reading.head.upgrades and not reading.upgraded and self._parser.should_upgrade():
            reading.upgraded = True
            return False  # its body follows, see `_without_upgrade`
        if reading.head.is_chunked and oversize(b"", self._fields, self.site.limits, self.site.limits.head_bytes + 1):
            self._refuse(long_trailers(self.site.limits))
            return False
        return True

    # -- bodies ------------------------------------------------------------------------------------------------------

    def _reserve(self, reading: Exchange) -> None:
        """See that there is memory for a large body before it is read."""
        if self.site.budget.take(reading.head.length):
            reading.reserved = reading.head.length
            self._place(reading)
        elif reading.head.length > self.site.budget.total:
            self._refuse(over_budget(self.site.budget.total))
        else:
            self._pause_reading()
            self._budget_wait = True
            self.site.budget.wait(reading.head.length, self._granted)

    def _granted(self) -> None:
        """The memory for the body that is being read is there now."""
        reading = self._reading
        assert reading is not None
        self._budget_wait = False
        reading.reserved = reading.head.length
        self._since = self.site.loop.time()
        self._place(reading)
        if reading.slot is not None:
            self._receive_into(reading)
        if not reading.uninvited:  # else reading goes on when it is its turn
            self._next()

    def _give_up_waiting(self) -> None:
        if self._budget_wait:
            self._budget_wait = False
            self.site.budget.give_up(self._granted)

    def _place(self, reading: Exchange) -> None:
        """There is memory for the body: receive it, straight into the arena of its model where that is possible."""
        body.place(reading)
        if reading.head.expects:
            self._invite(reading)

    def _invite(self, reading: Exchange) -> None:
        """Answer `Expect: 100-continue` when it is its turn; a request that will be refused anyhow is read all the same."""
        reading.uninvited = self.exchange is not None or bool(self._waiting)
        if not reading.uninvited and reading.received == 0:
            self.write(_CONTINUE)

    # -- replies -----------------------------------------------------------------------------------------------------

    def send(self, reply: bytes) -> None:
        """Send the reply of the current exchange, together with those of other connections.

        The replies of a message from a worker are made one after the other and then sent one after the other: in turns, each system call would
        throw out of the processor's caches what the next reply needs.
        """
        if self._deferred is not None:
            self._deferred += reply
            return
        self._deferred = reply
        site = self.site
        if not site.senders:
            site.loop.call_soon(site.send)
        site.senders.append(self)

    def flush(self) -> None:
        """Send the reply that was put off."""
        reply, self._deferred = self._deferred, None
        if reply is not None and not self._transport.is_closing():
            self._transport.write(reply)

    def write(self, data: Buffer) -> None:
        """Send bytes; does nothing when the client is gone."""
        self.flush()
        if not self._transport.is_closing():
            self._transport.write(data)

    def finished(self, exchange: Exchange, status: int, keep: bool, streamed: int | None = None) -> None:
        """The reply of the current exchange was sent; `streamed` is the length of its body, if that came in pieces."""
        site = self.site
        if status == 200:
            site.counters.successful += 1
        else:
            site.counters.count(status)
        now = site.loop.time()
        if site.access is not None:
            if streamed is None:
                site.access((now, self.peer, exchange.head, status, exchange.started))
            else:
                site.access((now, self.peer, exchange.head, status, exchange.started, streamed))
        exchange.request = None  # it refers to the exchange, and a cycle would have to wait for the garbage collector
        self.exchange = None
        self._since = now
        if not keep:
            self._end()
        elif self._waiting or self._reading_paused:
            self._next()
        if exchange.reserved or exchange.slot is not None:
            exchange.free()  # last, for the memory may go to the next request of this very connection

    def _next(self) -> None:
        """Start the next request, if it is its turn."""
        if self.exchange is None and self._waiting and not self._paused:
            self.exchange = self._waiting.popleft()
            self.site.loop.call_soon(self._start_current, self.exchange)
        if not self._waiting and not self._ended and not self._budget_wait:
            self._resume_reading()
            reading = self._reading
            if reading is not None and reading.uninvited and self.exchange is None:
                self._invite(reading)

    def _start_current(self, exchange: Exchange) -> None:
        if self.exchange is exchange:
            exchange.start()

    def _end(self) -> None:
        """Close the connection after what was written; if the client is still sending, first let it read the reply."""
        self._ended = True
        self.flush()
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
        self._lingering = True
        self._since = self.site.loop.time()
        self._resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _refuse(self, problem: Problem) -> None:
        """Answer what cannot be read to its end, after the requests before it, and close. Does nothing when that has happened already."""
        if self._ended:
            return
        self._ended = True
        reading = self._reading or Exchange(self, self.site.loop.time())
        reading.refused(problem, self._target)
        reading.id = reading.id or self.site.ids.fresh()
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
        if self._paused or self._transport.is_closing():
            self._sweep_unsent(now)
        elif self._lingering:
            if waited > limits.linger_s:
                self._transport.abort()
        elif self._ended or self.exchange is not None:
            return
        elif self._reading is None:
            if waited > limits.idle_timeout_s:
                self._transport.close()
        elif self._reading.head is NO_HEAD:
            if waited > limits.header_timeout_s:
                self._refuse(slow_head(limits))
        elif waited > limits.body_timeout_s and not self._reading_paused:
            problem = slow_body(self._reading.received - self._mark, waited, limits)
            if problem is not None:
                self._refuse(problem)
            self._since, self._mark = now, self._reading.received if self._reading else 0

    def _sweep_unsent(self, now: float) -> None:
        """Cut off a client that reads nothing of what was written for it."""
        unsent = self._transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent = unsent
            self._since = now
        elif now - self._since > self.site.limits.idle_timeout_s:
            self._transport.abort()

    @property
    def unread_bytes(self) -> int:
        """How much of what was written for it the client has not taken."""
        return self._transport.get_write_buffer_size()

    def drain(self) -> None:
        """The server stops: close as soon as nothing is being answered."""
        self.flush()
        if self.exchange is None and not self._waiting and (self._reading is None or self._reading.head is NO_HEAD):
            self._ended = True
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()
