"""Crowds of TLS clients: those that never finish their handshake, that send anything else, and that do not read their answers."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.testing.server import open_files, resident_mb, wait_for
from conftest import Report
from fakes.certificates import identity
from fakes.live_server import LiveServer, live_server
from faults.figures import Figure

HANDLER = """
def handle(data, context):
    return None if data is None else [b"z" * int(bytes(item["body"])) for item in data]
"""
DESCRIPTORS = 300
CROWD = 1000
READERS = 40
ANSWER_BYTES = 10_000_000
UNREAD_BYTES = 32_000_000
BINARY = {"Content-Type": "application/octet-stream"}


@contextlib.contextmanager
def secured(folder: Path, descriptors: int = 0, **settings: object) -> Iterator[tuple[LiveServer, ssl.SSLContext]]:
    """A server that answers over TLS with as many bytes as it is asked for, and what its clients believe."""
    files = identity(folder)
    lines = {"inference_address": "https://127.0.0.1:0", "private_key_file": files.key, "certificate_file": files.certificate, **settings}
    with live_server(folder, HANDLER, lines, open_files=descriptors) as server:
        yield server, ssl.create_default_context(cafile=str(files.certificate))


def is_served(server: LiveServer, trusted: ssl.SSLContext) -> bool:
    """Whether a new client gets its answer."""
    return server.ask("POST", "/predictions/m", b"3", BINARY, trusted) == (200, b"zzz")


def hello(trusted: ssl.SSLContext) -> bytes:
    """The first message of a handshake."""
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        trusted.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="127.0.0.1").do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("kind", ["nothing", "half a hello", "a hello", "garbage", "plain HTTP"])
def test_half_handshakes(tmp_path: Path, figure: Report, kind: str) -> None:
    """Three times as many as the server has descriptors, all held open: it never runs out of them, serves old and new clients, and logs a line."""
    with secured(tmp_path, DESCRIPTORS, header_timeout_s=600) as (server, trusted), contextlib.ExitStack() as held:
        friend = held.enter_context(server.connect(trusted))
        first = hello(trusted)
        others = {"nothing": b"", "half a hello": first[:100], "garbage": os.urandom(500), "plain HTTP": b"GET / HTTP/1.1\r\n\r\n"}
        said = others.get(kind, first)
        files, lines, most, served = open_files(server.pid), server.log.read_text().count("\n"), 0, 0
        for number in range(CROWD):
            sock = held.enter_context(server.connect())
            with contextlib.suppress(ConnectionError):
                sock.sendall(said)
            if number % 100 == 99:
                served += is_served(server, trusted)
                most = max(most, open_files(server.pid))
        friend.sendall(b"GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        goes_on = friend.recv(100).startswith(b"HTTP/1.1 200")
        told = sum("TLS" in line for line in server.log.read_text().splitlines()[lines:])
        held.close()
        wait_for(lambda: open_files(server.pid) <= files, "all descriptors are free again")
        figure(Figure(f"{CROWD} TLS clients that send {kind}", CROWD // 100, served, failed=CROWD, figures=f"{most} of {DESCRIPTORS} descriptors"))
        assert served == CROWD // 100
        assert goes_on
        assert most < DESCRIPTORS
        assert told <= 1


def test_slow_readers_over_tls(tmp_path: Path, figure: Report) -> None:
    """Clients that ask for 10 MB each and read nothing take a bounded part of memory, as without TLS; others are served."""
    settings = {"unread_memory_bytes": UNREAD_BYTES, "max_response_size": 2 * ANSWER_BYTES, "job_queue_size": 1000}
    body = b"%d" % ANSWER_BYTES
    request = b"POST /predictions/m HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with secured(tmp_path, **settings) as (server, trusted), contextlib.ExitStack() as held:
        assert len(server.ask("POST", "/predictions/m", body, BINARY, trusted)[1]) == ANSWER_BYTES
        memory_mb, most_mb, served = resident_mb(server.pid), 0.0, 0
        for _ in range(READERS):
            sock = server.connect()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock = held.enter_context(trusted.wrap_socket(sock, server_hostname="127.0.0.1"))
            sock.sendall(request)
            served += is_served(server, trusted)  # behind it in the queue of the only worker
            most_mb = max(most_mb, resident_mb(server.pid) - memory_mb)
        figure(Figure("TLS clients that do not read", READERS, served, failed=READERS, figures=f"server {most_mb:+.0f} MB at most"))
        assert served == READERS
        assert most_mb < 5 * UNREAD_BYTES / 1e6
