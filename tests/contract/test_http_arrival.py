"""Large bodies are received in large pieces, unless their client is slow; nobody waits for more than comes."""

from __future__ import annotations

import socket

import pytest

from argosy.frontend.limits import Limits
from argosy.messages import Response
from argosy.testing.http import FakeClient, FakeModel, FakeSite

from .conftest import MakeSite

LIMITS = Limits(arena_bytes=100, body_timeout_s=5, linger_s=1)
MEGABYTE = 1 << 20
BODY = bytes(range(256)) * (5 * MEGABYTE // 2 // 256)
HEAD = b"POST /predictions/echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(BODY)


def awaited(client: FakeClient) -> int:
    """How many bytes the system was asked to wait for."""
    count = client.transport.socket.options.get(socket.SO_RCVLOWAT, 1)
    assert isinstance(count, int)
    return count


@pytest.fixture
def site(make_site: MakeSite) -> FakeSite:
    """Where bodies of this size have a slot."""
    return make_site(limits=LIMITS, budget_bytes=16 * MEGABYTE, model=FakeModel(arena_size=16 * MEGABYTE))


def answer(site: FakeSite, client: FakeClient) -> bytes:
    """The body of the only reply, which is the one that the model was given."""
    site.model.answer(Response(200, bytes(site.model.jobs[0].body or b"")))
    return client.reply().body


@pytest.mark.parametrize("known", [False, True])
def test_a_large_body_comes_in_megabytes(site: FakeSite, known: bool) -> None:
    """Be its head a known one or not: a megabyte at a time, then what is left, and then the connection is as it was."""
    client = site.client()
    if known:
        for _ in range(2):
            client.send(HEAD, BODY)
            assert answer(site, client) == BODY
    client.send(HEAD)
    assert awaited(client) == MEGABYTE
    client.send(BODY[: MEGABYTE - 1])
    assert site.model.jobs == []
    client.send(BODY[MEGABYTE - 1 : -MEGABYTE + 1])
    assert awaited(client) == MEGABYTE - 1
    client.send(BODY[-MEGABYTE + 1 :])
    assert awaited(client) == 1
    assert answer(site, client) == BODY


def test_what_follows_a_large_body(site: FakeSite) -> None:
    """The next request, sent together with the end of a large body, is read too."""
    client = site.client()
    small = HEAD.replace(b"%d" % len(BODY), b"5") + b"small"
    client.send(HEAD, BODY + small)
    assert [answer(site, client), answer(site, client)] == [BODY, b"small"]


def test_small_bodies_come_as_they_are_sent(site: FakeSite) -> None:
    """The system is asked for nothing."""
    client = site.client()
    client.send(HEAD.replace(b"%d" % len(BODY), b"100000"))
    assert socket.SO_RCVLOWAT not in client.transport.socket.options


def test_a_slow_client_is_received_from_as_it_sends(site: FakeSite) -> None:
    """After a second nothing more is awaited for this body: the client's pace shows, and one that goes on gets its answer."""
    client = site.client()
    client.send(HEAD, BODY[:1000])
    client.wait(2)
    assert awaited(client) == 1
    for at in range(1000, len(BODY), 200_000):
        client.send(BODY[at : at + 200_000]).wait(1)
    assert answer(site, client) == BODY
    client.send(HEAD)
    assert awaited(client) == MEGABYTE


@pytest.mark.parametrize("come", [0, 10, MEGABYTE - 1, MEGABYTE, len(BODY) - 1])
def test_a_client_that_stalls_is_refused(site: FakeSite, come: int) -> None:
    """Wherever it stops, its body is too slow in the end, and what it still sends is read so that it sees the reply."""
    client = site.client()
    client.send(HEAD, BODY[:come])
    client.wait(20, sweep=0.9)
    assert client.reply().status == 408
    assert awaited(client) == 1
    assert not client.is_open


@pytest.mark.parametrize("come", [10, MEGABYTE + 5])
def test_a_client_that_leaves(site: FakeSite, come: int) -> None:
    """Half closed or gone in the middle of a body, it holds nothing."""
    for leave in (FakeClient.finish, FakeClient.leave):
        client = site.client().send(HEAD, BODY[:come])
        leave(client)
        assert not client.is_open
    assert site.is_clean()


def test_over_tls_the_system_is_asked_for_nothing(site: FakeSite) -> None:
    """What it would wait for are bytes of TLS, more than those of the body."""
    client = site.client(is_tls=True)
    client.send(HEAD)
    assert socket.SO_RCVLOWAT not in client.transport.socket.options
