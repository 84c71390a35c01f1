"""The HTTP/1.1 server of the local runtime: whole requests in, replies out, whole or as a stream. It is no fast path, but a safe one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

import httptools

_log = logging.getLogger("argosy.sagemaker")
_MOST_HEAD = 64 * 1024
_IDLE_S = 75.0
_REQUEST_S = 120.0
"""How long a request may take to come in."""
_LINGER_S = 2.0
"""How long a refused client may go on sending before it is cut off, so that it can read why."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Received:
    """A whole request. Header names are in lower case; `target` is as it came, still percent-encoded."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What the client gets. A stream is sent in chunks as it comes; when it raises, the connection breaks off."""

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | AsyncGenerator[bytes, None] = b""


Answerer = Callable[[Received], Awaitable[Reply]]
Refuser = Callable[[int, str], Reply]
"""The reply to a request that cannot be read: a status and why."""


class HttpServer:
    """Listens on one address. `limit` is the most bytes of a body; `answer` gets every whole request, and is cancelled when its client leaves."""

    def __init__(self, answer: Answerer, refuse: Refuser, limit: int) -> None:
        self.answer = answer
        self.refuse = refuse
        self.limit = limit
        self.port = 0
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._emptied = asyncio.Event()

    def __repr__(self) -> str:
        return f"<HttpServer port {self.port}, {len(self._connections)} connections>"

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises OSError when the address cannot be had."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), host, port, backlog=1024)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self, timeout_s: float) -> None:
        """Accept nothing more, finish what was begun, and end every connection, at the latest after so many seconds."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.finish()
        if self._connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), timeout_s)
        tasks = [task for connection in tuple(self._connections) if (task := connection.abort()) is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    def abort(self) -> None:
        """End every connection now, in the middle of what it is at."""
        for connection in tuple(self._connections):
            connection.abort()

    def opened(self, connection: Connection) -> None:
        """A client has come."""
        self._connections.add(connection)
        self._emptied.clear()

    def closed(self, connection: Connection) -> None:
        """A client is gone."""
        self._connections.discard(connection)
        if not self._connections:
            self._emptied.set()


class Connection(asyncio.Protocol):
    """One client: its requests are answered one after the other. The methods named `on_…` are for the parser."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Received, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_last = False
        """Nothing more is read."""
        self._refusal: Reply | None = None
        """The last reply, to a request that was not read to its end."""
        self._begin()

    def __repr__(self) -> str:
        return f"<Connection {len(self._waiting)} waiting{', last' if self._is_last else ''}>"

    def _begin(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._head_bytes = 0

    # -- the transport -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._transport = cast(asyncio.Transport, transport)
        self._server.opened(self)
        self._expect(_IDLE_S)

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone: what it asked for is given up."""
        self._is_last = True
        self._waiting.clear()
        self._stop_timer()
        self._writable.set()
        if self._task is not None:
            self._task.cancel()
        self._server.closed(self)

    def pause_writing(self) -> None:
        """The client reads slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        if self._is_last:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # refused when the head was whole
        except httptools.HttpParserError as error:
            if not self._is_last:
                self._refuse(400, f"This is no HTTP request: {error}")

    def finish(self) -> None:
        """End when what was begun is answered."""
        self._is_last = True
        if self._task is None:
            self._transport.close()

    def abort(self) -> asyncio.Task[None] | None:
        """End at once. Returns what was busy with a request, cancelled."""
        self._transport.abort()
        if self._task is not None:
            self._task.cancel()
        return self._task

    def _expect(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- what the parser calls ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        self._begin()
        if self._task is None:
            self._expect(_REQUEST_S)

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._target += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; of several with one name the last counts."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")
        self._count(len(name) + len(value))

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > _MOST_HEAD and not self._is_last:
            self._refuse(431, f"The head of the request is over {_MOST_HEAD} bytes.")

    def on_headers_complete(self) -> None:
        """The head is whole: refuse a body that is too large before it comes."""
        if self._is_last:
            return
        if self._parser.should_upgrade():
            self._refuse(400, "Other protocols are not spoken here.")
        elif int(self._headers.get("content-length", "0")) > self._server.limit:
            self._refuse(413, "")
        elif self._headers.get("expect", "").lower() == "100-continue" and self._task is None:
            self._transport.write(_CONTINUE)

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        if not self._is_last:
            self._body += data
            if len(self._body) > self._server.limit:
                self._refuse(413, "")

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._is_last:
            return
        keep_alive = self._parser.should_keep_alive()
        method = self._parser.get_method().decode("latin-1")
        self._waiting.append((Received(method, self._target.decode("latin-1"), self._headers, bytes(self._body)), keep_alive))
        self._is_last = not keep_alive
        self._stop_timer()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())
        else:
            self._transport.pause_reading()

    # -- answers -----------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        """Answer what waits, in order."""
        while self._waiting:
            received, keep_alive = self._waiting.popleft()
            try:
                await self._send(await self._server.answer(received), received.method == "HEAD", keep_alive and not self._is_last)
            except Exception:  # noqa: BLE001  the boundary of a request: it breaks off, the runtime goes on
                _log.exception("a request failed inside the local runtime: %s %s", received.method, received.target)
                self._transport.abort()
                return
        if self._refusal is not None:
            await self._send(self._refusal, False, False)
            self._transport.write_eof()
            self._expect(_LINGER_S)
            return
        self._task = None
        if self._is_last:
            self._transport.close()
        else:
            self._transport.resume_reading()
            self._expect(_IDLE_S)

    async def _send(self, reply: Reply, is_head: bool, keep_alive: bool) -> None:
        lines = [f"HTTP/1.1 {reply.status} {_phrase(reply.status)}", *(f"{name}: {_clean(value)}" for name, value in reply.headers)]
        lines.append("Connection: keep-alive" if keep_alive else "Connection: close")
        whole = reply.body if isinstance(reply.body, bytes) else None
        lines.append("Transfer-Encoding: chunked" if whole is None else f"Content-Length: {len(whole)}")
        self._transport.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace"))
        if whole is not None:
            self._transport.write(b"" if is_head else whole)
        elif not isinstance(reply.body, bytes):
            async with contextlib.aclosing(reply.body) as pieces:
                async for data in pieces:
                    self._transport.write(b"%x\r\n%s\r\n" % (len(data), data) if data else b"")
                    await self._writable.wait()
            self._transport.write(b"0\r\n\r\n")
        await self._writable.wait()

    def _refuse(self, status: int, why: str) -> None:
        """Refuse a request that was not read to its end, once those before it are answered. Nothing more is read."""
        self._is_last = True
        self._refusal = self._server.refuse(status, why)
        self._stop_timer()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _clean(value: str) -> str:
    """A header value without control characters."""
    return "".join(c for c in value if c == "\t" or c >= " ")
