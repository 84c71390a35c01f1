"""Attacks on the HTTP of a real server: nothing hidden is run, every attacker is told or cut off, and other clients notice nothing.

About half a minute. The messages are those of the transcripts in tests/contract, where they are also cut at every byte.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import selectors
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from argosy.testing.server import RunningServer, resident_mb, wait_for
from conftest import Report
from contract.attacks import REFUSED
from contract.malformed import MALFORMED, MORE_SMUGGLING, SMUGGLING
from fakes.certificates import identity
from faults.figures import Figure
from faults.system import IS_ORIGINAL, system

pytestmark = pytest.mark.timeout(300 if IS_ORIGINAL else 180)

ATTACKS = {**MALFORMED, **SMUGGLING, **MORE_SMUGGLING, **REFUSED}
HEAD = b"POST /predictions/echo HTTP/1.1\r\nHost: a\r\n"
GOOD = HEAD + b"Content-Length: 9\r\n\r\necho:good"
LIMIT = 200
PATIENCE_S = 2.0 if IS_ORIGINAL else 20.0
"""The original leaves connections open: whoever waits for their end waits no longer than this."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with short patience and few places."""
    settings = {"header_timeout_s": 2, "body_timeout_s": 3, "idle_timeout_s": 4, "max_connections": LIMIT, "max_request_size": 500_000}
    with system(tmp_path_factory.mktemp("http"), "echo", settings=settings) as running:
        yield running
        assert running.stop() == 0 or IS_ORIGINAL


def connected(port: int) -> socket.socket:
    """A client."""
    return socket.create_connection(("127.0.0.1", port), PATIENCE_S)


def read_all(sock: socket.socket) -> bytes:
    """Everything until the server ends the connection, or says nothing for too long."""
    found = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        while piece := sock.recv(65536):
            found += piece
    return found


def ends(sock: socket.socket, message: bytes) -> bytes:
    """What a message is answered with; the server has to end the connection."""
    with sock, contextlib.suppress(ConnectionError, TimeoutError):
        sock.sendall(message)
        return read_all(sock)
    return b""


def statuses(answer: bytes) -> list[int]:
    """The statuses in it."""
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def began(server: RunningServer) -> int:
    """How many requests handlers have begun."""
    return len((server.folder / "begun").read_text("utf-8", "replace").splitlines())


def is_served(server: RunningServer) -> bool:
    """Whether the next client gets its answer."""
    return server.predict("echo", "echo:next").text == "next"


@pytest.mark.parametrize("before", [b"", GOOD], ids=["fresh", "kept"])
def test_malformed_and_smuggled_messages(server: RunningServer, figure: Report, before: bytes) -> None:
    """Each is refused once and cut off; no handler is called for it or for what it hides; the next client is served."""
    begun = began(server)
    with ThreadPoolExecutor(8) as pool:  # one that is not answered holds up no other
        answers = list(pool.map(lambda message: statuses(ends(connected(server.inference), before + message)), ATTACKS.values()))
    found = [answer[1 if before else 0 :] for answer in answers]
    refused = sum(len(answer) == 1 and is_refusal(answer[0]) for answer in found)
    answered = sum(any(not is_refusal(status) for status in answer) for answer in found)
    hidden = sum(len(answer) > 1 for answer in found)
    extra = began(server) - begun - (len(ATTACKS) if before else 0)
    silent = sum(not answer for answer in found)
    told = f"{answered} answered as if they were good, {silent} not at all; {hidden} answered more than once, {extra} run"
    found_figure = figure(Figure(f"malformed and smuggled messages, {'behind a good one' if before else 'on fresh connections'}", sent=len(ATTACKS),
                                 refused=refused, wrong=len(ATTACKS) - refused, duplicated=hidden, figures=told))  # fmt: skip
    assert (found_figure.refused, found_figure.wrong, found_figure.duplicated, extra) == (len(ATTACKS), 0, 0, 0)
    assert is_served(server)


