"""Large answers lie in memory that a worker shares with the server, until their clients have them; nobody may be able to tell, but by the speed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from argosy import wire
from argosy.testing.server import RunningServer, is_free, open_files, resident_mb, serving, wait_for

SIZE = 6_000_000
"""More than the system keeps for a connection."""
SENDER = '''
"""Answers with so many bytes that nobody else gets: the text of the request over and over."""

def handle(data, context):
    if data is None:
        return None
    answers = []
    for item in data:
        body = item["body"]
        token, size = (body if isinstance(body, str) else bytes(body).decode()).split()
        answers.append((token.encode() + b" ") * (int(size) // (len(token) + 1)))
    return answers
'''


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose worker has room for three of the large answers."""
    with serving(tmp_path_factory.mktemp("large"), settings={"answer_memory_bytes": 3 * (SIZE + 4096), "max_response_size": 30_000_000}) as running:
        running.store.add("sender", SENDER)
        assert running.register("sender", initial_workers=1, batch_size=1).status == 200
        yield running
        assert running.stop() == 0


class SlowReader:
    """A client that asks for an answer and does not read it until it is told to. Its system keeps next to nothing for it."""

    def __init__(self, server: RunningServer, model: str, token: str, size: int) -> None:
        self.token = token
        self.size = size // (len(token) + 1) * (len(token) + 1)
        self._sock = socket.socket()
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._sock.settimeout(60)
        self._sock.connect(("127.0.0.1", server.inference))
        body = f"{token} {size}".encode()
        head = b"POST /predictions/%s HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n%s"
        self._sock.sendall(head % (model.encode(), len(body), body))
        self._got = self._sock.recv(10)

    def is_right(self) -> bool:
        """Read on to the end: whether all of it is what was asked for."""
        head, _, rest = self._got.partition(b"\r\n\r\n")
        while not rest:
            self._got += self._sock.recv(4096)
            head, _, rest = self._got.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        body = bytearray(rest)
        while len(body) < self.size:
            piece = self._sock.recv(self.size - len(body))
            assert piece, f"cut off after {len(body)} bytes"
            body += piece
        return bytes(body) == (self.token.encode() + b" ") * (self.size // (len(self.token) + 1))

    def close(self) -> None:
        """Leave."""
        self._sock.close()


@contextlib.contextmanager
def readers(server: RunningServer, sizes: Sequence[int], model: str = "sender") -> Iterator[list[SlowReader]]:
    """Clients that wait with an answer of so many bytes each, of which they have read the beginning."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(SlowReader(server, model, f"reader-{number}", size))) for number, size in enumerate(sizes)]


def test_more_than_there_is_room_for(server: RunningServer) -> None:
    """What finds no room, taken or too small, is as right as the others, and nobody waits for those who read slowly."""
    with readers(server, [SIZE] * 8 + [20_000_000] + [70_000] * 80) as slow:
        assert server.predict("sender", "quick 100000").text == "quick " * (100_000 // 6)
        assert all(reader.is_right() for reader in reversed(slow))


def test_the_worker_dies_while_its_answers_are_read(server: RunningServer) -> None:
    """Killed, it leaves them to the server: each client gets all of its answer."""
    (pid,) = server.workers("sender")
    with readers(server, [SIZE] * 5) as slow:
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: server.workers("sender") not in ([], [pid]), "another worker is there")
        assert server.predict("sender", "quick 100000").text == "quick " * (100_000 // 6)
        assert all(reader.is_right() for reader in slow)


def test_the_model_is_unregistered_while_its_answers_are_read(server: RunningServer) -> None:
    """They are still there for those who have been answered."""
    files = open_files(server.pid)
    assert server.register("sender", model_name="brief", initial_workers=1).status == 200
    with readers(server, [SIZE] * 4, "brief") as slow:
        assert server.manage("DELETE", "/models/brief").status == 200
        assert all(reader.is_right() for reader in slow)
    wait_for(lambda: open_files(server.pid) <= files + 1, "its descriptors are closed")


def test_clients_that_never_read_to_the_end(server: RunningServer) -> None:
    """They leave in the middle, again and again: all room is there for the next, and memory stays within it."""
    before = resident_mb(server.pid)
    for _ in range(20):
        with readers(server, [SIZE] * 3):
            pass
    with readers(server, [SIZE] * 3) as slow:
        assert all(reader.is_right() for reader in slow)
    assert resident_mb(server.pid) - before < 40


@pytest.mark.parametrize(
    ("prefix", "size", "why"), [((), 1 << 50, "Cannot allocate memory"), (("prlimit", "--fsize=33554432"), 64 << 20, "File too large")]
)
def test_room_that_the_system_refuses(tmp_path: Path, prefix: Sequence[str], size: int, why: str) -> None:
    """No worker starts; who asked for one is told which setting to lower."""
    if prefix and shutil.which(prefix[0]) is None:
        pytest.skip("prlimit is not installed")
    with serving(tmp_path, settings={"answer_memory_bytes": size}, prefix=prefix) as running:
        running.store.add("sender", SENDER)
        refusal = running.register("sender", initial_workers=1)
        assert refusal.status == 500
        assert refusal.json["cause"].startswith(f"cannot start a worker: {why} (it shares {size + wire.ROOM_OFFSET} bytes")
        assert "a lower answer_memory_bytes may help" in refusal.json["cause"]
        assert running.stop() == 0


@pytest.mark.parametrize(
    "settings", [{"preload_model": "true"}, {"default_workers_per_model": 3}, {"answer_memory_bytes": 0}, {"answer_memory_bytes": 100_001}])
def test_however_a_worker_came_to_be(tmp_path: Path, settings: dict[str, object]) -> None:
    """Forked from a template or from one that has loaded nothing, with much room, little or none: the same answers."""
    with serving(tmp_path, settings={"max_response_size": 30_000_000, **settings}) as running:
        running.store.add("sender", SENDER)
        assert running.register("sender", initial_workers=settings.get("default_workers_per_model", 1)).status == 200
        with readers(running, [SIZE, 100_000, 70_000] * 4) as slow:
            assert all(reader.is_right() for reader in slow)
        assert running.stop() == 0


def test_the_server_stops_while_its_answers_are_read(tmp_path: Path) -> None:
    """Told to end, it waits for those who still read: each gets all of its answer, though no worker is needed any more."""
    with serving(tmp_path, settings={"max_response_size": 30_000_000}) as running:
        running.store.add("sender", SENDER)
        assert running.register("sender", initial_workers=1).status == 200
        with readers(running, [SIZE] * 6) as slow:
            running.process.send_signal(signal.SIGTERM)
            wait_for(lambda: is_free(running.inference), "it takes no more clients")
            assert all(reader.is_right() for reader in slow)
        assert running.wait() == 0
