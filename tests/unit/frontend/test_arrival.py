"""When the system tells of a body."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest

from argosy.frontend.arrival import ANY, tell_at, worth_awaiting

MEGABYTE = 1 << 20


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Server and client of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        server, _ = listener.accept()
        with server:
            yield server, client


def is_told(server: socket.socket, within_s: float) -> bool:
    """Whether the system tells that there is something to be received."""
    return bool(select.select([server], [], [], within_s)[0])


@pytest.mark.parametrize("left", [0, 1, 100_000, 512 * 1024 - 1])
def test_small_bodies_are_not_waited_for(left: int) -> None:
    """To ask the system twice for each would cost more than it saves."""
    assert worth_awaiting(left) == ANY


@pytest.mark.parametrize("left", [512 * 1024, MEGABYTE - 1, MEGABYTE])
def test_a_body_of_a_megabyte_is_received_at_once(left: int) -> None:
    """It is awaited whole: the system does not tell of less than it was asked for, so it must never be asked for more than comes."""
    assert worth_awaiting(left) == left


def test_a_larger_body_is_received_in_megabytes() -> None:
    """What the system keeps for a connection is bounded."""
    assert worth_awaiting(1 << 40) == MEGABYTE


def test_what_has_no_socket_stays_as_it_is() -> None:
    """None, a closed one, and one of another kind: nothing is raised."""
    tell_at(None, 100)
    closed = socket.socket()
    closed.close()
    tell_at(closed, 100)
    one, other = socket.socketpair()
    with one, other:
        tell_at(one, 100)
        other.send(b"x")
        assert is_told(one, 10)


def test_the_system_tells_when_enough_has_come(ends: tuple[socket.socket, socket.socket]) -> None:
    """Not of one byte less; and of less as soon as it is asked again."""
    server, client = ends
    tell_at(server, 300_000)
    client.sendall(bytes(299_999))
    assert not is_told(server, 0.1)
    client.sendall(b"x")
    assert is_told(server, 10)
    assert len(server.recv(300_000, socket.MSG_WAITALL)) == 300_000
    client.sendall(b"x")
    assert not is_told(server, 0.1)
    tell_at(server, ANY)
    assert is_told(server, 10)


@pytest.mark.parametrize("how", ["ends", "resets"])
def test_the_system_tells_of_the_end(ends: tuple[socket.socket, socket.socket], how: str) -> None:
    """A client that ends or breaks off its connection is noticed at once, however much it was to send."""
    server, client = ends
    tell_at(server, MEGABYTE)
    client.sendall(b"x")
    if how == "resets":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    else:
        client.shutdown(socket.SHUT_WR)
    assert is_told(server, 10)
