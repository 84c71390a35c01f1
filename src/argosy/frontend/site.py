"""What all connections of a listener share: its dialect, its limits, its memory budget and its counters."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from argosy.dataplane.registry import Registry
from argosy.dataplane.served import ServedModel
from argosy.errors import ArgosyError
from argosy.frontend.limits import Limits
from argosy.frontend.newcomers import Newcomers
from argosy.frontend.plan import Plan
from argosy.frontend.replies import NO_CACHE, handler_headers, status_line
from argosy.frontend.target import split_target
from argosy.protocols.endpoint import Dialect, Predict
from argosy.protocols.tokens import Gate

if TYPE_CHECKING:
    from argosy.frontend.http import Connection

_ROUTES = 1024
_TAILS = 1024
_BEGINNINGS = 64
_SHORT = 1024
"""A longer beginning is not remembered."""
_RECEIVE = 256 * 1024
_RECEIVE_HEAD = 16 * 1024
_UNREAD = 256 * 1024 * 1024
_TWO_DIGITS = tuple(b"%02x" % number for number in range(256))


@dataclass(slots=True)
class HttpCounters:
    """Replies by class, and connections. Written by the connections."""

    connections: int = 0
    connections_refused: int = 0
    informational: int = 0
    successful: int = 0
    redirected: int = 0
    client_errors: int = 0
    server_errors: int = 0

    def count(self, status: int) -> None:
        """A reply with this status went out."""
        if 200 <= status < 300:
            self.successful += 1
        elif 400 <= status < 500:
            self.client_errors += 1
        elif status >= 500:
            self.server_errors += 1
        elif status >= 300:
            self.redirected += 1
        else:
            self.informational += 1


class Budget:
    """Bytes that request bodies may take in the whole server. Who does not get its share at once waits in line for it."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()

    def __repr__(self) -> str:
        return f"<Budget {self.used} of {self.total} bytes, {len(self._waiting)} waiting>"

    def take(self, count: int) -> bool:
        """Take `count` bytes now; False if they are not there."""
        if self._waiting or self.used + count > self.total:
            return False
        self.used += count
        return True

    def wait(self, count: int, granted: Callable[[], None]) -> None:
        """Call `granted` once `count` bytes have been taken for it."""
        self._waiting.append((count, granted))

    def give_up(self, granted: Callable[[], None]) -> None:
        """Stop waiting."""
        self._waiting = deque(entry for entry in self._waiting if entry[1] != granted)
        self._grant()

    def give_back(self, count: int) -> None:
        """Return bytes that were taken."""
        self.used -= count
        self._grant()

    def _grant(self) -> None:
        while self._waiting and self.used + self._waiting[0][0] <= self.total:
            count, granted = self._waiting.popleft()
            self.used += count
            granted()


