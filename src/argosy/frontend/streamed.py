"""The reply to one request in pieces: chunked for HTTP/1.1, until the connection ends for HTTP/1.0; never a clean end of what is not whole."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
from typing import TYPE_CHECKING

from argosy.errors import ArgosyError
from argosy.messages import Flow

if TYPE_CHECKING:
    from argosy.frontend.exchange import Exchange
    from argosy.frontend.http import Connection

_log = logging.getLogger("argosy.frontend")
_EVENTS = "text/event-stream"
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing resets the connection."""


class StreamedReply:
    """What follows the head of a streamed reply. `size` is the length of the body so far."""

    __slots__ = ("_flow", "_is_events", "_waits", "exchange", "is_chunked", "keep", "size", "status")

    def __init__(self, exchange: Exchange, flow: Flow, status: int, keep: bool, content_type: str) -> None:
        self.exchange = exchange
        self.status = status
        self.keep = keep
        self.is_chunked = exchange.head.version == b"1.1"
        self.size = 0
        self._flow = flow
        self._is_events = content_type.partition(";")[0].strip().lower() == _EVENTS
        self._waits = False
        """The client has not read what it was sent."""

    def __repr__(self) -> str:
        return f"<StreamedReply {self.status} {self.size} bytes{' waits' if self._waits else ''}>"

    @property
    def _connection(self) -> Connection | None:
        """None when the client is gone."""
        connection = self.exchange.connection
        return connection if connection.exchange is self.exchange else None

    def chunk(self, data: bytes) -> None:
        """Send a piece at the end of this turn of the loop, with others."""
        connection = self._connection
        if connection is None:
            return
        self.size += len(data)
        connection.send(b"%x\r\n%s\r\n" % (len(data), data) if self.is_chunked else data)
        if connection.is_paused:
            self._waits = True
        else:
            self._flow.drained()

    def resume(self) -> None:
        """The client has caught up."""
        if self._waits:
            self._waits = False
            self._flow.drained()

    def end(self) -> None:
        """That was all."""
        connection = self._connection
        if connection is None:
            return
        if self.is_chunked:
            connection.send(b"0\r\n\r\n")
        self.exchange.streamed = None  # as of its request: a cycle would have to wait for the garbage collector
        connection.finished(self.exchange, self.status, self.keep, self.size)

    def cut(self, error: ArgosyError, words: bytes) -> None:
        """The rest will not come: the client gets what came before, and an end that no client takes for a whole body.

        `words` are those of the failure; a stream of events tells them as its last event.
        """
        connection = self._connection
        if connection is None:
            return
        _log.warning("request %s: its answer was cut off after %d bytes: %s", self.exchange.id.decode("latin-1"), self.size, error.message)
        if self._is_events:
            self.chunk(b"event: error\n" + b"".join(b"data: %s\n" % line for line in words.splitlines()) + b"\n")
        if not self.is_chunked:
            connection.flush()
            _reset(connection)
        self.exchange.streamed = None
        connection.finished(self.exchange, self.status, False, self.size)
        if not self.is_chunked:
            connection.abort()


def _reset(connection: Connection) -> None:
    """Let the end of the connection be an error for the client: only that tells it from the end of the body."""
    sock = connection.socket
    if sock is not None and sock.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
