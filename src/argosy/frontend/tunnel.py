"""TLS of one connection: sealed records from and to its transport below, plain bytes from and to its HTTP connection above.

The TLS of the event loops tells nobody of a client before its handshake is done, nor how much of an answer that was sealed is still unread.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, cast

from argosy.frontend.http import Connection
from argosy.messages import Buffer

if TYPE_CHECKING:
    from argosy.frontend.listener import Listener

_PIECE = 64 * 1024
"""Sealed at once: what a connection needs for that it keeps."""
RECEIVE = 64 * 1024
"""Records are received into so many bytes, for the same reason."""


class Tunnel(asyncio.BufferedProtocol, asyncio.Transport):
    """The protocol of a client's transport until its end, and the transport of its `Connection` once the handshake is done."""

    __slots__ = (
        "_connection", "_context", "_incoming", "_is_closing", "_is_full", "_is_held", "_is_reading", "_is_talkative", "_outgoing", "_raw", "_tls",
        "listener",
    )  # fmt: skip

    def __init__(self, context: ssl.SSLContext, listener: Listener) -> None:
        super().__init__()
        self.listener = listener
        self._context = context
        self._raw: asyncio.Transport
        self._connection: Connection | None = None
        """There once the handshake is done, until the client is gone."""
        self._tls: ssl.SSLObject | None = None
        """There once the client has said something: it takes 50 KB."""
        self._incoming: ssl.MemoryBIO
        self._outgoing: ssl.MemoryBIO
        self._is_reading = True
        """Whether the connection takes what comes."""
        self._is_held = False
        """Whether nothing is received below."""
        self._is_full = False
        """Whether the client leaves unread what was sent."""
        self._is_talkative = False
        """Whether it goes on to make TLS answer all the same: nothing more is received until it reads."""
        self._is_closing = False

    def __repr__(self) -> str:
        state = "closing" if self._is_closing else "arriving" if self._connection is None else "open"
        return f"<Tunnel {state}{' full' if self._is_full else ''}{' held' if self._is_held else ''}>"

    # -- the transport below -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come; it has a place among those who arrive, for as long as a head may take."""
        self._raw = cast(asyncio.Transport, transport)
        self.listener.expect(self, self.listener.site.limits.header_timeout_s)

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone."""
        self._is_closing = True
        self.listener.site.newcomers.remove(self)
        connection, self._connection, self._tls = self._connection, None, None
        if connection is not None:
            connection.connection_lost(error)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to receive records: the buffer of the listener, which is emptied at once."""
        return self.listener.sealed

    def buffer_updated(self, count: int) -> None:
        """Records have come, or pieces of them."""
        if self._tls is None:
            self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._incoming.write(self.listener.sealed[:count])
        if self._is_closing:
            self._await_farewell(self._tls)
        elif self._connection is None:
            self._shake_hands(self._tls)
        else:
            self._take(self._tls, self._connection)

    def eof_received(self) -> bool:
        """The client sends nothing more: over TLS it then wants nothing more either."""
        if self._connection is not None and not self._is_closing:
            self._connection.eof_received()
            self.close()
        return False

    def pause_writing(self) -> None:
        """The client does not read what is sent."""
        self._is_full = True
        if self._connection is not None:
            self._connection.pause_writing()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._is_full = False
        if self._connection is not None:
            self._connection.resume_writing()
        if self._is_talkative:
            self._is_talkative = False
            self._go_on_later()

    # -- records -----------------------------------------------------------------------------------------------------

    def _shake_hands(self, tls: ssl.SSLObject) -> None:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError:
            self._fail()
            return
        self._flush()
        listener = self.listener
        listener.site.newcomers.remove(self)
        self._connection = connection = Connection(listener.site, listener)
        connection.connection_made(self)
        if connection.ended:  # there are too many: it is told so, which takes a place as well
            listener.expect(self, listener.site.limits.linger_s)
        else:
            self._take(tls, connection)

    def _take(self, tls: ssl.SSLObject, connection: Connection) -> None:
        """Hand on what has come, as long as the connection takes it."""
        is_more = True
        try:
            while is_more and self._is_reading and not self._is_closing and (self._incoming.pending or tls.pending()):
                is_more = self._fill(tls, connection)
        except ssl.SSLError:
            self._fail()
            return
        if not self._is_closing:
            self._answer_records()

    def _fill(self, tls: ssl.SSLObject, connection: Connection) -> bool:
        """Fill one buffer of the connection, as far as there is something; False if the rest is no whole record. Raises `ssl.SSLError`."""
        buffer, count, is_more, got = cast(bytearray, connection.get_buffer(-1)), 0, True, 1
        size = len(buffer)
        try:
            count = got = cast(int, tls.read(size, buffer))  # how many, with a buffer
            while got and count < size and self._incoming.pending:  # TLS itself keeps nothing of a record that fitted
                got = cast(int, tls.read(size - count, buffer[count:]))
                count += got
            is_more = count == size or self._incoming.pending > 0
        except ssl.SSLWantReadError:
            is_more = False
        if count:
            connection.buffer_updated(count)
        if not got:  # its farewell
            self.eof_received()
            self._raw.close()
        return is_more

    def _answer_records(self) -> None:
        """Send what reading made TLS itself say. Who makes it talk has to read that: else he could let it pile up."""
        if self._outgoing.pending:
            self._raw.write(self._outgoing.read())
            if self._is_full:
                self._is_talkative = True
                self._hold()

    def _await_farewell(self, tls: ssl.SSLObject) -> None:
        """Drop what comes after our own farewell, until the client's."""
        try:
            while self._incoming.pending or tls.pending():
                if not tls.read(RECEIVE):
                    break
            else:
                return
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError:
            pass
        self._raw.close()

    def _fail(self) -> None:
        """What came is no TLS, or was changed on its way: say so, and end the connection."""
        self._is_closing = True
        if self._raw.get_write_buffer_size():
            self._raw.abort()
            return
        self._flush()
        self._raw.close()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._raw.write(self._outgoing.read())

    # -- the connection above ----------------------------------------------------------------------------------------

    def write(self, data: Buffer) -> None:
        """Send bytes; does nothing when the tunnel closes."""
        tls = self._tls
        if tls is None or self._is_closing or not data:
            return
        try:
            if len(data) <= _PIECE:
                tls.write(data)
                self._raw.write(self._outgoing.read())
            else:
                self._raw.writelines(self._sealed(tls, memoryview(data)))
        except ssl.SSLError:
            self._fail()

    def _sealed(self, tls: ssl.SSLObject, data: memoryview) -> list[bytes]:
        pieces = []
        for begin in range(0, len(data), _PIECE):
            tls.write(data[begin : begin + _PIECE])
            pieces.append(self._outgoing.read())
        return pieces

    def close(self) -> None:
        """Send what was written and say farewell. The connection ends when the client does so as well, or its time is over."""
        if self._is_closing:
            return
        self._is_closing = True
        tls = self._tls
        if tls is None or self._raw.is_closing():
            return
        try:
            tls.unwrap()
        except ssl.SSLWantReadError:
            self._flush()  # and no end of the stream: clients of uvloop lose what they have not read when it comes
            self._release()
            self._await_farewell(tls)
        except ssl.SSLError:
            self._raw.close()
        else:
            self._flush()
            self._raw.close()

    def abort(self) -> None:
        """End the connection at once."""
        self._is_closing = True
        self._raw.abort()

    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""
        return self._is_closing or self._raw.is_closing()

    def get_write_buffer_size(self) -> int:
        """Bytes that the client has not taken; sealed, they are a few more than were written."""
        return self._raw.get_write_buffer_size()

    def can_write_eof(self) -> bool:
        """A farewell ends both directions."""
        return False

    def pause_reading(self) -> None:
        """Hand nothing on."""
        self._is_reading = False
        self._hold()

    def resume_reading(self) -> None:
        """Hand on again, soon."""
        self._is_reading = True
        self._go_on_later()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known of the client: its certificate, its TLS, else what its transport knows."""
        if name == "ssl_object":
            return self._tls
        if name == "peercert":
            return None if self._tls is None else self._tls.getpeercert()
        return self._raw.get_extra_info(name, default)

    # -- receiving ---------------------------------------------------------------------------------------------------

    def _hold(self) -> None:
        if not self._is_held and not self._raw.is_closing():
            self._is_held = True
            self._raw.pause_reading()

    def _release(self) -> None:
        if self._is_held and not self._raw.is_closing():
            self._is_held = False
            self._raw.resume_reading()

    def _go_on_later(self) -> None:
        self.listener.site.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Hand on what had come before the pause, then receive again, unless there is another pause."""
        if self._tls is None or self._connection is None or self._is_closing:
            return
        self._take(self._tls, self._connection)
        if self._is_reading and not self._is_talkative and not self._is_closing:
            self._release()
