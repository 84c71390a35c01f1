"""What the system tells of a client's reading."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from argosy.frontend.progress import Progress, progress

NOTHING = Progress(0, False)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Server and client of a TCP connection, for which the client's system keeps little."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        with server:
            server.setblocking(False)
            yield server, client


def test_what_cannot_tell_has_no_progress() -> None:
    """A socket that was closed, one that is not connected and one that is no TCP: nothing was taken, and nobody is kept waiting for it."""
    closed = socket.socket()
    closed.close()
    assert progress(closed) == NOTHING
    with socket.socket() as alone:
        assert progress(alone) == NOTHING
    one, other = socket.socketpair()
    with one, other:
        one.send(b"x" * 100)
        assert progress(one) == NOTHING


def test_a_client_that_reads_nothing_is_being_sent_to(ends: tuple[socket.socket, socket.socket]) -> None:
    """What neither side's system can keep stays to be sent."""
    server, _ = ends
    with contextlib.suppress(BlockingIOError):
        while True:
            server.send(b"x" * 65536)
    assert progress(server).is_sending


def test_all_that_was_read_was_taken(ends: tuple[socket.socket, socket.socket]) -> None:
    """It grows with what the client reads, and at the end nothing is left to be sent."""
    server, client = ends
    server.send(b"x" * 1000)
    assert len(client.recv(1000, socket.MSG_WAITALL)) == 1000
    while progress(server).is_sending:
        pass
    first = progress(server).taken
    assert first >= 1000
    server.send(b"x" * 500)
    assert len(client.recv(500, socket.MSG_WAITALL)) == 500
    while progress(server).is_sending:
        pass
    assert progress(server).taken == first + 500
