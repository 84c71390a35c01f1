"""HTTP that is right but rare, targets that mean something else to another reader, and clients that ask for an invitation and never come."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.testing.server import RunningServer, open_files, resident_mb
from conftest import Report
from contract.attacks import TARGETS
from faults.figures import Figure
from faults.system import IS_ORIGINAL, in_s, seconds_until, system

PATIENCE_S = 2.0 if IS_ORIGINAL else 20.0
CLOSE = b"Connection: close\r\n"
PING = b"GET /ping HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /predictions/m HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n"
CHUNKED = POST + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n"
GOOD = b"Content-Length: 9\r\n\r\necho:good"
BEHIND = b"GET /ping?behind HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
LARGEST = 500_000
RARE: dict[str, tuple[bytes, list[int], bytes]] = {
    "HTTP/1.0": (b"GET /ping HTTP/1.0\r\n\r\n", [200], b""),
    "HTTP/1.0 kept": (b"GET /ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + BEHIND, [200, 200], b""),
    "kept": (PING + b"\r\n" + BEHIND, [200, 200], b""),
    "close": (POST + CLOSE + GOOD + BEHIND, [200], b"good"),
    "close in a list": (PING + b"Connection: x, Close\r\n\r\n" + BEHIND, [200], b""),
    "empty lines": (b"\r\n\r\n" + PING + CLOSE + b"\r\n", [200], b""),
    "HEAD": (b"HEAD /ping HTTP/1.1\r\nHost: a\r\n" + CLOSE + b"\r\n", [200], b""),
    "absolute form": (b"GET http://a/ping HTTP/1.1\r\nHost: a\r\n" + CLOSE + b"\r\n", [200], b""),
    "escaped letter": (b"GET /%70ing HTTP/1.1\r\nHost: a\r\n" + CLOSE + b"\r\n", [200], b""),
    "expectation": (POST + CLOSE + b"Expect: 100-continue\r\n" + GOOD, [100, 200], b"good"),
    "expectation of too much": (POST + b"Expect: 100-continue\r\nContent-Length: 600000\r\n\r\n", [413], b""),
    "expectation of something else": (POST + b"Expect: 200-ok\r\nContent-Length: 9\r\n\r\necho:good", [417], b""),
    "upgrade": (POST + b"Connection: Upgrade, close\r\nUpgrade: h2c\r\n" + GOOD, [200], b"good"),
    "upgrade, chunked": (POST + b"Connection: Upgrade, close\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n"
                         b"5\r\necho:\r\n4\r\ngood\r\n0\r\n\r\n", [200], b"good"),
    "web socket": (PING + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\r\n", [200], b""),
    "chunks with extensions": (CHUNKED + b"5;a=b;c=\"d\"\r\necho:\r\n04\r\ngood\r\n0;z\r\nX: y\r\n\r\n", [200], b"good"),
    "chunks of a byte": (CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in b"echo:good") + b"0\r\n\r\n", [200], b"good"),
    "body over the limit": (POST + b"Content-Length: 600000\r\n\r\n", [413], b""),
    "version 2": (b"GET /ping HTTP/2.0\r\nHost: a\r\n\r\n", [505], b""),
    "unknown coding": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", [501], b""),
    "tunnel": (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n" + BEHIND, [405], b""),
    "long target": (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", [414], b""),
    "many fields": (PING + b"X: y\r\n" * 1000 + b"\r\n", [431], b""),
}  # fmt: skip
"""What is sent, the statuses that have to come, and what the last body has to be if it matters."""
STATUSES = {target: status for target, (status, _) in TARGETS.items()} | {b"/ping%2F": 200, b"http://": 405, b"/?/ping": 405, b"*": 400}
"""Of a GET: as in the transcripts, but that this server has a root, which is for OPTIONS, takes a slash at the end, and no `*`."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with short patience."""
    settings = {"body_timeout_s": 2, "header_timeout_s": 2, "idle_timeout_s": 2, "max_request_size": LARGEST}
    with system(tmp_path_factory.mktemp("messages"), "m", settings=settings) as running:
        yield running


