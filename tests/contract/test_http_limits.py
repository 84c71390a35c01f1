"""What is too large, too slow or too much is refused with a reason, and gives its memory back."""

from __future__ import annotations

import json

import pytest

from argosy.frontend.limits import Limits
from argosy.messages import Response
from argosy.testing.http import FakeClient, FakeModel, FakeSite, Reply

from .conftest import MakeSite

HOST = b"Host: a\r\n"
PING = b"GET /ping HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /predictions/echo HTTP/1.1\r\n" + HOST


def post(body: bytes) -> bytes:
    """A prediction."""
    return POST + b"Content-Length: %d\r\n\r\n" % len(body) + body


def refusal(client: FakeClient) -> tuple[int, str]:
    """Status and message of the only reply, which must end the connection."""
    reply = client.reply()
    assert reply.header("connection") == "close"
    assert not client.is_open
    said = json.loads(reply.body)
    assert said["code"] == reply.status
    return reply.status, said["message"]


def is_accepted(reply: Reply) -> bool:
    """Whether it got through."""
    return reply.status == 200


# -- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [1, 7])
@pytest.mark.parametrize("over", [0, 1])
def test_longest_target(make_site: MakeSite, over: int, pieces: int) -> None:
    """A target of exactly the limit is served, one byte more is 414."""
    site = make_site(limits=Limits(target_bytes=1000))
    data = b"GET /ping?" + b"x" * (1000 - 6 + over) + b" HTTP/1.1\r\n" + HOST + b"\r\n"
    client = site.client().send_split(data, range(0, len(data), len(data) // pieces))
    assert is_accepted(client.reply()) if not over else refusal(client) == (414, "The request target is over 1000 bytes.")


@pytest.mark.parametrize("over", [0, 1])
def test_most_header_fields(make_site: MakeSite, over: int) -> None:
    """So many header fields are served, one more is 431."""
    site = make_site(limits=Limits(header_count=10))
    client = site.client().send(b"GET /ping HTTP/1.1\r\n" + HOST + b"X: y\r\n" * (9 + over) + b"\r\n")
    assert is_accepted(client.reply()) if not over else refusal(client) == (431, "The request has over 10 header fields.")


@pytest.mark.parametrize("over", [0, 1])
def test_longest_headers(make_site: MakeSite, over: int) -> None:
    """Names and values together may have so many bytes; one more is 431."""
    site = make_site(limits=Limits(head_bytes=1000))
    client = site.client().send(b"GET /ping HTTP/1.1\r\n" + HOST + b"X: " + b"y" * (1000 - 6 + over) + b"\r\n\r\n")
    assert is_accepted(client.reply()) if not over else refusal(client) == (431, "The request head is over 1000 bytes.")


@pytest.mark.parametrize(("data", "status"), [
    (b"GET /" + b"x" * 400_000, 414), (b"GET / HTTP/1.1\r\nX: " + b"y" * 400_000, 431), (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 60_000, 431),
    (b"GET / HTTP/1.1\r\n" + b"x" * 400_000, 431), (b"GET / HTTP/1.1\r\nX:" + b" " * 400_000, 431),
])  # fmt: skip
def test_endless_heads(site: FakeSite, data: bytes, status: int) -> None:
    """A head without an end is refused long before it fills the memory."""
    client = site.client()
    for at in range(0, len(data), 10_000):
        client.send(data[at : at + 10_000])
    assert refusal(client)[0] == status


def test_head_behind_many_requests(make_site: MakeSite) -> None:
    """The limits count the bytes of one head, not of what came with it."""
    site = make_site(limits=Limits(head_bytes=100, target_bytes=100))
    assert [reply.status for reply in site.client().send(PING * 50).replies()] == [200] * 50
    assert [reply.status for reply in site.client().send(PING * 50 + PING[:20], PING[20:]).replies()] == [200] * 51


@pytest.mark.parametrize("cut", [10, 60, 95, 100])
def test_head_behind_medium_bodies(site: FakeSite, cut: int) -> None:
    """So it is when more than the limits comes at once behind the beginning of a body."""
    bodies, last = post(b"x" * 60_000) * 4, POST + b"Transfer-Encoding: chunked\r\nX: yyyyyyyyyyyyyy\r\n\r\n1\r\nz\r\n0\r\n\r\n"
    client = site.client().send(bodies[:100], bodies[100:] + last[:cut], last[cut:])
    assert [reply.status for reply in client.replies()] == [200] * 5
    assert site.model.bodies[-1] == b"z"


@pytest.mark.parametrize("size", [99, 100])
def test_announced_body(make_site: MakeSite, size: int) -> None:
    """A body of the limit is read; one byte more is 413 before any of it, with the name of the setting."""
    site = make_site(limits=Limits(body_bytes=99))
    client = site.client().send(POST + b"Content-Length: %d\r\n\r\n" % size)
    if size == 99:
        assert is_accepted(client.send(b"x" * 99).reply())
    else:
        assert refusal(client) == (413, "The request body is over the limit of 99 bytes (setting max_request_size).")
        assert site.model.bodies == []


@pytest.mark.parametrize("size", [99, 100])
def test_body_without_a_length(make_site: MakeSite, size: int) -> None:
    """A chunked body is refused while it is read, as soon as it is too large."""
    site = make_site(limits=Limits(body_bytes=99))
    client = site.client().send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * size)
    if size == 99:
        assert is_accepted(client.send(b"0\r\n\r\n").reply())
    else:
        assert refusal(client)[0] == 413
        assert client.send(b"1\r\nx\r\n" * 1000, b"0\r\n\r\n", PING).raw == b""
        assert site.model.bodies == []


def test_refused_routes_read_their_body_first(site: FakeSite) -> None:
    """An unknown path is told so after its body, when every client listens."""
    client = site.client().send(b"POST /nowhere HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\n")
    assert client.raw == b""
    assert refusal(client.send(b"abc"))[0] == 404


@pytest.mark.parametrize(("trailers", "status"), [
    (b"X: " + b"y" * 999, 200), (b"X: " + b"y" * 1000, 431), (b"\r\n".join([b"X: y"] * 10), 200), (b"\r\n".join([b"X: y"] * 11), 431),
])  # fmt: skip
def test_longest_trailers(make_site: MakeSite, trailers: bytes, status: int) -> None:
    """Trailers have the limits of headers; a request with more is not run."""
    site = make_site(limits=Limits(head_bytes=1000, header_count=10))
    client = site.client().send(POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" + trailers + b"\r\n\r\n" + PING)
    assert client.replies()[0].status == status
    assert len(site.model.bodies) == (status == 200)


@pytest.mark.parametrize("endless", [
    b"1;" + b"x" * 9000, b"0\r\nX: " + b"y" * 9000, b"0\r\n" + b"X: y\r\n" * 2000, b"1\r\nx\r\n0\r\n" + b"X: y\r\n" * 2000,
])  # fmt: skip
def test_endless_framing(make_site: MakeSite, endless: bytes) -> None:
    """Extensions and trailers without an end are refused, whatever their pieces."""
    site = make_site(limits=Limits(head_bytes=2000, target_bytes=1000))
    client = site.client().send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    assert refusal(client.send(*(endless[at : at + 500] for at in range(0, len(endless), 500))))[0] == 431


def test_extensions_of_many_chunks(make_site: MakeSite) -> None:
    """Extensions count from one piece of the body to the next."""
    site = make_site(limits=Limits(head_bytes=100, target_bytes=100))
    client = site.client().send(POST + b"Transfer-Encoding: chunked\r\n\r\n").send(*[b"1;x=yyyyyyyyyyyyyyyyyyyy\r\nx\r\n"] * 100)
    assert client.send(b"0\r\n\r\n").reply().body == b"x" * 100


def test_too_many_connections(make_site: MakeSite) -> None:
    """A connection over the limit is told to come back, and closed; a free place is given to the next one."""
    site = make_site(limits=Limits(connections=2))
    first, _, third = site.client(), site.client(), site.client()
    assert third.raw == b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    assert third.transport.closing
    third.connection.buffer_updated(5)
    assert (site.counters.connections, site.counters.connections_refused) == (2, 1)
    first.leave()
    assert is_accepted(site.client().send(PING).reply())


def test_nothing_more_is_read_of_a_client_that_does_not_read(make_site: MakeSite) -> None:
    """Its next request waits until it has taken what was written for it, and what follows that is not even received."""
    site = make_site(model=FakeModel())
    client = site.client()
    client.transport.stuck = True
    client.send(post(b"first"))
    site.model.answer(Response(200, b"x" * 100_000))
    client.send(post(b"second"))
    assert client.transport.is_reading_paused
    assert site.model.bodies == [b"first"]
    client.transport.read_on()
    client.pump()
    assert site.model.bodies == [b"first", b"second"]
    site.model.answer(Response(200, b"y"))
    assert [reply.body[:1] for reply in client.replies()] == [b"x", b"y"]
    assert not client.transport.is_reading_paused


# -- memory ----------------------------------------------------------------------------------------------------------


def test_body_over_the_whole_budget(make_site: MakeSite) -> None:
    """A body that can never fit is refused with the name of the setting."""
    site = make_site(budget_bytes=100_000)
    client = site.client().send(POST + b"Content-Length: 100001\r\n\r\n")
    assert refusal(client) == (413, "The body is over 100000 bytes (setting request_memory_bytes).")


@pytest.mark.parametrize("along", [0, 100, 70_000, 150_000, 200_000])
def test_second_upload_waits(make_site: MakeSite, along: int) -> None:
    """Without memory a large upload is not read further, however much came with its head; it goes on when the first one is answered."""
    site = make_site(model=FakeModel(), budget_bytes=300_000)
    first = site.client().send(post(b"1" * 250_000))
    body = bytes(range(250)) * 800
    second = site.client().send(POST + b"Content-Length: 200000\r\n\r\n" + body[:along])
    if along < 200_000:
        assert second.transport.is_reading_paused
        assert site.model.bodies == [b"1" * 250_000]
    second.wait(100).send(body[along:])
    site.model.answer(Response(200, b"one"))
    second.pump()
    assert site.model.bodies[1] == body
    site.model.answer(Response(200, b"two"))
    assert (first.reply().body, second.reply().body) == (b"one", b"two")
    assert site.budget.used == 0


def test_waiting_upload_is_invited_when_there_is_memory(make_site: MakeSite) -> None:
    """A client that waits for `100 Continue` gets it with the memory."""
    site = make_site(model=FakeModel(), budget_bytes=300_000)
    site.client().send(post(b"1" * 250_000))
    second = site.client().send(POST + b"Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n")
    assert second.raw == b""
    site.model.answer(Response(200, b"one"))
    assert second.reply().status == 100
    second.send(b"2" * 100_000)
    site.model.answer(Response(200, b"two"))
    assert second.reply().body == b"two"


def test_waiting_upload_behind_a_request(make_site: MakeSite) -> None:
    """An upload that waits for memory behind a request of its own connection is read once both are settled."""
    site = make_site(model=FakeModel(), budget_bytes=300_000)
    site.client().send(post(b"1" * 250_000))
    second = site.client().send(post(b"small") + POST + b"Content-Length: 100000\r\n\r\n", b"2" * 100_000)
    site.model.answer(Response(200, b"one"))
    second.pump()
    assert len(site.model.bodies) == 2
    site.model.answer(Response(200, b"small"))
    second.pump()
    assert site.model.bodies[2] == b"2" * 100_000
    site.model.answer(Response(200, b"two"))
    assert [reply.body for reply in second.replies()] == [b"small", b"two"]


def test_waiting_upload_that_came_with_its_head(make_site: MakeSite) -> None:
    """A body that has come whole needs not wait any more."""
    site = make_site(model=FakeModel(), budget_bytes=1000, limits=Limits(arena_bytes=10))
    site.client().send(post(b"1" * 1000))
    site.client().send(post(b"2" * 500))
    assert site.model.bodies == [b"1" * 1000, b"2" * 500]
    assert repr(site.budget) == "<Budget 1000 of 1000 bytes, 0 waiting>"
    for _ in range(2):
        site.model.answer(Response(200, b""))


def test_waiting_upload_of_a_call(make_site: MakeSite) -> None:
    """Bodies for the server itself wait like any other."""
    site = make_site(model=FakeModel(), budget_bytes=300_000)
    site.client().send(post(b"1" * 250_000))
    client = site.client().send(b"POST /show HTTP/1.1\r\n" + HOST + b"Content-Length: 100000\r\n\r\n").send(b"x" * 100_000)
    assert client.raw == b""
    site.model.answer(Response(200, b""))
    assert client.pump().reply().body == b"x" * 100_000


@pytest.mark.parametrize("keep", [True, False])
def test_upload_that_waits_for_its_own_connection(make_site: MakeSite, keep: bool) -> None:
    """The memory that an upload waits for may be held by the request before it: then it is invited behind that one's reply, if there is a next."""
    site = make_site(model=FakeModel(), budget_bytes=300_000)
    first = post(b"1" * 250_000).replace(b"\r\n", b"\r\nx-request-id: 1\r\n", 1)  # a head that is not expected again: more is read at once
    client = site.client().send(first + post(b"2") + POST + b"Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n")
    assert repr(site.budget) == "<Budget 250000 of 300000 bytes, 1 waiting>"
    site.model.answer(Response(200 if keep else 500, b"one"))
    if not keep:
        assert [reply.status for reply in client.pump().replies()] == [500]
        assert len(site.model.bodies) == 1
        return
    client.pump()
    site.model.answer(Response(200, b"two"))
    assert [reply.status for reply in client.pump().replies()] == [200, 200, 100]
    client.send(b"3" * 100_000)
    site.model.answer(Response(200, b"three"))
    assert client.reply().body == b"three"


def test_upload_that_waits_for_the_request_before_it(make_site: MakeSite) -> None:
    """The same without a request between them."""
    site = make_site(model=FakeModel(), budget_bytes=300_000)
    client = site.client().send(post(b"1" * 250_000) + POST + b"Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n")
    site.model.answer(Response(200, b"one"))
    assert [reply.status for reply in client.pump().replies()] == [200, 100]
    client.send(b"2" * 100_000)
    site.model.answer(Response(200, b"two"))
    assert client.reply().body == b"two"


def test_client_that_leaves_while_it_waits(make_site: MakeSite) -> None:
    """Its place in the line goes to the next one."""
    site = make_site(model=FakeModel(), budget_bytes=300_000)
    site.client().send(post(b"1" * 150_000))
    waiting, small = site.client().send(POST + b"Content-Length: 250000\r\n\r\n"), site.client().send(POST + b"Content-Length: 100000\r\n\r\n")
    assert small.transport.is_reading_paused
    waiting.leave()
    assert not small.transport.is_reading_paused
    assert site.budget.used == 250_000
    small.leave()
    site.model.answer(Response(200, b""))
    assert site.is_clean()


def test_chunked_body_without_memory(make_site: MakeSite) -> None:
    """A body without a length cannot wait for memory while it holds some: it is refused and may be sent again."""
    site = make_site(model=FakeModel(), budget_bytes=300_000)
    site.client().send(post(b"1" * 250_000))
    client = site.client().send(POST + b"Transfer-Encoding: chunked\r\n\r\n").send(*[b"2710\r\n" + b"x" * 10_000 + b"\r\n"] * 20)
    status, message = refusal(client)
    assert status == 503
    assert "request_memory_bytes" in message
    site.model.answer(Response(200, b""))


# -- time ------------------------------------------------------------------------------------------------------------

SLOW = Limits(header_timeout_s=20, body_timeout_s=30, idle_timeout_s=75, linger_s=2)


def test_idle_connection(make_site: MakeSite) -> None:
    """A connection that waits for its next request is closed after the idle time, and not before."""
    client = make_site(limits=SLOW).client().send(PING)
    client.reply()
    client.wait(75)
    assert client.is_open
    assert client.wait(2).transport.closing
    assert client.raw == b""


def test_silent_connection(make_site: MakeSite) -> None:
    """So is one that never says anything, or only empty lines."""
    client = make_site(limits=SLOW).client()
    for _ in range(70):
        client.wait(1).send(b"\r\n")
    assert client.wait(7).transport.closing


def test_slow_head(make_site: MakeSite) -> None:
    """A head that drips in is refused with 408 after its time, and the client is cut off soon after if it goes on."""
    client = make_site(limits=SLOW).client()
    for byte in b"GET /ping HTTP/1.1\r":
        client.send(bytes([byte])).wait(1)
    assert client.raw == b""
    client.send(b"\n").wait(2)
    assert refusal(client) == (408, "The request head did not come within 20 s.")
    assert not client.send(b"more").transport.closing
    assert client.wait(4).transport.aborted


def test_slow_body(make_site: MakeSite) -> None:
    """A body that drips in is refused; one that flows slowly but steadily is read to its end."""
    site = make_site(limits=SLOW)
    dripping, flowing = (site.client().send(POST + b"Content-Length: 20000\r\n\r\n") for _ in range(2))
    for _ in range(35):
        dripping.send(b"x").wait(1)
        flowing.send(b"x" * 300)
        flowing.connection.sweep(site.loop.now)
    status, message = refusal(dripping)
    assert status == 408
    assert message.startswith("The request body came too slowly: 3")
    assert is_accepted(flowing.send(b"x" * 9500).reply())


def test_slow_large_body(make_site: MakeSite) -> None:
    """The slot of a large body that stops coming is given back."""
    site = make_site(limits=SLOW)
    client = site.client().send(POST + b"Content-Length: 100000\r\n\r\n" + b"x" * 50_000).wait(70)
    assert refusal(client)[0] == 408
    assert site.is_clean()
    assert client.send(b"x" * 50_000).raw == b""


def test_slow_large_body_behind_a_request(make_site: MakeSite) -> None:
    """The time of a body does not count while an earlier request is being answered."""
    site = make_site(model=FakeModel(), limits=SLOW)
    client = site.client().send(post(b"1") + POST + b"Content-Length: 100000\r\n\r\n").wait(300)
    site.model.answer(Response(200, b"one"))
    client.pump().send(b"x" * 100_000)
    site.model.answer(Response(200, b"two"))
    assert [reply.body for reply in client.replies()] == [b"one", b"two"]


def test_slow_handler(make_site: MakeSite) -> None:
    """No time of a client runs while its request is being answered."""
    site = make_site(model=FakeModel(), limits=SLOW)
    client = site.client().send(post(b"1")).wait(1000)
    site.model.answer(Response(200, b"one"))
    assert client.reply().body == b"one"


@pytest.mark.parametrize("is_tls", [False, True])
def test_refused_client_can_read_why(make_site: MakeSite, is_tls: bool) -> None:
    """A refused client that goes on sending is listened to for a moment, since a reset would destroy the reply on its way."""
    site = make_site(limits=SLOW)
    client = site.client(is_tls=is_tls).send(POST + b"Content-Length: 20000000\r\n\r\n", b"x" * 100_000)
    assert client.reply().status == 413
    assert not client.transport.closing
    assert client.transport.eof_sent is not is_tls
    assert client.send(b"x" * 100_000).wait(4).transport.aborted


def test_request_deadline(make_site: MakeSite) -> None:
    """A limit on the whole request reaches its job as a deadline, counted from its first byte."""
    site = make_site(model=FakeModel(), limits=Limits(request_deadline_s=5))
    client = site.client().send(b"P")
    site.loop.advance(1)
    client.send(post(b"1")[1:])
    assert site.model.jobs[0].deadline == site.loop.now + 4
    site.model.answer(Response(200, b""))


# -- slow readers ----------------------------------------------------------------------------------------------------


def test_slow_reader_starts_nothing(make_site: MakeSite) -> None:
    """While a client does not read its replies, no further request of it starts and nothing more is read from it."""
    site = make_site()
    client = site.client()
    client.transport.stuck = True
    client.send(*[post(b"x" * 50_000)] * 20)
    assert client.transport.is_reading_paused
    started = len(site.model.bodies)
    assert started <= 3
    assert client.transport.unsent < 200_000
    client.transport.read_on()
    client.pump()
    assert len(client.replies()) == 20


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"])
def test_reader_that_never_reads(make_site: MakeSite, close: bytes) -> None:
    """A client that reads nothing is cut off after the idle time, also when its connection was already being closed."""
    site = make_site(limits=SLOW)
    client = site.client()
    client.transport.stuck = True
    client.send(POST + close + b"Content-Length: 100000\r\n\r\n" + b"x" * 100_000).wait(74)
    assert not client.transport.aborted
    assert client.wait(5).transport.aborted


def test_reader_that_reads_slowly(make_site: MakeSite) -> None:
    """A client that reads a little now and then keeps its connection until it has everything."""
    site = make_site(limits=SLOW)
    client = site.client()
    client.transport.stuck = True
    client.send(POST + b"Connection: close\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
    for _ in range(10):
        client.transport.read_on(1000)
        client.wait(60)
    assert not client.transport.aborted
    client.transport.read_on()
    assert client.transport.is_lost
