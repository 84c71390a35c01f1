"""What asks a template for a worker is a packet with descriptors; anything else ends the template and leaks none of them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from argosy.worker.forks import DESCRIPTORS, REQUEST, receive

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Both ends of the socket between server and template, which keeps packets apart."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


def open_files() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


def send(sock: socket.socket, data: bytes, count: int) -> list[int]:
    """A packet with so many descriptors, each the reading end of a pipe; the inodes behind them."""
    ends = [os.pipe() for _ in range(count)]
    inodes = [os.fstat(reading).st_ino for reading, _ in ends]
    socket.send_fds(sock, [data], [reading for reading, _ in ends])
    for end in ends:
        for descriptor in end:
            os.close(descriptor)
    return inodes


def test_a_request_is_a_number_and_four_descriptors(pair: Pair) -> None:
    """They are what was sent, in order, and belong to whoever asked for the request."""
    inodes = send(pair[0], REQUEST.pack(7), DESCRIPTORS)
    request = receive(pair[1])
    assert request is not None
    number, descriptors = request
    assert (number, [os.fstat(descriptor).st_ino for descriptor in descriptors]) == (7, inodes)
    for descriptor in descriptors:
        os.close(descriptor)


@pytest.mark.parametrize(("data", "count"), [
    (REQUEST.pack(7), 0), (REQUEST.pack(7), 1), (REQUEST.pack(7), DESCRIPTORS - 1), (b"short", DESCRIPTORS), (b"x", 1),
])  # fmt: skip
def test_what_is_no_request_leaves_no_descriptor_open(pair: Pair, data: bytes, count: int) -> None:
    """Too few, or a packet of another length: a worker could not be made of it."""
    before = open_files()
    send(pair[0], data, count)
    assert receive(pair[1]) is None
    assert open_files() == before


def test_a_server_that_is_gone_asks_for_nothing(pair: Pair) -> None:
    """The template ends then."""
    pair[0].close()
    assert receive(pair[1]) is None


def test_requests_are_taken_one_by_one(pair: Pair) -> None:
    """Packets do not run together."""
    for number in (1, 2):
        send(pair[0], REQUEST.pack(number), DESCRIPTORS)
    for number in (1, 2):
        request = receive(pair[1])
        assert request is not None
        assert request[0] == number
        for descriptor in request[1]:
            os.close(descriptor)
