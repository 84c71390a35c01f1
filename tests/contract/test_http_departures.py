"""Clients that leave, and a server that stops: nothing starts for nobody, nothing accepted is lost, all memory comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from argosy.frontend.limits import Limits
from argosy.messages import JobState, Response
from argosy.protocols.endpoint import Call, HttpReply, HttpRequest
from argosy.testing.http import FakeClient, FakeDialect, FakeModel, FakeSite

from .conftest import MakeSite

HOST = b"Host: a\r\n"
PING = b"GET /ping HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /predictions/echo HTTP/1.1\r\n" + HOST
LATER = b"GET /later HTTP/1.1\r\n" + HOST + b"\r\n"


def post(body: bytes) -> bytes:
    """A prediction."""
    return POST + b"Content-Length: %d\r\n\r\n" % len(body) + body


INCOMPLETE: dict[str, bytes] = {
    "nothing": b"",
    "empty lines": b"\r\n\r\n",
    "method": b"PO",
    "target": b"POST /predictions/ec",
    "headers": POST + b"Content-Len",
    "head": POST + b"Content-Length: 3\r\n\r\n",
    "body": POST + b"Content-Length: 3\r\n\r\nab",
    "large body": POST + b"Content-Length: 100000\r\n\r\n",
    "half a large body": POST + b"Content-Length: 100000\r\n\r\n" + b"x" * 50_000,
    "chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nab",
    "large chunks": POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"30000\r\n" + b"x" * 0x30000 + b"\r\n",
    "trailers": POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: ",
    "upgrade": POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nab",
    "large upgrade": POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 100000\r\n\r\nab",
    "expectation": POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    "refused": POST + b"Content-Length: 99999999\r\n\r\nabc",
}


@pytest.mark.parametrize("how", [FakeClient.leave, FakeClient.finish], ids=["gone", "half-closed"])
@pytest.mark.parametrize("phase", INCOMPLETE)
def test_incomplete_requests_never_run(site: FakeSite, phase: str, how: Callable[[FakeClient], object]) -> None:
    """Whatever part of a request came before its client left, no handler sees it."""
    client = site.client().send(INCOMPLETE[phase])
    how(client)
    assert client.transport.closing
    client.wait(10)
    assert site.model.bodies == []
    assert site.is_clean()
    assert site.counters.connections == 0


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize(("how", "behind"), [(FakeClient.leave, 0), (FakeClient.leave, 1), (FakeClient.finish, 0)])
def test_waiting_job_of_a_client_that_left(make_site: MakeSite, size: int, how: Callable[[FakeClient], object], behind: int) -> None:
    """It is cancelled, and so are the requests that were read behind it; a late answer goes nowhere."""
    site = make_site(model=FakeModel())
    client = site.client().send(post(b"x" * size) + post(b"y" * size) * behind)
    job = site.model.jobs[0]
    how(client)
    assert site.model.cancelled == [job]
    assert len(site.model.bodies) == 1
    assert site.is_clean()
    sent = len(client.transport.sent)
    job.sink.respond(Response(200, b"late"))
    assert len(client.transport.sent) == sent


def test_client_that_leaves_with_an_error(make_site: MakeSite) -> None:
    """A reset is the same as an end."""
    site = make_site(model=FakeModel())
    site.client().send(post(b"1")).leave(ConnectionResetError())
    assert len(site.model.cancelled) == 1


def slow_dialect() -> tuple[FakeDialect, list[HttpRequest]]:
    """A dialect whose `/later` takes a second."""
    dialect, seen = FakeDialect(), list[HttpRequest]()

    async def later(request: HttpRequest) -> HttpReply:
        seen.append(request)
        await asyncio.sleep(1)
        return HttpReply(200, b"later")

    dialect.calls["/later"] = Call(later)
    return dialect, seen


@pytest.mark.parametrize("is_tls", [False, True])
def test_half_close_while_the_server_works(make_site: MakeSite, is_tls: bool) -> None:
    """A client that sends nothing more still gets the reply to a call of the server; it is the last one, and the connection ends with it."""
    dialect, seen = slow_dialect()
    site = make_site(dialect=dialect)
    client = site.client(is_tls=is_tls).send(LATER).finish()
    client.wait(2)
    assert len(seen) == 1
    reply = client.reply()
    assert (reply.body, reply.header("connection")) == (b"later", "close")
    assert not client.is_open
    assert site.is_clean()


def test_half_close_behind_a_request_that_waits(make_site: MakeSite) -> None:
    """A client that had answers to read when it asked for the last time gets the last reply too, and the connection ends with that."""
    site = make_site()
    client = site.client().send(PING)
    assert client.reply().header("connection") == "keep-alive"
    client.connection.pause_writing()
    client.send(post(b"last"))
    assert client.connection.eof_received()
    client.connection.resume_writing()
    client.pump()
    assert client.reply().header("connection") == "close"
    assert not client.is_open


def test_reply_of_a_call_to_nobody(make_site: MakeSite) -> None:
    """A call that takes time runs to its end for a client that has left: what it changes is changed."""
    dialect, seen = slow_dialect()
    site = make_site(dialect=dialect)
    client = site.client().send(LATER).leave()
    client.wait(2)
    assert len(seen) == 1
    assert client.raw == b""


def test_pipelined_requests_of_a_client_that_left(make_site: MakeSite) -> None:
    """A request whose turn has come is not started when its client leaves in the same moment."""
    site = make_site(model=FakeModel())
    client = site.client().send(post(b"1") + post(b"2"))
    site.model.answer(Response(200, b"one"))
    client.transport.lose(None)
    client.connection.connection_lost(None)
    client.pump()
    assert site.model.bodies == [b"1"]


def test_writing_to_a_closing_connection(make_site: MakeSite) -> None:
    """Bytes for a connection that is being closed are dropped."""
    site = make_site(model=FakeModel())
    client = site.client().send(post(b"1"))
    client.transport.closing = True
    client.connection.write(b"x")
    assert client.raw == b""
    client.transport.closing = False


# -- the server stops ------------------------------------------------------------------------------------------------


def drain(site: FakeSite) -> None:
    """The server has begun to stop."""
    site.site.drain()
    for connection in tuple(site.listener._connections):
        connection.drain()
    site.loop.run()


@pytest.mark.parametrize("phase", ["nothing", "method", "headers"])
def test_drain_closes_idle_connections(site: FakeSite, phase: str) -> None:
    """Connections without a whole head are closed at once."""
    client = site.client().send(PING + INCOMPLETE[phase])
    client.reply()
    drain(site)
    assert client.transport.is_lost
    assert client.raw == b""


def test_drain_answers_what_came(make_site: MakeSite) -> None:
    """What was received is answered with `connection: close`, and so is a request whose body is still coming."""
    site = make_site(model=FakeModel())
    running, sending = site.client().send(post(b"1")), site.client().send(INCOMPLETE["half a large body"])
    drain(site)
    assert running.is_open
    assert sending.is_open
    sending.send(b"x" * 50_000)
    for client in (running, sending):
        site.model.answer(Response(200, b"done"))
        reply = client.reply()
        assert (reply.status, reply.header("connection")) == (200, "close")
        assert client.transport.closing


def test_drain_between_pipelined_requests(make_site: MakeSite) -> None:
    """The reply that closes the connection is the last one: the next request was not accepted."""
    site = make_site(model=FakeModel())
    client = site.client().send(post(b"1") + post(b"2"))
    drain(site)
    site.model.answer(Response(200, b"one"))
    assert client.reply().header("connection") == "close"
    client.pump()
    assert len(site.model.bodies) == 1


def test_drain_of_a_listener(make_site: MakeSite) -> None:
    """`drain` waits for a moment for what is on its way, closes what is idle, and returns when the last reply was sent."""
    site = make_site(model=FakeModel())
    idle, running, late = site.client(), site.client().send(post(b"1")), site.client()
    draining = site.loop.create_task(site.listener.drain(30))
    site.loop.advance(0.4)
    assert idle.is_open
    late.send(post(b"2"))
    site.loop.advance(0.2)
    assert idle.transport.closing
    site.loop.advance(10)
    assert not draining.done()
    for client in (running, late):
        site.model.answer(Response(200, b"done"))
        assert client.reply().header("connection") == "close"
    site.loop.advance(0)
    assert draining.result() is None
    assert site.loop.time() < 1020


@pytest.mark.parametrize("limit_s", [0, 0.25, 30])
def test_drain_ends_in_time(make_site: MakeSite, limit_s: float) -> None:
    """A reply that never comes does not hold the server up; `close` then ends its connection."""
    site = make_site(model=FakeModel())
    client = site.client().send(post(b"1"))
    draining = site.loop.create_task(site.listener.drain(limit_s))
    site.loop.advance(limit_s)
    assert draining.done()
    assert draining.result() is None
    site.listener.close()
    site.loop.run()
    assert client.transport.aborted
    assert len(site.model.cancelled) == 1


def test_drain_without_connections(site: FakeSite) -> None:
    """There is nothing to wait for."""
    draining = site.loop.create_task(site.listener.drain(30))
    site.loop.run()
    assert draining.done()


def test_drain_of_idle_connections_only(site: FakeSite) -> None:
    """Once the idle ones are closed it is over."""
    client = site.client()
    draining = site.loop.create_task(site.listener.drain(30))
    site.loop.advance(1)
    assert draining.done()
    assert client.transport.is_lost


def test_drain_of_clients_that_leave(site: FakeSite) -> None:
    """Nothing is left to do when all clients go by themselves while it still listens to them."""
    client = site.client()
    draining = site.loop.create_task(site.listener.drain(30))
    site.loop.run()
    client.leave()
    site.loop.advance(0.5)
    assert draining.done()


def test_reply_that_cannot_be_sent(make_site: MakeSite) -> None:
    """When sending an answer fails inside the server its connection ends, so that its client does not wait for ever; others go on."""
    site = make_site(model=FakeModel())
    client, other = site.client().send(post(b"1")), site.client().send(post(b"2"))
    with pytest.raises(TypeError):
        site.model.answer(Response(200, b"x", headers=cast(Any, [("X-One", None)])))
    site.loop.run()
    assert client.transport.aborted
    assert client.raw == b""
    site.model.answer(Response(200, b"whole"))
    assert other.reply().body == b"whole"


def test_second_close(site: FakeSite) -> None:
    """A listener may be closed again, bound or not."""
    site.listener.close()
    site.listener.close()
    assert repr(site.listener) == "<Listener http://127.0.0.1:0 0 connections>"


def test_reprs(make_site: MakeSite) -> None:
    """The state of each part in a line."""
    site = make_site(model=FakeModel(), limits=Limits(arena_bytes=10), budget_bytes=100)
    client = site.client().send(post(b"x" * 20))
    client.send(b"G")
    assert repr(site.budget) == "<Budget 20 of 100 bytes, 0 waiting>"
    assert repr(client.connection).startswith("<Connection /192.0.2.7:4711 exchange=<Exchange ")
    assert "POST b'/predictions/echo' 20 bytes> 20 received> waiting=0>" in repr(client.connection)
    assert site.model.jobs[0].state is JobState.WAITING
    drain(site)
    assert repr(site.listener) == "<Listener http://127.0.0.1:0 1 connections draining>"
    site.model.answer(Response(200, b""))
    assert repr(client.connection) == "<Connection /192.0.2.7:4711 exchange=None waiting=0 ended>"
