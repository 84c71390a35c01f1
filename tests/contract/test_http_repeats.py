"""Requests that begin with the same bytes as an earlier one are not parsed again; nobody may be able to tell."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.errors import ArgosyError, ErrorCode
from argosy.frontend.limits import Limits
from argosy.messages import Response
from argosy.testing.http import FakeClient, FakeModel, FakeSite

from .conftest import MakeSite

LIMITS = Limits(arena_bytes=100)
LARGE = 20_000


def request(body: bytes, field: bytes = b"X: 1", target: bytes = b"echo") -> bytes:
    """A prediction."""
    return b"POST /predictions/%s HTTP/1.1\r\nHost: a\r\n%s\r\nContent-Length: %d\r\n\r\n%s" % (target, field, len(body), body)


def answered(site: FakeSite, client: FakeClient) -> list[bytes]:
    """The bodies of the replies, each the body that the model was given."""
    while site.model.jobs:
        site.model.answer(Response(200, bytes(site.model.jobs[0].body or b"")))
        client.pump()
    return [reply.body for reply in client.replies()]


def warm(site: FakeSite, client: FakeClient, body: bytes) -> FakeClient:
    """A client whose next request may begin with known bytes."""
    for _ in range(2):
        assert answered(site, client.send(request(body))) == [body]
    return client


BODIES = st.sampled_from([b"", b"1", b"12", b"123", b"1234567890", b"2", b"\r\n\r\n", b"s" * 99, b"a" * LARGE, b"b" * LARGE, b"c" * 5000])
FIELDS = st.sampled_from([b"X: 1", b"X: 1", b"X: 1", b"X: 2", b"x-request-id: mine", b"Y: " + b"y" * 500])
CUTS = st.lists(st.integers(0, 25_000), max_size=4)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.lists(st.tuples(BODIES, FIELDS), min_size=1, max_size=3), CUTS, st.sampled_from([b"", b"", b"\r\n"])), max_size=8))
def test_whatever_comes_on_one_connection(traffic: list[tuple[list[tuple[bytes, bytes]], list[int], bytes]]) -> None:
    """Alone, behind each other or in pieces, large and small: each body reaches the model with the headers that it came with, and is answered."""
    site = FakeSite(limits=LIMITS, model=FakeModel())
    client = site.client()
    for together, cuts, before in traffic:
        heads = []
        data = before + b"".join(request(body, field) for body, field in together)
        client.send_split(data, [cut for cut in cuts if cut < len(data)])
        replies = []
        while site.model.jobs:
            heads.append(site.model.jobs[0].headers.split(b"\0")[2:])
            site.model.answer(Response(200, bytes(site.model.jobs[0].body or b"")))
            replies += client.pump().replies()
        assert heads == [[*field.split(b": "), b"Content-Length", b"%d" % len(body)] for body, field in together]
        assert [reply.body for reply in replies] == [body for body, _ in together]
    client.leave()
    assert site.is_clean()
    site.close()


KINDS = {
    "plain": lambda body: request(body),
    "with an id": lambda body: request(body, b"x-request-id: mine"),
    "with a query": lambda body: request(body).replace(b"/predictions/echo", b"/invoke/echo?a=1"),
    "of the server": lambda body: request(body).replace(b"/predictions/echo", b"/show"),
}


@pytest.mark.parametrize("block", range(6))
def test_whatever_comes_before_the_answers(block: int) -> None:
    """Of requests that do not wait for the answers to earlier ones, each is what it says: it goes where it belongs, and in its turn."""
    for seed in range(50 * block, 50 * block + 50):
        site = FakeSite(limits=LIMITS, model=FakeModel())
        client, chance = site.client(), random.Random(seed)
        sent: list[tuple[str, bytes]] = []
        got: list[tuple[bytes, bytes]] = []
        for _ in range(20):
            sent.append((chance.choice(sorted(KINDS)), b"%05d" % chance.randrange(9) * chance.choice([1, 1, 1, LARGE // 5])))
            data = KINDS[sent[-1][0]](sent[-1][1])
            client.send_split(data, chance.choice([[], [20]]))
            got += settled(site, client, chance.choice([0, 1, 20]))
            if chance.random() < 0.2:  # nothing is known of what comes next
                site.registry.remove("echo")
                site.registry.add(site.model)
        got += settled(site, client, 20)
        assert got == [(b"x-request-id" if kind == "with an id" else b"X", body) for kind, body in sent if kind != "of the server"]
        assert [reply.body for reply in client.replies()] == [body for _, body in sent]
        client.leave()
        assert site.is_clean()
        site.close()


def settled(site: FakeSite, client: FakeClient, count: int) -> list[tuple[bytes, bytes]]:
    """Answer so many jobs with their bodies, as long as there are any: the name of their first field behind Host, and the body."""
    found: list[tuple[bytes, bytes]] = []
    while site.model.jobs and len(found) < count:
        job = site.model.jobs[0]
        found.append((job.headers.split(b"\0")[2], bytes(job.body or b"")))
        site.model.answer(Response(200, found[-1][1]))
        client.pump()
    return found


@pytest.mark.parametrize("size", [10, LARGE])
def test_cut_at_every_byte(make_site: MakeSite, size: int) -> None:
    """A request with a known beginning that comes in two packets is the same request."""
    site = make_site(limits=LIMITS, model=FakeModel())
    client = warm(site, site.client(), b"x" * size)
    whole = request(b"x" * size)
    for cut in range(1, min(len(whole), 200)):
        assert answered(site, client.send(whole[:cut], whole[cut:])) == [b"x" * size]


FOREIGN = {
    "of the server": request(b"12345").replace(b"POST /predictions/echo", b"GET /show"),
    "with an id": request(b"12345", b"X-Request-Id: mine"),
    "that waits": request(b"12345", b"Expect: 100-continue"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_another_request_before_the_answer(make_site: MakeSite, kind: str) -> None:
    """Bytes that come while an earlier request is answered are never taken for the beginning of that one, however alike their sizes are."""
    site = make_site(limits=LIMITS, model=FakeModel())
    first, other = request(b"abcde", b"X-User: alice"), FOREIGN[kind]
    client = site.client().send(first[:20], first[20:])  # in two packets, so that its own bytes are not known
    client.send(other)
    assert answered(site, client)[0] == b"abcde"
    client.send(other)
    assert not [job for job in site.model.jobs if b"alice" in job.headers]
    assert answered(site, client)[-1:] == [b"12345"]
    assert site.model.bodies == [b"abcde"] + ([] if kind == "of the server" else [b"12345"] * 2)


@pytest.mark.parametrize("version", [b"1.0", b"0.9", b"2.0"])
def test_the_same_fields_in_another_version(make_site: MakeSite, version: bytes) -> None:
    """What was known of HTTP/1.1 says nothing of a request of another version."""
    site = make_site(limits=LIMITS, model=FakeModel())
    stays = request(b"12345", b"Connection: keep-alive")
    client = site.client().send(stays)
    assert answered(site, client) == [b"12345"]
    client.send(stays.replace(b"HTTP/1.1", b"HTTP/" + version))
    if version == b"1.0":
        exchange = client.connection.exchange
        assert exchange is not None
        assert exchange.head.version == b"1.0"
        assert answered(site, client) == [b"12345"]
    else:
        assert [reply.status for reply in client.replies()] == [505]


@pytest.mark.parametrize("size", [10, LARGE])
def test_the_model_is_gone(make_site: MakeSite, size: int) -> None:
    """A known beginning is looked up again when the models have changed."""
    site = make_site(limits=LIMITS, model=FakeModel())
    client = warm(site, site.client(), b"x" * size)
    site.registry.remove("echo")
    assert client.send(request(b"x" * size)).reply().status == 404


def test_the_model_refuses(make_site: MakeSite) -> None:
    """A job that is not admitted is refused in words, and the connection ends as for any other."""
    site = make_site(limits=LIMITS, model=FakeModel())
    client = warm(site, site.client(), b"small")
    site.model.handler = lambda _: ArgosyError(ErrorCode.NO_WORKER, "nobody is free")
    reply = client.send(request(b"small")).reply()
    assert (reply.status, b"nobody is free" in reply.body, client.is_open) == (503, True, False)


def test_the_model_breaks(make_site: MakeSite) -> None:
    """What goes wrong inside the server is told to the client, with an id under which the log says more."""
    site = make_site(limits=LIMITS, model=FakeModel())
    client = warm(site, site.client(), b"small")

    def broken(_: object) -> Response:
        raise RuntimeError("trouble")

    site.model.handler = broken
    assert client.send(request(b"small")).reply().status == 500
    site.model.jobs.clear()


def test_no_slot_is_free(make_site: MakeSite) -> None:
    """A large body for which the arena has no room goes the ordinary way."""
    site = make_site(limits=LIMITS, model=FakeModel(arena_size=64 * 1024))
    one, two = (warm(site, site.client(), b"x" * LARGE) for _ in range(2))
    one.send(request(b"1" * LARGE))
    two.send(request(b"2" * LARGE))
    assert [job.slot is None for job in site.model.jobs] == [False, True]
    for client, body in ((one, b"1"), (two, b"2")):
        site.model.answer(Response(200, body))
        assert client.reply().body == body


def test_no_memory_is_left(make_site: MakeSite) -> None:
    """A large body that must wait for memory waits, and is served when others have given theirs back."""
    site = make_site(limits=LIMITS, model=FakeModel(), budget_bytes=LARGE + 100)
    one, two = (warm(site, site.client(), b"x" * LARGE) for _ in range(2))
    one.send(request(b"1" * LARGE))
    two.send(request(b"2" * LARGE))
    assert len(site.model.jobs) == 1
    site.model.answer(Response(200, b"1"))
    two.pump()
    site.model.answer(Response(200, b"2"))
    assert (one.reply().body, two.reply().body) == (b"1", b"2")


@pytest.mark.parametrize("size", [10, LARGE])
def test_the_client_leaves(make_site: MakeSite, size: int) -> None:
    """Whoever leaves in the middle or before the answer is forgotten, and nothing is kept for him."""
    site = make_site(limits=LIMITS, model=FakeModel())
    for sent in (len(request(b"x" * size)) - 1, len(request(b"x" * size))):
        client = warm(site, site.client(), b"x" * size)
        client.send(request(b"x" * size)[:sent]).leave()
        assert site.model.jobs == []
    assert len(site.model.cancelled) == 1


@pytest.mark.parametrize("size", [10, LARGE])
def test_the_server_stops(make_site: MakeSite, size: int) -> None:
    """A server that stops answers what it got and closes the connection."""
    site = make_site(limits=LIMITS, model=FakeModel())
    client = warm(site, site.client(), b"x" * size)
    client.send(request(b"x" * size))
    site.site.drain()
    site.model.answer(Response(200, b"last"))
    reply = client.reply()
    assert (reply.body, reply.header("connection"), client.is_open) == (b"last", "close", False)


def test_a_slow_body(make_site: MakeSite) -> None:
    """The least rate of a body holds for one with a known beginning too."""
    site = make_site(limits=LIMITS, model=FakeModel())
    client = warm(site, site.client(), b"x" * LARGE)
    client.send(request(b"x" * LARGE)[:-1])
    assert client.wait(2 * LIMITS.body_timeout_s + 3).reply().status == 408


def test_a_large_body_is_received_in_its_place(make_site: MakeSite) -> None:
    """Behind a large body no more than the head of the next is received at first, and then all of the body straight into its slot."""
    site = make_site(limits=LIMITS, model=FakeModel())
    whole = request(b"x" * LARGE)
    head = len(whole) - LARGE
    client = warm(site, site.client(), b"x" * LARGE)
    assert len(client.connection.get_buffer(-1)) == head
    client.send(whole[:head])
    assert len(client.connection.get_buffer(-1)) == LARGE
    assert answered(site, client.send(whole[head:])) == [b"x" * LARGE]
    # another request makes it forget: that may be of any length
    assert answered(site, client.send(request(b"small"))) == [b"small"]
    assert len(client.connection.get_buffer(-1)) == len(site.site.receive_head)
