"""HTTP/1.0 and 1.1 on one connection: the order of requests and replies, what is taken without being parsed, and how long a client may take.

A connection answers one request at a time, in order. What a client may send is limited before it is read; a refused client gets a reason.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from typing import TYPE_CHECKING, cast

from argosy import wire
from argosy.frontend import arrival, body
from argosy.frontend.exchange import Exchange
from argosy.frontend.head import FRESH_ID, NO_HEAD, Head, subject
from argosy.frontend.limits import Problem, over_budget, slow_body, slow_head
from argosy.frontend.progress import progress
from argosy.frontend.reader import Reader
from argosy.frontend.site import Site
from argosy.messages import Buffer

if TYPE_CHECKING:
    from argosy.frontend.listener import Listener

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(asyncio.BufferedProtocol):
    """One client connection."""

    __slots__ = (
        "_awaited", "_below", "_body_left", "_lingering", "_listener", "_reader", "_room", "_seen", "_socket", "deferred", "ended", "exchange",
        "is_paused", "known", "mark", "peer", "reading", "reading_paused", "since", "site", "transport", "waiting", "waits_for_memory",
    )  # fmt: skip

    def __init__(self, site: Site, listener: Listener) -> None:
        self.site = site
        self.exchange: Exchange | None = None
        """The exchange that is being answered."""
        self.peer = ""
        self._listener = listener
        self._reader = Reader(self)
        self.reading: Exchange | None = None
        """The exchange whose request is being read."""
        self.waiting: deque[Exchange] = deque()
        """Requests that were read while an earlier one is being answered."""
        self._below: socket.socket | None = None
        """The socket below TLS, whose transport does not tell what the client has not read."""
        self._socket: socket.socket | None = None
        self._awaited = arrival.ANY
        """How many bytes have to come before the system tells of them."""
        self._body_left = 0
        """Bytes of a large body that are still to be received straight into its slot."""
        self.known = NO_HEAD
        """The last head that may come again; written by the reader."""
        self.since = 0.0
        """When the connection became idle, or the head or body that is being read began."""
        self.mark = 0
        """How much of the body had come at `since`."""
        self.waits_for_memory = False
        """The body that is being read waits for memory."""
        self.ended = False
        """Nothing more will be read: the last request was answered or refused."""
        self._lingering = False
        self._seen = 0
        """How much the client had not read when that was last looked at; over TLS, how much it had."""
        self.deferred: bytes | None = None
        """A reply that is sent at the end of this turn of the loop."""
        self._room = site.receive_head
        """Where the beginning of a request is received."""
        self.is_paused = False
        """Whether the client has yet to read what was written for it."""
        self.reading_paused = False

    def __repr__(self) -> str:
        return f"<Connection {self.peer} exchange={self.exchange!r} waiting={len(self.waiting)}{' ended' if self.ended else ''}>"

    # -- the transport -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self.transport = cast(asyncio.Transport, transport)
        self.since = self.site.loop.time()
        peer = transport.get_extra_info("peername")
        self.peer = f"/{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "0.0.0.0"  # noqa: S104 - how MMS logs a unix socket
        if transport.get_extra_info("ssl_object") is not None:
            self._below = self.socket
        certificate = transport.get_extra_info("peercert")
        if certificate:
            self.peer += f" [{subject(certificate)}]"
        if not self._listener.admit(self):
            self.ended = True
            self.write(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone: nothing that it asked for needs to be done any more."""
        self.ended = True
        self._listener.forget(self)
        self.site.unread.remove(self)
        current, self.exchange = self.exchange, None
        if current is not None and current.streamed is not None and self.site.access is not None:
            reply, current.streamed = current.streamed, None
            self.site.access((self.site.loop.time(), self.peer, current.head, str(reply.status), current.started, reply.size))
        self.give_up_waiting()
        for exchange in (current, self.reading, *self.waiting):
            if exchange is not None:
                exchange.abandon()
        self.reading = None
        self.waiting.clear()

    def eof_received(self) -> bool:
        """The client sends nothing more. It gets the answers to what it sent, and then the end; an unfinished request is dropped."""
        if self.reading is not None or (self.exchange is None and not self.waiting):
            return False
        if self.exchange is not None and self.exchange.request is not None:
            # a client that closed its socket looks the same as one that only finished sending: its job must not start
            return False
        self.ended = True
        last = self.waiting[-1] if self.waiting else self.exchange
        assert last is not None
        last.head = last.head.as_last()
        return not isinstance(self.transport.get_extra_info("ssl_object"), ssl.SSLObject)

    def pause_writing(self) -> None:
        """The client reads too slowly: start no further request of it."""
        self.is_paused = True
        self.site.unread.add(self)

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.is_paused = False
        self.site.unread.remove(self)
        if self.exchange is not None and self.exchange.streamed is not None:
            self.exchange.streamed.resume()
        self.go_on()

    @property
    def socket(self) -> socket.socket | None:
        """The client's socket, for its options."""
        if self._socket is None:  # the loop makes another one each time
            self._socket = self.transport.get_extra_info("socket")
        return self._socket

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to receive: the slot of a large body, else the buffer that all connections share.

        Of that only the beginning as long as no head was read: what comes along of a large body has to be copied twice.
        """
        reading = self.reading
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
        head = self.known
        # the usual request of a client that goes on; what `_is_again` says, without a call for each
        if (
            count == head.size and self.exchange is None and self.reading is None and not self.is_paused and not self.ended
            and self.site.received.startswith(head.raw) and head.generation == self.site.registry.generation
        ):  # fmt: skip
            self._predict(head, head.shape, head.block, head.body.tobytes())
        elif self._body_left:
            self._received_large(count)
        elif not self.ended and not self._is_alike(head, count):
            self._reader.feed(self.site.receive[:count])

    def _is_again(self, head: Head) -> bool:
        """Whether a request begins with the same bytes as an earlier one and therefore means the same: it need not be parsed again."""
        site = self.site
        return (
            self.reading is None
            and not self.is_paused
            and not self.ended
            and site.received.startswith(head.raw)
            and head.generation == site.registry.generation
        )

    def _predict(self, head: Head, shape: bytes, block: bytes, body: bytes) -> None:
        """An ordinary prediction has come whole, without having been parsed."""
        site = self.site
        self.since = now = site.loop.time()
        self.exchange = exchange = Exchange()
        exchange.connection = self
        exchange.started = now
        exchange.head = head
        exchange.id = next(site.ids)
        exchange.predict(shape, block, body)

    def _is_alike(self, head: Head, count: int) -> bool:
        """Whether a request that is much like an earlier one has come and was taken without being parsed."""
        if head.large is not None:
            return self._large_again(head, count)
        if head.pattern is None or self.reading is not None or self.exchange is not None or self.is_paused:
            return False
        found = head.pattern.match(self.site.received, count)
        if found is None or head.generation != self.site.registry.generation:
            return False
        begin, block = found
        shape = wire.job_shape(FRESH_ID, len(head.content_type), len(block), count - begin)
        self._predict(head, shape, block, self.site.receive[begin:count].tobytes())
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
        self.since = now = site.loop.time()
        self.mark = 0
        self.reading = reading = Exchange.of(self, now)
        reading.head = head
        reading.id = next(site.ids)
        reading.reserved = head.length
        reading.slot = slot
        reading.received = count - start
        slot.view[: count - start] = site.receive[start:count]
        self._expect_body(head.length - reading.received)
        return True

    def _received_large(self, count: int) -> None:
        reading = self.reading
        assert reading is not None
        reading.received += count
        self._body_left -= count
        if self._body_left < self._awaited:
            self._await(self._body_left or arrival.ANY)
        if not self._body_left:
            self._reader.on_message_complete()

    # -- what the reader calls -----------------------------------------------------------------------------------------

    def expect_again(self, head: Head) -> None:
        """A head of a large body may come again: receive no more than it at first, so that the body goes into its slot from its first byte."""
        self._room = self.site.receive[: len(head.raw)] or self._room

    def receive_into(self, reading: Exchange) -> None:
        """Let the rest of the body come straight into its slot, past the parser."""
        assert reading.slot is not None
        self._expect_body(len(reading.slot.view) - reading.received)
        self._reader.renew()

    def _expect_body(self, left: int) -> None:
        """What is received from now on is a body of which so many bytes are left, in pieces as large as it is worth."""
        self._body_left = left
        if self._below is None:  # TLS takes it in pieces of its own
            self._await(arrival.worth_awaiting(left))

    def _await(self, count: int) -> None:
        """Be told of the client when it has sent so many bytes."""
        if count != self._awaited:
            self._awaited = count
            arrival.tell_at(self.socket, count)

    def reserve(self, reading: Exchange) -> None:
        """See that there is memory for a large body before it is read."""
        if self.site.budget.take(reading.head.length):
            reading.reserved = reading.head.length
            self._place(reading)
        elif reading.head.length > self.site.budget.total:
            self.refuse(over_budget(self.site.budget.total))
        else:
            self.pause_reading()
            self.waits_for_memory = True
            self.site.budget.wait(reading.head.length, self._granted)

    def _granted(self) -> None:
        """The memory for the body that is being read is there now."""
        reading = self.reading
        assert reading is not None
        self.waits_for_memory = False
        reading.reserved = reading.head.length
        self.since = self.site.loop.time()
        self._place(reading)
        if reading.slot is not None:
            self.receive_into(reading)
        if not reading.uninvited:  # else reading goes on when it is its turn
            self.go_on()

    def give_up_waiting(self) -> None:
        """The memory that the body waits for is needed no more."""
        if self.waits_for_memory:
            self.waits_for_memory = False
            self.site.budget.give_up(self._granted)

    def _place(self, reading: Exchange) -> None:
        """There is memory for the body: receive it, straight into the arena of its model where that is possible."""
        body.place(reading)
        if reading.head.expects:
            self.invite(reading)

    def invite(self, reading: Exchange) -> None:
        """Answer `Expect: 100-continue` when it is its turn; a request that will be refused anyhow is read all the same."""
        reading.uninvited = self.exchange is not None or bool(self.waiting)
        if not reading.uninvited and reading.received == 0:
            self.write(_CONTINUE)

    # -- replies -----------------------------------------------------------------------------------------------------

    def send(self, reply: bytes) -> None:
        """Send the reply of the current exchange, together with those of other connections.

        The replies of a message from a worker are made one after the other and then sent one after the other: in turns, each system call would
        throw out of the processor's caches what the next reply needs.
        """
        if self.deferred is not None:
            self.deferred += reply
            return
        self.deferred = reply
        site = self.site
        if not site.senders:
            site.loop.call_soon(site.send)
        site.senders.append(self)

    def flush(self) -> None:
        """Send the reply that was put off."""
        reply, self.deferred = self.deferred, None
        if reply is not None and not self.transport.is_closing():
            self.transport.write(reply)

    def write(self, data: Buffer) -> None:
        """Send bytes; does nothing when the client is gone."""
        self.flush()
        if not self.transport.is_closing():
            self.transport.write(data)

    def finished(self, exchange: Exchange, status: int, keep: bool, streamed: int | None = None) -> None:
        """The reply of the current exchange was sent; `streamed` is the length of its body, if that came in pieces."""
        site = self.site
        site.counters.count(status)
        self.since = now = site.loop.time()
        if site.access is not None:
            if streamed is None:
                site.access((now, self.peer, exchange.head, str(status), exchange.started))
            else:
                site.access((now, self.peer, exchange.head, str(status), exchange.started, streamed))
        exchange.request = None  # it refers to the exchange, and a cycle would have to wait for the garbage collector
        self.exchange = None
        if not keep:
            self._end()
        elif self.waiting or self.reading_paused:
            self.go_on()
        if exchange.reserved or exchange.slot is not None:
            exchange.free()  # last, for the memory may go to the next request of this very connection

    def go_on(self) -> None:
        """Start the next request, if it is its turn."""
        if self.exchange is None and self.waiting and not self.is_paused:
            self.exchange = self.waiting.popleft()
            self.site.loop.call_soon(self._start_current, self.exchange)
        if not self.waiting and not self.ended and not self.waits_for_memory:
            self._resume_reading()
            reading = self.reading
            if reading is not None and reading.uninvited and self.exchange is None:
                self.invite(reading)

    def _start_current(self, exchange: Exchange) -> None:
        if self.exchange is exchange:
            exchange.start()

    def _end(self) -> None:
        """Close the connection after what was written; if the client is still sending, first let it read the reply."""
        self.ended = True
        self.flush()
        for exchange in self.waiting:
            exchange.free()
        self.waiting.clear()
        reading, self.reading = self.reading, None
        if reading is None:
            self.transport.close()
            return
        self.give_up_waiting()
        self._body_left = 0
        self._await(arrival.ANY)
        reading.free()
        self._lingering = True
        self.since = self.site.loop.time()
        self._resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def refuse(self, problem: Problem) -> None:
        """Answer what cannot be read to its end, after the requests before it, and close. Does nothing when that has happened already."""
        if self.ended:
            return
        self.ended = True
        reading = self.reading or Exchange.of(self, self.site.loop.time())
        reading.refused(problem, self._reader.target)
        reading.id = reading.id or next(self.site.ids)
        self.reading = reading
        if self.exchange is None and not self.waiting:
            self.exchange = reading
            reading.start()
        else:
            self.waiting.append(reading)

    def pause_reading(self) -> None:
        """Take nothing more from the client for now."""
        if not self.reading_paused and not self.transport.is_closing():
            self.reading_paused = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if self.reading_paused and not self.transport.is_closing():
            self.reading_paused = False
            self.transport.resume_reading()

    # -- time --------------------------------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Close the connection if its client is too slow. Called about once a second."""
        limits = self.site.limits
        waited = now - self.since
        if self.is_paused or self.transport.is_closing():
            self._sweep_unsent(now)
        elif self._lingering:
            if waited > limits.linger_s:
                self.transport.abort()
        elif self.ended or self.exchange is not None:
            return
        elif self.reading is None:
            if waited > limits.idle_timeout_s:
                self._sweep_idle(now)
        elif self.reading.head is NO_HEAD:
            if waited > limits.header_timeout_s:
                self.refuse(slow_head(limits))
        elif not self.reading_paused:
            self._sweep_body(now)

    def _sweep_body(self, now: float) -> None:
        """See that a body comes fast enough. First it is received up to what has come."""
        limits = self.site.limits
        waited = now - self.since
        if self._awaited != arrival.ANY:
            if waited > arrival.PATIENCE_S:
                self._await(arrival.ANY)
        elif waited > limits.body_timeout_s:
            reading = self.reading
            assert reading is not None
            problem = slow_body(reading.received - self.mark, waited, limits)
            if problem is not None:
                self.refuse(problem)
            self.since, self.mark = now, reading.received

    def _sweep_idle(self, now: float) -> None:
        """No request has come for long: close, unless the client is still busy with the answer."""
        if self._below is not None and progress(self._below).is_sending:
            self._sweep_unsent(now)
        else:
            self.transport.close()

    def _sweep_unsent(self, now: float) -> None:
        """Cut off a client that reads nothing of what was written for it."""
        limits = self.site.limits
        patience_s = limits.idle_timeout_s
        if self._below is None:
            seen = self.transport.get_write_buffer_size()
        else:
            seen, is_sending = progress(self._below)
            if self.transport.is_closing() and not is_sending:
                patience_s = limits.linger_s  # it has all, and need not answer our farewell
        if seen != self._seen:
            self._seen = seen
            self.since = now
        elif now - self.since > patience_s:
            self.transport.abort()

    @property
    def unread_bytes(self) -> int:
        """How much of what was written for it the client has not taken."""
        return self.transport.get_write_buffer_size()

    def drain(self) -> None:
        """The server stops: close as soon as nothing is being answered."""
        self.flush()
        if self.exchange is None and not self.waiting and (self.reading is None or self.reading.head is NO_HEAD):
            self.ended = True
            self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()
