"""The bare limit in Python: uvloop and httptools answer inside the event loop, without a worker, a queue or a model."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import cast

import httptools
import uvloop

_ANSWER = b"HTTP/1.1 200 OK\r\nx-request-id: 00000000-0000\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%s"
_INPUT = memoryview(bytearray(256 * 1024))


class Bare(asyncio.BufferedProtocol):
    """Answers every request with OK, or with the length of its body when `sizes` is set."""

    def __init__(self, sizes: bool) -> None:
        self._sizes = sizes
        self._size = 0
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _INPUT

    def buffer_updated(self, nbytes: int) -> None:
        self._parser.feed_data(_INPUT[:nbytes])

    def on_message_begin(self) -> None:
        self._size = 0

    def on_body(self, body: bytes) -> None:
        self._size += len(body)

    def on_message_complete(self) -> None:
        body = b"%d" % self._size if self._sizes else b"OK"
        self._transport.write(_ANSWER % (len(body), body))


async def serve(port: int, sizes: bool) -> None:
    """Serve for ever. Several processes may listen on the same port."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    server = await asyncio.get_running_loop().create_server(lambda: Bare(sizes), sock=listener, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    port, workers, sizes = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "size"
    for _ in range(workers - 1):
        if os.fork() == 0:
            break
    uvloop.run(serve(port, sizes))