def answers(server: RunningServer, message: bytes) -> tuple[list[int], bytes]:
    """The statuses that a message is answered with on a connection of its own, and the end of what came."""
    found = b""
    with socket.create_connection(("127.0.0.1", server.inference), PATIENCE_S) as sock, contextlib.suppress(OSError):
        sock.sendall(message)
        while piece := sock.recv(65536):
            found += piece
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", found)], found


def test_rare_messages(server: RunningServer, figure: Report) -> None:
    """Whatever is in the standard is done as it says, or refused with the status that is meant for it."""
    found = {name: answers(server, message) for name, (message, _, _) in RARE.items()}
    off = [name for name, (statuses, end) in found.items() if statuses != RARE[name][1] or not end.rstrip(b"\r\n0").endswith(RARE[name][2])]
    told = f"otherwise: {', '.join(off)}" if off else ""
    figure(Figure("rare messages", sent=len(RARE), right=len(RARE) - len(off), wrong=len(off), figures=told))
    assert {name: found[name] for name in off} == {}


def test_targets(server: RunningServer, figure: Report) -> None:
    """`//`, dot segments, escapes, NUL, other schemes: a path is what it says, decoded once; what is no path is refused."""
    found = {target: answers(server, b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")[0] for target in TARGETS}
    off = [target.decode("latin-1") for target, status in STATUSES.items() if found[target] != [status]]
    told = f"otherwise: {', '.join(off)}" if off else ""
    figure(Figure("targets: //, dots, escapes, NUL, absolute", sent=len(TARGETS), right=len(TARGETS) - len(off), wrong=len(off), figures=told))
    assert off == []


def test_invitations_that_nobody_accepts(server: RunningServer, figure: Report) -> None:
    """Clients that expect 100-continue for a large body, get it, and never send: they cost no memory, run nothing and are let go in time."""
    count, message = 200, POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (LARGEST - 1)
    server.predict("m", "echo:first")
    files, memory_mb = open_files(server.pid), resident_mb(server.pid)
    with contextlib.ExitStack() as held:
        clients = [held.enter_context(socket.create_connection(("127.0.0.1", server.inference), PATIENCE_S)) for _ in range(count)]
        for sock in clients:
            sock.sendall(message)
        reply = server.predict("m", "echo:next").text
        grown_mb = resident_mb(server.pid) - memory_mb
        free_s = seconds_until(lambda: open_files(server.pid) <= files + 3, 20)
    told = f"others are {'served' if reply == 'next' else 'NOT served'}; memory {grown_mb:+.0f} MB; free after {in_s(free_s)}"
    gone = count if free_s < 20 else 0
    figure(Figure("invitations (100-continue) not used", sent=count, failed=gone, wrong=count - gone, figures=told))
    assert reply == "next"
    assert free_s < 20
    assert grown_mb < 150


def test_more_than_is_allowed_at_once(tmp_path: Path, figure: Report) -> None:
    """Bodies that together are larger than the memory for bodies wait for their turn: all are answered, and memory stays within its bound."""
    if IS_ORIGINAL:
        pytest.skip("it has no bound on the memory of all bodies")
    settings = {"max_request_size": 20_000_000, "max_response_size": 20_000_000, "request_memory_bytes": 40_000_000}
    with system(tmp_path, "m", settings=settings) as server, server.clients(16) as send:
        server.predict("m", "echo:first")
        memory_mb = resident_mb(server.pid)
        replies = [send("m", "echo:" + "x" * 10_000_000) for _ in range(32)]
        right = sum(len(reply.result().body) == 10_000_000 for reply in replies)
        grown_mb = resident_mb(server.pid) - memory_mb
    figure(Figure("32 bodies of 10 MB, room for four", sent=32, right=right, wrong=32 - right, figures=f"memory {grown_mb:+.0f} MB"))
    assert right == 32
    assert grown_mb < 300
