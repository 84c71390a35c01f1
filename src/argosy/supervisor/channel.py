"""The link to one worker: frames over a socketpair, read and written without blocking the event loop."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence

from argosy import wire
from argosy.messages import Buffer

_READS_PER_TURN = 4
_SOCKET_BUFFER = 1 << 20
_MOST_PIECES = 1024
"""The kernel takes no more pieces in one call (IOV_MAX)."""
_LAST_READS = 64
CLOSED = "closed its end"
"""What `on_lost` is told when the worker hung up."""
_GONE = (BrokenPipeError, ConnectionResetError)
"""How that looks when it had not read everything, or is written to."""


class Channel:
    """Frames to and from a worker. `on_frame` gets each frame that arrives; `on_lost` is called once, when nothing more can come.

    `on_frame` may raise `wire.WireError`: the link is then of no more use, like after a frame that cannot be read.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, on_frame: Callable[[wire.Frame], None], on_lost: Callable[[str], None], limit: int
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._reader = wire.FrameReader(limit)
        self._unsent: deque[memoryview] = deque()
        self._open = True
        self._full = False
        sock.setblocking(False)
        loop.add_reader(sock.fileno(), self._readable)

    def __repr__(self) -> str:
        return f"<Channel {'open' if self._open else 'closed'} {len(self._unsent)} writes waiting>"

    @staticmethod
    def pair() -> tuple[socket.socket, socket.socket]:
        """The two ends: the server's, and the one that a worker inherits."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        for sock in (ours, theirs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
        return ours, theirs

    def write(self, data: bytes) -> None:
        """Send one or several whole frames. After the link was lost this does nothing: the exit of the worker settles its jobs."""
        if self._unsent:
            self._unsent.append(memoryview(data))
        elif self._open:
            try:
                sent = self._sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self._cannot_write(error)
                return
            if sent < len(data):
                self._keep(memoryview(data)[sent:])

    def write_pieces(self, pieces: Sequence[Buffer]) -> None:
        """Like `write`, for large data that is not worth joining."""
        if not self._open:
            return
        sent = 0
        if not self._unsent:
            try:
                sent = self._sock.sendmsg(pieces[:_MOST_PIECES])
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self._cannot_write(error)
                return
        for piece in pieces:
            if sent >= len(piece):
                sent -= len(piece)
            else:
                self._keep(memoryview(piece)[sent:])
                sent = 0

    def _keep(self, rest: memoryview) -> None:
        if not self._unsent:
            self._loop.add_writer(self._sock.fileno(), self._writable)
        self._unsent.append(rest)

    def _writable(self) -> None:
        try:
            while self._unsent:
                sent = self._sock.send(self._unsent[0])
                if sent < len(self._unsent[0]):
                    self._unsent[0] = self._unsent[0][sent:]
                    return
                self._unsent.popleft()
        except BlockingIOError:
            return
        except OSError as error:
            self._cannot_write(error)
            return
        self._loop.remove_writer(self._sock.fileno())

    def _cannot_write(self, error: OSError) -> None:
        """The worker is gone, but its last answers may still be in the socket: read them first, and not in the middle of what is being sent."""
        if self._unsent:
            self._loop.remove_writer(self._sock.fileno())
            self._unsent.clear()
        self._loop.call_soon(self._finish, CLOSED if isinstance(error, _GONE) else f"cannot be written to: {error.strerror}")

    def _finish(self, why: str) -> None:
        self.drain()
        self._lose(why)

    def _readable(self) -> None:
        for _ in range(_READS_PER_TURN):
            if not self._receive() or not self._full:
                return

    def _receive(self) -> int:
        """Read once and deliver the frames that are whole; how many bytes came."""
        reader = self._reader
        space = reader.space()
        try:
            count = self._sock.recv_into(space)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._lose(CLOSED if isinstance(error, _GONE) else f"cannot be read from: {error.strerror}")
            return 0
        if not count:
            self._lose(CLOSED)
            return 0
        self._full = count == len(space)
        reader.filled(count)
        try:
            while self._open and (frame := reader.next()) is not None:
                self._on_frame(frame)
        except wire.WireError as error:
            self._lose(f"broke the protocol: {error}")
        return count if self._open else 0

    def drain(self) -> None:
        """Deliver what is still in the socket, after the process ended."""
        # bounded, since a process that the worker left behind may still be writing; the kernel holds less than this
        for _ in range(_LAST_READS):
            if not self._open or not self._receive():
                return

    def _lose(self, why: str) -> None:
        if self._open:
            self.close()
            self._on_lost(why)

    def close(self) -> None:
        """Close our end. Nothing is delivered afterwards."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._sock.fileno())
            if self._unsent:
                self._loop.remove_writer(self._sock.fileno())
                self._unsent.clear()
            self._sock.close()