class Unread:
    """Answers that clients have not read, in the whole server: beyond `limit` bytes, whoever has most left to read is cut off."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.cut = 0
        """Clients that were cut off."""
        self._slow: dict[Connection, int] = {}
        self._total = 0

    def __repr__(self) -> str:
        return f"<Unread {self._total} of {self.limit} bytes, {len(self._slow)} slow clients, {self.cut} cut off>"

    def add(self, connection: Connection) -> None:
        """The client of this connection does not keep up."""
        self.remove(connection)
        self._slow[connection] = connection.unread_bytes
        self._total += self._slow[connection]
        if self._total > self.limit:
            self._make_room()

    def remove(self, connection: Connection) -> None:
        """It has caught up, or is gone. Does nothing to one that kept up."""
        self._total -= self._slow.pop(connection, 0)

    def _make_room(self) -> None:
        """Look at what is really unread, since some have read on. Never cut off is who came last; among equals goes who came first."""
        self._slow = {connection: connection.unread_bytes for connection in self._slow}
        self._total = sum(self._slow.values())
        for connection in sorted(list(self._slow)[:-1], key=self._slow.__getitem__, reverse=True):
            if self._total <= self.limit:
                return
            self.cut += 1
            self.remove(connection)
            connection.abort()


def request_ids() -> Iterator[bytes]:
    """Fresh request ids without end, in the form of a UUID: random for this server, then counted.

    They are made 256 at a time: one by one each would cost four times as much.
    """
    return itertools.chain.from_iterable(_blocks_of_ids())


def _blocks_of_ids() -> Iterator[list[bytes]]:
    raw = os.urandom(8).hex()
    variant = "89ab"[os.urandom(1)[0] % 4] + os.urandom(2).hex()[:3]
    prefix = f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-{variant}-".encode()
    for number in itertools.count(int.from_bytes(os.urandom(5), "big")):
        most = b"%s%010x" % (prefix, number & 0xFFFFFFFFFF)
        yield [most + digits for digits in _TWO_DIGITS]


@dataclass(slots=True)
class Site:
    """One per listener."""

    loop: asyncio.AbstractEventLoop
    dialect: Dialect
    registry: Registry
    limits: Limits
    budget: Budget
    counters: HttpCounters
    access: Callable[[tuple[Any, ...]], None] | None
    """Told of every reply: when, peer, `Head`, status as text, when the request began, and the length of a body that came in pieces.

    See `head.access_lines`.
    """
    cors: tuple[tuple[str, str], ...] = ()
    gate: Gate | None = None
    """Asks for tokens, if there are any."""
    unread: Unread = field(default_factory=lambda: Unread(_UNREAD))
    """Shared by all listeners."""
    newcomers: Newcomers = field(default_factory=Newcomers)
    """Shared by all listeners."""
    ids: Iterator[bytes] = field(default_factory=request_ids)
    draining: bool = False
    """The server stops: replies close their connections. Written by `drain`."""
    is_special: bool = False
    """Whether replies need more than the usual headers. Follows from `cors` and `draining`."""
    received: bytearray = field(default_factory=lambda: bytearray(_RECEIVE))
    """Where every connection receives: what arrives is parsed before the next read."""
    receive: memoryview = field(init=False)
    """The whole of `received`."""
    receive_head: memoryview = field(init=False)
    """The beginning of `receive`."""
    senders: list[Connection] = field(default_factory=list)
    """Connections with a reply that is sent at the end of this turn of the loop. Written by the connections."""
    tails: dict[int, bytes] = field(default_factory=dict)
    """Ends of heads of replies by the length of the body; see `tail`."""
    _beginnings: dict[tuple[tuple[str, str], ...], bytes] = field(default_factory=dict)
    """Beginnings of heads of replies by the headers that a handler chose."""
    _routes: dict[tuple[bytes, bytes], Plan] = field(default_factory=dict)
    _generation: int = -1

    def __post_init__(self) -> None:
        self.is_special = bool(self.cors)
        self.receive = memoryview(self.received)
        self.receive_head = self.receive[:_RECEIVE_HEAD]

    def send(self) -> None:
        """Send the replies of this turn."""
        senders, self.senders = self.senders, []
        for connection in senders:  # `Connection.flush` without a call for each
            reply, connection.deferred = connection.deferred, None
            if reply is not None and not connection.transport.is_closing():
                connection.transport.write(reply)

    def tail(self, length: int) -> bytes:
        """What the ordinary head of a reply says behind the request id, for a body of `length` bytes. Remembered for the next time."""
        tail = b"\r\n%scontent-length: %d\r\nconnection: keep-alive\r\n\r\n" % (NO_CACHE, length)
        if len(self.tails) < _TAILS:
            self.tails[length] = tail
        return tail

    def beginning(self, headers: tuple[tuple[str, str], ...]) -> bytes | None:
        """What a reply with status 200 says before the request id, if its handler chose these headers; None if one of them cannot be sent.

        Remembered for the next time: a handler mostly chooses what it chose before.
        """
        known = self._beginnings.get(headers)
        if known is None:
            lines = handler_headers(headers)
            if lines is None:
                return None
            known = b"%s%sx-request-id: " % (status_line(200, ""), lines)
            if len(self._beginnings) < _BEGINNINGS and len(known) <= _SHORT:
                self._beginnings[headers] = known
        return known

    def drain(self) -> None:
        """The server stops."""
        self.draining = self.is_special = True

    def plan(self, method: bytes, target: bytes) -> Plan:
        """What to do with a request for `target`. Plans of predictions without a query are kept until the registry changes."""
        if self._generation != self.registry.generation:
            self._routes.clear()
            self._generation = self.registry.generation
        found = self._routes.get((method, target))
        if found is None:
            found = self._plan(method, target)
            if found.model is not None and b"?" not in target:
                if len(self._routes) >= _ROUTES:
                    self._routes.clear()
                self._routes[method, target] = found
        return found

    def _plan(self, method: bytes, target: bytes) -> Plan:
        try:
            path, query = split_target(target)
            action = self.dialect.route(method.decode("latin-1"), path, query)
            if isinstance(action, Predict):
                model = self.registry.get(action.model)
                assert isinstance(model, ServedModel)
                return Plan(model=model, with_query=action.with_query and bool(query))
            return Plan(call=action)
        except ArgosyError as error:
            return Plan(error=error)
