"""Takes apart what a client sends: httptools parses, and what is no whole request yet is kept within its limits."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import httptools

from argosy.frontend import body
from argosy.frontend.exchange import Exchange
from argosy.frontend.head import NO_HEAD, read_head
from argosy.frontend.limits import NO_MEMORY, WRONG_VERSION, endless, long_trailers, oversize, too_large

if TYPE_CHECKING:
    from argosy.frontend.http import Connection

_log = logging.getLogger("argosy.frontend")
_STOPS = (httptools.HttpParserError, httptools.HttpParserUpgrade)
_UNKNOWN_VERSION = "Invalid HTTP version"
"""How llhttp calls a well-formed version that it has never heard of; it has no kind of error for that."""


class Reader:
    """The parser of a connection. It fills the exchange that the connection is `reading` and starts it, or has it wait, when that is whole."""

    __slots__ = ("_connection", "_continuing", "_fed", "_fields", "_parser", "target")

    def __init__(self, connection: Connection) -> None:
        self.target = b""
        """As much of the request target as has come."""
        self._connection = connection
        self._parser = httptools.HttpRequestParser(self)
        self._fields: list[bytes] = []
        self._fed = 0
        """Bytes of the head that is being read."""
        self._continuing = False
        """A fresh parser reads the body behind an ignored upgrade."""

    def __repr__(self) -> str:
        return f"<Reader {len(self._fields) // 2} fields, {self._fed} bytes{' behind an upgrade' if self._continuing else ''}>"

    def feed(self, data: memoryview) -> None:
        """Bytes have come: read them."""
        connection = self._connection
        before, current = connection.reading, connection.exchange
        self._fed = len(data) if before is None else self._fed + len(data)
        try:
            self._parser.feed_data(data)
        except _STOPS as error:
            self._stopped(error, data)
        reading = connection.reading
        if reading is not None and not connection.ended:
            self._unfinished(reading, before, data)
        elif before is None and (exchange := connection.exchange) is not None and exchange is not current:  # what came is all of it, or begins so
            known = connection.known
            if exchange.head is known and not known.raw:
                known.remember(data, len(data) - known.length, connection.site.limits.small_bytes)

    def renew(self) -> None:
        """Begin anew: the rest of the body does not come this way, and the parser would wait for it for ever."""
        self._parser = httptools.HttpRequestParser(self)
        self._continuing = False

    def _unfinished(self, reading: Exchange, before: Exchange | None, data: memoryview) -> None:
        """What came does not end the request: see that it stays within its limits."""
        connection = self._connection
        limits = connection.site.limits
        if reading.slot is not None:
            if before is None and reading.head is connection.known and reading.head.large is not None:
                reading.head.remember(data, len(data) - reading.received, limits.small_bytes)
                connection.expect_again(reading.head)
            connection.receive_into(reading)
        elif reading.head is NO_HEAD:
            if reading is not before:
                self._fed = len(data)
            if self._fed > limits.head_bytes:
                self._bound_head()
        elif reading.head.is_chunked:
            self._bound_framing(reading)

    def _bound_head(self) -> None:
        """Refuse a head that is too long already. Of what came with its beginning, most may have belonged to earlier requests."""
        site = self._connection.site
        problem = endless(self.target, self._fields, site.limits, self._fed, len(site.receive))
        if problem is not None:
            self._connection.refuse(problem)

    def _bound_framing(self, reading: Exchange) -> None:
        """Extensions of chunks and trailers are dropped, but they may not go on for ever."""
        limits = self._connection.site.limits
        if reading.received != reading.framed:
            reading.framed, self._fed = reading.received, 0
        elif self._fed > limits.head_bytes + limits.target_bytes:
            self._connection.refuse(long_trailers(limits))

    def _stopped(self, error: Exception, data: memoryview) -> None:
        """The parser does not go on."""
        if isinstance(error, httptools.HttpParserUpgrade):
            self._without_upgrade(data[error.args[0] :])
        elif isinstance(error, httptools.HttpParserCallbackError):
            _log.error("A request could not be handled", exc_info=error)
            self._connection.refuse((500, "InternalServerException", "The server failed; its log says more."))
        else:
            self._connection.refuse(WRONG_VERSION if str(error) == _UNKNOWN_VERSION else (400, "BadRequestException", "Invalid HTTP message."))

    def _without_upgrade(self, rest: memoryview) -> None:
        """The client offered another protocol, which is ignored; llhttp stops at such a head, so a fresh parser reads the body.

        Only the last request of a connection may be so: what follows it might be of the other protocol.
        """
        connection = self._connection
        reading = connection.reading
        if reading is None or connection.ended:
            return
        head = reading.head
        self._parser = httptools.HttpRequestParser(self)
        self._continuing = True
        head.keep_alive = head.is_plain = False
        self._parser.feed_data(head.framing)
        if len(rest) and not connection.ended:
            try:
                self._parser.feed_data(rest)
            except _STOPS as error:
                self._stopped(error, rest)

    # -- what the parser calls ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        if not self._continuing:
            self.target = b""
            self._fields = []
            connection = self._connection
            connection.since = now = connection.site.loop.time()
            connection.mark = 0
            connection.reading = Exchange.of(connection, now)

    def on_url(self, url: bytes) -> None:
        """A piece of the request target. Its length is bounded by what is received before the head is whole, and checked then."""
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field; bounded like the target."""
        self._fields += (name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: decide what to do with the request before its body is read."""
        connection = self._connection
        reading = connection.reading
        if self._continuing or connection.ended or reading is None:
            return
        parser = self._parser
        site = connection.site
        fields, self._fields = self._fields, []
        known = connection.known
        if (
            known.fields == fields
            and known.target == self.target
            and known.generation == site.registry.generation
            and known.method == parser.get_method()
            and known.keep_alive == parser.should_keep_alive()
            and (not known.names_connection or parser.get_http_version() == "1.1")  # see `read_head`
        ):
            head = known
        else:
            head = read_head(parser, self.target, fields, self._fed, site)
            if head.is_repeatable and head.plan is not None and head.plan.model is not None:
                connection.known = head
        reading.head = head
        reading.id = head.id or next(site.ids)
        if connection.exchange is not None or connection.waiting:
            connection.pause_reading()
        if head.problem is not None:
            connection.refuse(head.problem)
        elif head.length >= site.limits.arena_bytes:
            connection.reserve(reading)
        elif head.expects:
            connection.invite(reading)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        connection = self._connection
        reading = connection.reading
        if connection.ended or reading is None:
            return
        if reading.head.model is not None and not reading.chunks:  # small, and its length is known to be within the limits
            reading.chunks.append(data)
            reading.received = len(data)
            return
        body.keep(reading, data)
        if reading.slot is not None:
            return
        limits = connection.site.limits
        if reading.received > limits.body_bytes:
            connection.refuse(too_large(limits.body_bytes))
        elif reading.received > reading.reserved + limits.arena_bytes and not connection.waits_for_memory and not body.grow(reading, connection.site):
            connection.refuse(NO_MEMORY)

    def on_message_complete(self) -> None:
        """The request is whole: it starts now, or when it is its turn."""
        if self._continuing:
            self._continuing = False
        connection = self._connection
        reading = connection.reading
        if connection.ended or reading is None or (reading.head.model is None and not self._is_whole(reading)):
            return
        connection.reading = None
        if connection.waits_for_memory:
            connection.give_up_waiting()  # it fitted into what came with its head
        if not reading.head.keep_alive:
            connection.ended = True  # what follows a last request is ignored
        if connection.exchange is None and not connection.waiting and not connection.is_paused:
            connection.exchange = reading
            reading.start()
        else:
            connection.waiting.append(reading)
            connection.pause_reading()

    def _is_whole(self, reading: Exchange) -> bool:
        """Whether a request that the parser has finished is whole; False also when it was refused."""
        limits = self._connection.site.limits
        if reading.head.upgrades and not reading.upgraded and self._parser.should_upgrade():
            reading.upgraded = True
            return False  # its body follows, see `_without_upgrade`
        if reading.head.is_chunked and oversize(b"", self._fields, limits, limits.head_bytes + 1):
            self._connection.refuse(long_trailers(limits))
            return False
        return True
