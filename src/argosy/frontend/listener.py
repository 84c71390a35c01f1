"""Listening sockets: bound before anything else starts, swept for slow clients, drained before the server ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import stat
from collections.abc import Iterator

from argosy.config import Address
from argosy.errors import ArgosyError, ErrorCode
from argosy.frontend.http import Connection
from argosy.frontend.site import Site
from argosy.frontend.tunnel import RECEIVE, Tunnel

_BACKLOG = 1024
_SWEEP_S = 1.0
_FEW = 16
"""Clients that may be on their way in when all places are taken, to be told so."""
_GRACE_S = 0.5
"""How long a draining listener still reads requests that its clients may just have sent."""


class Listener:
    """One address. `bind`, then `start`, then `drain`; `close` at any time."""

    def __init__(self, address: Address, site: Site, tls: ssl.SSLContext | None = None) -> None:
        self.address = address
        self.site = site
        self._tls = tls
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()
        self.sealed = memoryview(bytearray(RECEIVE if tls else 0))
        """Where all tunnels receive."""

    def __repr__(self) -> str:
        return f"<Listener {self.address} {len(self._connections)} connections{' draining' if self.site.draining else ''}>"

    def bind(self) -> None:
        """Take the address. Raises `ArgosyError` INVALID_CONFIG that names it when that is not possible."""
        try:
            self._socket = _bound_unix(self.address.path) if self.address.scheme == "unix" else _bound_tcp(self.address)
        except OSError as error:
            message = f"Cannot listen on {self.address}: {error.strerror or error}.{_advice(error)}"
            raise ArgosyError(ErrorCode.INVALID_CONFIG, message) from error
        if self.address.scheme != "unix" and not self.address.port:
            self.address = Address(self.address.scheme, self.address.host, self._socket.getsockname()[1])

    async def start(self) -> None:
        """Accept connections."""
        assert self._socket is not None
        loop = self.site.loop
        make = self._connect
        if self.address.scheme == "unix":
            self._server = await loop.create_unix_server(make, sock=self._socket, backlog=_BACKLOG)
        else:
            self._server = await loop.create_server(make, sock=self._socket, backlog=_BACKLOG)
        self._sweeper = loop.call_later(_SWEEP_S, self._sweep)

    def _connect(self) -> Connection | Tunnel:
        return Connection(self.site, self) if self._tls is None else Tunnel(self._tls, self)

    def expect(self, tunnel: Tunnel, timeout_s: float) -> None:
        """A client is on its way in, and may be for so long."""
        self.site.newcomers.add(tunnel, self.site.loop.time() + timeout_s)
        self._make_room()

    def _make_room(self) -> None:
        self.site.newcomers.fit(max(_FEW, self.site.limits.connections - self.site.counters.connections))

    def admit(self, connection: Connection) -> bool:
        """Count a new connection; False when there are too many."""
        if self.site.counters.connections >= self.site.limits.connections:
            self.site.counters.connections_refused += 1
            return False
        self._connections.add(connection)
        self.site.counters.connections += 1
        self._make_room()
        return True

    def forget(self, connection: Connection) -> None:
        """A connection has ended."""
        if connection in self._connections:
            self._connections.remove(connection)
            self.site.counters.connections -= 1
        if not self._connections:
            self._emptied.set()

    def _sweep(self) -> None:
        now = self.site.loop.time()
        for connection in tuple(self._connections):
            connection.sweep(now)
        self.site.newcomers.sweep(now)
        self._sweeper = self.site.loop.call_later(_SWEEP_S, self._sweep)

    async def drain(self, timeout_s: float) -> None:
        """Accept nothing new, answer what has been received, and end every connection; at the latest after `timeout_s` seconds."""
        self.stop_accepting()
        self.site.drain()
        if not self._connections and not (self._tls and self.site.newcomers):
            return
        grace_s = min(_GRACE_S, timeout_s)
        await asyncio.sleep(grace_s)
        self._emptied.clear()
        self._turn_away()
        for connection in tuple(self._connections):
            connection.drain()
        if self._connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), timeout_s - grace_s)

    def stop_accepting(self) -> None:
        """Give the address up."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            if self.address.scheme == "unix":
                with contextlib.suppress(OSError):
                    os.unlink(self.address.path)

    def close(self) -> None:
        """End everything at once."""
        self.stop_accepting()
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._turn_away()
        for connection in tuple(self._connections):
            connection.abort()

    def _turn_away(self) -> None:
        """End those who are on their way in."""
        if self._tls is not None:
            self.site.newcomers.leave(self)


def _bound_tcp(address: Address) -> socket.socket:
    family, kind, protocol, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    with _listening(socket.socket(family, kind, protocol)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address.host == "::" else 1)
        sock.bind(where)
    return sock


@contextlib.contextmanager
def _listening(sock: socket.socket) -> Iterator[socket.socket]:
    """A socket that is bound in the block listens after it, and is closed when that fails."""
    try:
        yield sock
        # listening at once makes a second server on the same address fail here and not later
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise


def _advice(error: OSError) -> str:
    if error.errno != errno.EADDRINUSE:
        return ""
    return " Stop the program that listens there, or choose another port: --port of argosy serve, else inference_address and management_address."


def _bound_unix(path: str) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            _refuse_taken(path)
            os.unlink(path)
    with _listening(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
        before = os.umask(0o077)
        try:
            os.umask(before | 0o007)  # whoever may write to it may manage or ask: never everybody
            sock.bind(path)
        finally:
            os.umask(before)
    return sock


def _refuse_taken(path: str) -> None:
    """Raises OSError when somebody listens on the socket: it must not be taken away from a server that runs."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        if sock.connect_ex(path) != errno.ECONNREFUSED:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
