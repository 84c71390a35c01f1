"""The HTTP server of the local runtime over real sockets: order, limits, streams, clients that leave."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest

from argosy.sagemaker.local.http import HttpServer, Received, Reply

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter, HttpServer], Awaitable[bytes]]
GET = b"GET /a?b=1 HTTP/1.1\r\nHost: h\r\n\r\n"


async def echo(received: Received) -> Reply:
    """Says what came."""
    return Reply(200, (("X-Target", received.target),), received.method.encode() + b" " + received.body)


def refuse(status: int, why: str) -> Reply:
    """Says why."""
    return Reply(status, (), why.encode())


def run(answer: Callable[[Received], Awaitable[Reply]], talk: Talk, limit: int = 1000) -> bytes:
    """What a client gets that talks to a server."""

    async def main() -> bytes:
        server = HttpServer(answer, refuse, limit)
        await server.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            return await asyncio.wait_for(talk(reader, writer, server), 20)
        finally:
            writer.close()
            await server.stop(0)

    return asyncio.run(main())


def said(*pieces: bytes, answer: Callable[[Received], Awaitable[Reply]] = echo, limit: int = 1000) -> bytes:
    """What the server says to these bytes until it, or the client's end, closes the connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: HttpServer) -> bytes:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await reader.read()

    return run(answer, talk, limit)


def test_a_request_and_its_reply() -> None:
    """The target stays as it came."""
    whole = said(b"GET /a%2Fb?c HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert whole == b"HTTP/1.1 200 OK\r\nX-Target: /a%2Fb?c\r\nConnection: close\r\nContent-Length: 4\r\n\r\nGET "


def test_requests_of_a_connection_are_answered_in_order() -> None:
    """Also when they come at once; after the last one the connection ends."""
    whole = said(GET + b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" + GET.replace(b"Host: h", b"Host: h\r\nConnection: close"))
    assert [part.partition(b"\r\n\r\n")[2] for part in whole.split(b"HTTP/1.1 200 OK")[1:]] == [b"GET ", b"POST abc", b"GET "]


def test_a_body_may_come_in_chunks() -> None:
    """Without a length."""
    whole = said(b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n", b"2\r\nab\r\n", b"1\r\nc\r\n0\r\n\r\n")
    assert whole.endswith(b"POST abc")


def test_a_client_that_asks_whether_to_go_on_is_told() -> None:
    """Before it sends its body."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: HttpServer) -> bytes:
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        return await reader.read()

    assert run(echo, talk).endswith(b"POST ok")


@pytest.mark.parametrize("body", [b"Content-Length: 1001\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n"])
def test_a_body_over_the_limit_is_refused(body: bytes) -> None:
    """By its announced length, or when it has come to be too long; nothing more is read."""
    assert said(b"POST / HTTP/1.1\r\nHost: h\r\n" + body + GET).startswith(b"HTTP/1.1 413 ")


def test_what_is_no_request_is_refused() -> None:
    """Once those before it are answered."""
    whole = said(GET + b"NONSENSE\r\n\r\n")
    assert whole.startswith(b"HTTP/1.1 200 OK")
    assert b"HTTP/1.1 400 " in whole
    assert said(b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n").startswith(b"HTTP/1.1 431 ")


def test_another_protocol_is_refused() -> None:
    """Only HTTP is spoken."""
    whole = said(b"POST / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nx")
    assert whole.startswith(b"HTTP/1.1 400 ")
    assert whole.count(b"HTTP/1.1 ") == 1


def test_the_answer_to_head_has_no_body() -> None:
    """But its length."""
    whole = said(b"HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert b"Content-Length: 5\r\n" in whole
    assert whole.endswith(b"\r\n\r\n")


def test_a_header_cannot_break_out() -> None:
    """Control characters are left out, whoever wrote them."""

    async def bad(received: Received) -> Reply:
        return Reply(200, (("X-A", "1\r\nX-B: 2"),))

    assert b"X-A: 1X-B: 2\r\n" in said(GET.replace(b"Host: h", b"Host: h\r\nConnection: close"), answer=bad)


async def _pieces(*pieces: bytes, fail: bool = False) -> AsyncGenerator[bytes, None]:
    for piece in pieces:
        yield piece
    if fail:
        raise RuntimeError("in the middle")


def test_a_stream_is_sent_in_chunks() -> None:
    """Empty pieces are none."""

    async def stream(received: Received) -> Reply:
        return Reply(200, (), _pieces(b"ab", b"", b"c"))

    assert said(GET.replace(b"Host: h", b"Host: h\r\nConnection: close"), answer=stream).endswith(b"\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")


def test_a_stream_that_fails_breaks_off(caplog: pytest.LogCaptureFixture) -> None:
    """The client must not take half of it for all; the log has the reason."""

    async def stream(received: Received) -> Reply:
        return Reply(200, (), _pieces(b"ab", fail=True))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: HttpServer) -> bytes:
        writer.write(GET)
        found = b""
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(100):
                found += data
        return found

    assert not run(stream, talk).endswith(b"0\r\n\r\n")
    assert "in the middle" in caplog.text


def test_a_client_that_leaves_cancels_what_it_asked_for() -> None:
    """Nothing goes on for nobody."""
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(received: Received) -> Reply:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Reply(200)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: HttpServer) -> bytes:
        writer.write(GET)
        await begun.wait()
        writer.transport.abort()
        await cancelled.wait()
        return b"cancelled"

    assert run(hang, talk) == b"cancelled"


def test_a_stop_lets_what_was_begun_finish() -> None:
    """And takes nothing new; idle connections end at once."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait(received: Received) -> Reply:
        begun.set()
        await go_on.wait()
        return Reply(200, (), b"done")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: HttpServer) -> bytes:
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET)
        await begun.wait()
        stopping = asyncio.create_task(server.stop(20))
        assert await idle_reader.read() == b""
        idle_writer.close()
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await asyncio.open_connection("127.0.0.1", server.port)
        go_on.set()
        found = await reader.read()
        await stopping
        return found

    assert run(wait, talk).endswith(b"done")


def test_a_stop_does_not_wait_for_ever() -> None:
    """What takes too long is cut off."""

    async def hang(received: Received) -> Reply:
        await asyncio.Event().wait()
        return Reply(200)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: HttpServer) -> bytes:
        writer.write(GET)
        await writer.drain()
        await server.stop(0.05)
        with contextlib.suppress(ConnectionError):
            return await reader.read()
        return b""

    assert run(hang, talk) == b""