def is_refusal(status: int) -> bool:
    """Whether a client is told that it is its own fault, or that this is not done here."""
    return 400 <= status < 500 or status in (501, 505)


def test_slow_clients(server: RunningServer, figure: Report) -> None:
    """Clients that drip heads, bodies and chunks, or say nothing, are all cut off in time; meanwhile others are served."""
    kinds = (b"GET /ping HTTP/1.1\r\nX: ", HEAD + b"Content-Length: 99999\r\n\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n", b"")
    clients = [(connected(server.inference), kind) for kind in itertools.islice(itertools.cycle(kinds), 120)]
    for sock, kind in clients:
        sock.sendall(kind)
        sock.setblocking(False)
    good, told, began_at = 0, 0, time.monotonic()
    with selectors.DefaultSelector() as selector:
        for sock, kind in clients:
            selector.register(sock, selectors.EVENT_READ, kind)
        while selector.get_map() and time.monotonic() < began_at + 30:
            for key, _ in selector.select(0.2):
                told += _gone(selector, key)
            for key in list(selector.get_map().values()):
                with contextlib.suppress(OSError):
                    key.fileobj.send(b"1" if key.data else b"")  # type: ignore[union-attr]  # sockets were registered
            good += is_served(server)
        left = len(selector.get_map())
        for key in list(selector.get_map().values()):
            _gone(selector, key, leave=True)
    took = time.monotonic() - began_at
    ended = "all gone" if not left else f"{left} still held"
    figure(Figure("slow clients: head, body, chunk, silence", sent=len(clients), failed=len(clients) - left, wrong=left,
                  figures=f"{told} told why, {ended} after {took:.1f} s, {good} others served"))  # fmt: skip
    assert left == 0
    assert good > 5


def _gone(selector: selectors.BaseSelector, key: selectors.SelectorKey, *, leave: bool = False) -> int:
    """Read; forget the client if it was cut off or is to `leave`. How many replies came."""
    sock = key.fileobj
    assert isinstance(sock, socket.socket)
    try:
        data = sock.recv(65536)
    except OSError:
        data = b""
    if not data or leave:
        selector.unregister(sock)
        sock.close()
    return len(statuses(data))


def test_deep_pipelines(server: RunningServer, figure: Report) -> None:
    """Thousands of requests behind each other without waiting: all answered, in order, while little is held."""
    count, before = 5_000, resident_mb(server.pid)
    sock = connected(server.inference)
    sock.setblocking(False)
    unsent = memoryview(b"".join(HEAD + b"Content-Length: 10\r\n\r\necho:%05d" % number for number in range(count)))
    answer, most, deadline = bytearray(), 0.0, time.monotonic() + 60
    with sock, selectors.DefaultSelector() as selector, contextlib.suppress(ConnectionError):
        selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while answer.count(b"HTTP/1.1 200") < count and time.monotonic() < deadline:
            for _, events in selector.select(1):
                if events & selectors.EVENT_WRITE and unsent:
                    unsent = unsent[sock.send(unsent[:262144]) :]
                if events & selectors.EVENT_READ:
                    piece = sock.recv(1 << 20)
                    deadline = deadline if piece else 0.0
                    answer += piece
            if not unsent:
                selector.modify(sock, selectors.EVENT_READ)
            most = max(most, resident_mb(server.pid) - before)
    bodies = re.findall(rb"\r\n\r\n(\d{5})", bytes(answer))
    right = sum(body == b"%05d" % number for number, body in enumerate(bodies))
    failed = len(statuses(bytes(answer))) - len(bodies)
    figure(Figure("pipeline of 5,000 requests", sent=count, right=right, failed=failed, lost=count - len(bodies) - failed,
                  crossed=len(bodies) - right, figures=f"memory {most:+.0f} MB"))  # fmt: skip
    assert right == count
    assert most < 50


