"""Asks a container over HTTP/1.1: one request for each connection, and the answer as it comes, chunk by chunk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httptools

_PIECE = 256 * 1024
_MOST_HEAD = 64 * 1024
_MOST_CHUNK = 1 << 20
"""Bytes of a chunk that are held before they are passed on."""


class ContainerGone(Exception):
    """The container did not answer, or stopped in the middle. `was_sent` says whether it may have begun with the request."""

    def __init__(self, reason: str, was_sent: bool) -> None:
        super().__init__(reason)
        self.was_sent = was_sent


@dataclass(frozen=True, slots=True)
class Question:
    """A request to a container. The body is bytes, or a file that is read while it is sent."""

    method: str
    path: str
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | Path = b""


class Answer:
    """A container's answer. Close it when it has not been read to its end."""

    def __init__(self, status: int, headers: dict[str, str], connection: _Connection) -> None:
        self.status = status
        self.headers = headers
        """Names in lower case."""
        self._connection = connection

    def __repr__(self) -> str:
        return f"<Answer {self.status}>"

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body: one piece for each chunk of it, up to 1 MiB; without chunks, what has come. Raises `ContainerGone` when it breaks off."""
        try:
            while True:
                piece = await self._connection.next()
                if piece is None:
                    return
                yield piece
        finally:
            self.close()

    async def read(self, limit: int) -> bytes | None:
        """The whole body; None when it is over `limit` bytes. Raises `ContainerGone`."""
        pieces, size = [], 0
        async with contextlib.aclosing(self.chunks()) as chunks:
            async for piece in chunks:
                size += len(piece)
                if size > limit:
                    return None
                pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Give the connection up."""
        self._connection.close()


async def ask(port: int, question: Question) -> Answer:
    """Send a request to a container on this machine and wait for the head of its answer. Raises `ContainerGone`."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError as error:
        raise ContainerGone(error.strerror or str(error), False) from None
    connection = _Connection(reader, writer)
    with contextlib.ExitStack() as undo:
        undo.callback(connection.close)
        answer = await connection.ask(question)
        undo.pop_all()
    return answer


class _Connection:
    """One exchange. The methods named `on_…` are for the parser."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._has_head = False
        self._is_complete = False
        self._is_chunked = False
        self._gathered = bytearray()
        self._pieces: list[bytes] = []
        self._came = 0
        self._head_bytes = 0
        self._sending: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> Answer:
        """Send; the answer may come before everything is sent, for a container may refuse a body without reading it."""
        self._sending = asyncio.get_running_loop().create_task(self._send(question))
        while not self._has_head:
            await self._receive()
        return Answer(self._parser.get_status_code(), self._headers, self)

    async def _send(self, question: Question) -> None:
        size = len(question.body) if isinstance(question.body, bytes) else (await asyncio.to_thread(question.body.stat)).st_size
        lines = [f"{question.method} {question.path} HTTP/1.1", "Host: localhost:8080", f"Content-Length: {size}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in question.headers]
        # a container that has answered already may have closed the connection; what it said is still to be read
        with contextlib.suppress(ConnectionError):
            self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace"))
            if isinstance(question.body, bytes):
                self._writer.write(question.body)
                await self._writer.drain()
            else:
                with await asyncio.to_thread(question.body.open, "rb") as file:
                    await self._send_file(file)

    async def _send_file(self, file: BinaryIO) -> None:
        while data := await asyncio.to_thread(file.read, _PIECE):
            self._writer.write(data)
            await self._writer.drain()

    async def _receive(self) -> None:
        try:
            data = await self._reader.read(_PIECE)
        except OSError as error:
            raise ContainerGone(error.strerror or str(error), True) from None
        if not self._has_head:
            self._came += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise ContainerGone(f"not HTTP: {error}", True) from None
        if self._head_bytes > _MOST_HEAD or (not self._has_head and self._came > _MOST_HEAD):
            raise ContainerGone(f"the head of the answer is over {_MOST_HEAD} bytes", True)
        if not data and not self._is_complete:
            if not self._is_endless():
                raise ContainerGone("the connection was closed", True)
            self._is_complete = True

    def _is_endless(self) -> bool:
        """Whether the end of the connection is the end of the body."""
        return self._has_head and not self._is_chunked and "content-length" not in self._headers

    async def next(self) -> bytes | None:
        """The next piece of the body; None at its end."""
        while not self._pieces:
            if self._is_complete:
                return None
            await self._receive()
        return self._pieces.pop(0)

    def close(self) -> None:
        """End the connection, also in the middle."""
        if self._sending is not None:
            self._sending.cancel()
        self._writer.transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; of several with one name the last counts."""
        self._head_bytes += len(name) + len(value)
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is whole; interim answers are passed over."""
        if self._parser.get_status_code() < 200:
            self._headers.clear()
            return
        self._has_head = True
        self._is_chunked = "transfer-encoding" in self._headers

    def on_chunk_complete(self) -> None:
        """A chunk is whole."""
        if self._gathered:
            self._pieces.append(bytes(self._gathered))
            self._gathered.clear()

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        if not self._is_chunked:
            self._pieces.append(data)
            return
        self._gathered += data
        if len(self._gathered) >= _MOST_CHUNK:
            self.on_chunk_complete()

    def on_message_complete(self) -> None:
        """The answer is whole, or an interim one was."""
        self._is_complete = self._has_head
