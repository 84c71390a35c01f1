"""Load generators for what wrk cannot tell: the sizes of batches, and the price of connections that do nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator, Sequence
from typing import cast

import uvloop


class Client(asyncio.Protocol):
    """Asks the same again as soon as it has its answer, and notes what came when."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._received = b""
        self._sent = 0.0
        self.is_over = False
        self.answers: list[tuple[float, bytes]] = []
        """Seconds it took, and the body; None of it before `is_counting`."""
        self.is_counting = False
        self.errors = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < content_length(head):
            return
        took = time.perf_counter() - self._sent
        self._received = b""
        if self.is_counting:
            self.answers.append((took, body))
            self.errors += not head.startswith(b"HTTP/1.1 200 ")
        if not self.is_over:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self.errors += not self.is_over


def content_length(head: bytes) -> int:
    """What the header says of the body; 0 if it says nothing."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def request(path: str, headers: dict[str, str], body: bytes) -> bytes:
    """The bytes of a POST."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


def batches(port: int, path: str, headers: dict[str, str], body: bytes, connections: int, seconds: float) -> dict[str, float]:
    """Ask a model whose answer is the size of its batch; what wrk would report, and the mean size `batch`.

    The first fifth of the time does not count.
    """
    clients = uvloop.run(_ask_for(port, request(path, headers, body), connections, seconds))
    answers = [answer for client in clients for answer in client.answers]
    return summary(answers, 0.8 * seconds, sum(client.errors for client in clients))


async def _ask_for(port: int, content: bytes, connections: int, seconds: float) -> list[Client]:
    loop = asyncio.get_running_loop()
    clients = [(await loop.create_connection(lambda: Client(content), "127.0.0.1", port))[1] for _ in range(connections)]
    await asyncio.sleep(0.2 * seconds)
    for client in clients:
        client.is_counting = True
    await asyncio.sleep(0.8 * seconds)
    for client in clients:
        client.is_over = True
        client._transport.close()
    return clients


def summary(answers: Sequence[tuple[float, bytes]], seconds: float, errors: int) -> dict[str, float]:
    """Percentiles of the answers, and the mean size of a batch: each answer is the size of the batch that it was in."""
    if not answers:
        return {"requests": 0, "duration_us": seconds * 1e6, "errors": errors + 1, "batch": 0.0} | dict.fromkeys(_PERCENTILES, 0.0)
    times = sorted(took for took, _ in answers)
    ranks = {name: times[min(len(times) - 1, int(part * len(times)))] * 1e6 for name, part in _PERCENTILES.items()}
    rounds = sum(1 / max(1, int(size)) for _, size in answers)
    return {"requests": len(times), "duration_us": seconds * 1e6, "errors": errors, "batch": len(times) / rounds, **ranks}


_PERCENTILES = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99, "p999_us": 0.999}


@contextlib.contextmanager
def idle_connections(port: int, content: bytes, number: int) -> Iterator[None]:
    """So many clients that asked once, got their answer and stay. Raises `OSError` when they cannot be had."""
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), 30))
            client.sendall(content)
            if not client.recv(4096).startswith(b"HTTP/1.1 200 "):
                raise OSError("a client that would have stayed idle was not served")
        yield