@pytest.mark.skipif(IS_ORIGINAL, reason="it has no limit on connections")
def test_more_connections_than_places(server: RunningServer, figure: Report) -> None:
    """Ten thousand idle openings, a few hundred at a time: those over the limit are told to come back; once they go the next client is served."""
    opened = refused = 0
    wait_for(lambda: _has_room(server), "there is room")
    for _ in range(20):
        clients = [connected(server.inference) for _ in range(500)]
        opened += len(clients)
        for sock in clients[LIMIT:]:
            answer = read_all(sock)
            refused += answer.startswith(b"HTTP/1.1 503 ") and b"retry-after: " in answer.lower()
        for sock in clients:
            sock.close()
        wait_for(lambda: _has_room(server), "there is room again")
    figure(Figure("10,000 idle openings, 200 places", sent=opened, right=opened - 20 * (500 - LIMIT), refused=refused,
                  lost=20 * (500 - LIMIT) - refused))  # fmt: skip
    assert refused == 20 * (500 - LIMIT)


def _has_room(server: RunningServer) -> bool:
    with contextlib.suppress(OSError):
        return is_served(server)
    return False


def test_the_wrong_protocol(tmp_path: Path, figure: Report) -> None:
    """TLS to a plain port is refused, plain text to a TLS port is cut off, old TLS too; both ports go on."""
    files = identity(tmp_path, is_rsa=True)  # the original takes no other key
    settings = {"management_address": "https://127.0.0.1:0", "private_key_file": files.key, "certificate_file": files.certificate}
    (tmp_path / "server").mkdir()
    rounds, right = 20, 0
    with system(tmp_path / "server", "echo", settings=settings) as server:
        context = ssl.create_default_context(cafile=str(files.certificate))
        for _ in range(rounds):
            right += not speaks_tls(context, server.inference)
            answer = ends(connected(server.management), b"GET /models HTTP/1.1\r\nHost: a\r\n\r\n")
            right += not statuses(answer)
            right += not statuses(ends(connected(server.management), b"\x16\x03\x01\0\x05hello"))
        goes_on = speaks_tls(context, server.management) and is_served(server)
    told = f"afterwards both ports {'go on' if goes_on else 'are DEAD'}"
    figure(Figure("TLS to a plain port, plain and broken TLS to a TLS port", sent=3 * rounds, refused=right, wrong=3 * rounds - right, figures=told))
    assert (right, goes_on) == (3 * rounds, True)


def speaks_tls(context: ssl.SSLContext, port: int) -> bool:
    """Whether a request over TLS is answered there."""
    with connected(port) as plain, contextlib.suppress(ssl.SSLError, OSError), context.wrap_socket(plain, server_hostname="localhost") as sock:
        return statuses(ends(sock, b"GET /models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")) == [200]
    return False


BOMBS: Sequence[tuple[str, bytes]] = [
    ("target", b"GET /" + b"a" * (1 << 20)), ("fields", b"GET /ping HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200_000),
    ("field", b"GET /ping HTTP/1.1\r\nHost: a\r\nX: " + b"y" * (4 << 20)),
    ("extension", HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * (4 << 20)),
    ("trailers", HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 700_000),
    ("tiny chunks", HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 1_000_000),
]


def test_bombs(server: RunningServer, figure: Report) -> None:
    """Heads, extensions, trailers and chunks without an end are refused or cut off, and cost no memory."""
    before, begun, refused, silent = resident_mb(server.pid), began(server), 0, 0
    for _, bomb in BOMBS:
        begin = time.monotonic()
        found = statuses(ends(connected(server.inference), bomb))
        is_cut = not found and time.monotonic() < begin + PATIENCE_S
        refused += is_cut or (bool(found) and found[0] in (400, 413, 414, 431))
        silent += not found and not is_cut
    grown = resident_mb(server.pid) - before
    figure(Figure("bombs: target, fields, extension, trailers, chunks", sent=len(BOMBS), refused=refused, wrong=len(BOMBS) - refused,
                  figures=f"memory {grown:+.0f} MB, {silent} neither refused nor cut off"))  # fmt: skip
    assert refused == len(BOMBS)
    assert began(server) == begun
    assert grown < 100
    assert is_served(server)
