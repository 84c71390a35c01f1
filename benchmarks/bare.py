"""The bare limit in Python: uvloop and httptools answer inside the event loop, without a worker process, a queue or a registry."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import httptools
import uvloop

_ANSWER = b"HTTP/1.1 200 OK\r\nx-request-id: 00000000-0000\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%s"
_INPUT = memoryview(bytearray(256 * 1024))

Work = Callable[[list[bytes]], list[bytes]]
Reply = Callable[[bytes], None]


class Batcher:
    """Late batching without any overhead: jobs wait until there are `size` of them or the first is `delay_s` old, then all are done at once."""

    def __init__(self, work: Work, size: int, delay_s: float) -> None:
        self._work = work
        self._size = size
        self._delay_s = delay_s
        self._waiting: list[tuple[Reply, bytes]] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, reply: Reply, body: bytes) -> None:
        """`reply` is called with the answer."""
        self._waiting.append((reply, body))
        if len(self._waiting) >= self._size:
            self._run()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._delay_s, self._run)

    def _run(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._waiting = self._waiting, []
        for (reply, _), answer in zip(batch, self._work([body for _, body in batch]), strict=True):
            reply(answer)


class Bare(asyncio.BufferedProtocol):
    """Answers every request; `batcher` gets the bodies, without one they are counted and dropped and `work` gets their length."""

    def __init__(self, work: Callable[[int], bytes] | None, batcher: Batcher | None) -> None:
        self._count_only = work
        self._batcher = batcher
        self._size = 0
        self._parts: list[bytes] = []
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
        if self._batcher is not None:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        if self._count_only is not None:
            self._reply(self._count_only(self._size))
        elif self._batcher is not None:
            body = b"".join(self._parts)
            self._parts.clear()
            self._batcher.add(self._reply, body)

    def _reply(self, body: bytes) -> None:
        self._transport.write(_ANSWER % (len(body), body))


def _sum(bodies: list[bytes]) -> list[bytes]:
    return [json.dumps({"y": sum(json.loads(body)["x"])}).encode() for body in bodies]


def _forward(bodies: list[bytes]) -> list[bytes]:
    import forward  # NumPy is needed for this work alone

    return [json.dumps({"y": row}).encode() for row in forward.answers(bodies)]


def _count(bodies: list[bytes]) -> list[bytes]:
    time.sleep(0.002)
    return [b"%d" % len(bodies)] * len(bodies)


def _send(bodies: list[bytes]) -> list[bytes]:
    return [bytes(int(body)) for body in bodies]


_COUNTING: dict[str, Callable[[int], bytes]] = {"noop": lambda size: b"OK", "size": lambda size: b"%d" % size}
_WORKING: dict[str, Work] = {"echo": _sum, "mlp": _forward, "count": _count, "send": _send}


async def serve(options: argparse.Namespace) -> None:
    """Serve for ever. Several processes may listen on the same port."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", options.port))
    tls = None
    if options.certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.certificate)
    work = _WORKING.get(options.work)
    batcher = Batcher(work, options.batch_size, options.delay_ms / 1e3) if work else None
    if options.work == "mlp":
        _forward([bytes(2048)])
    server = await asyncio.get_running_loop().create_server(
        lambda: Bare(_COUNTING.get(options.work), batcher), sock=listener, backlog=1024, ssl=tls
    )
    await server.serve_forever()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("work", choices=sorted(_COUNTING | _WORKING))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--delay-ms", type=int, default=5)
    parser.add_argument("--certificate", type=Path)
    return parser


if __name__ == "__main__":
    chosen = _parser().parse_args()
    sys.path.insert(0, str(Path(__file__).parent / "handlers"))
    for _ in range(chosen.workers - 1):
        if os.fork() == 0:
            break
    uvloop.run(serve(chosen))
