"""The client that asks containers: answers of every form, and containers that misbehave."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from argosy.sagemaker.local.client import Answer, ContainerGone, Question, ask
from argosy.sagemaker.local.engine import free_port
from fakes.sagemaker_container import StandIn, do, stand_in


@pytest.fixture
def container() -> Iterator[StandIn]:
    """One that does as it is told."""
    with stand_in() as server:
        yield server


@contextmanager
def canned(*pieces: bytes) -> Iterator[int]:
    """A port whose one client gets these bytes after its request, and then the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                for piece in pieces:
                    connection.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()


def asked(port: int, question: Question, limit: int = 1 << 24) -> tuple[Answer, bytes | None]:
    """The answer with its body."""

    async def run() -> tuple[Answer, bytes | None]:
        answer = await ask(port, question)
        return answer, await answer.read(limit)

    return asyncio.run(run())


def pieces_of(port: int, question: Question) -> list[bytes]:
    """The body as it comes."""

    async def run() -> list[bytes]:
        return [piece async for piece in (await ask(port, question)).chunks()]

    return asyncio.run(run())


def test_a_question_and_its_answer(container: StandIn) -> None:
    """Method, path, headers and body arrive; status, headers and body come back."""
    answer, body = asked(container.port, Question("POST", "/invocations", (("X-Test", "é"),), b"data"))
    seen = json.loads(body or b"")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert (seen["path"], seen["body"], seen["headers"]["X-Test"]) == ("/invocations", "data", "é")


def test_a_file_is_sent_as_the_body(container: StandIn, tmp_path: Path) -> None:
    """Whole, with its length."""
    (tmp_path / "large").write_bytes(b"0123456789" * 200_000)
    _, body = asked(container.port, Question("POST", "/invocations", (), tmp_path / "large"))
    assert json.loads(body or b"")["body"] == "0123456789" * 200_000


def test_each_chunk_is_a_piece(container: StandIn) -> None:
    """However the network cuts them; long ones in pieces of at least 1 MiB."""
    assert pieces_of(container.port, Question("POST", "/invocations", (), do(chunks=["a", "bc", "d"]))) == [b"a", b"bc", b"d"]
    long = pieces_of(container.port, Question("POST", "/invocations", (), do(chunks=["x" * 3_000_000, "y"])))
    assert b"".join(long) == b"x" * 3_000_000 + b"y"
    assert long[-1] == b"y"
    assert all(len(piece) >= 1 << 20 for piece in long[:2])


def test_chunks_that_come_together_stay_apart() -> None:
    """And one that comes in halves stays one."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with canned(head + b"1\r\na\r\n2\r\nbc\r\n4\r\nde", b"fg\r\n0\r\n\r\n") as port:
        assert pieces_of(port, Question("GET", "/")) == [b"a", b"bc", b"defg"]


def test_an_interim_answer_is_passed_over() -> None:
    """The real one counts."""
    with canned(b"HTTP/1.1 100 Continue\r\nX-Old: 1\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 2\r\n\r\nok") as port:
        answer, body = asked(port, Question("GET", "/"))
    assert (answer.status, body) == (201, b"ok")
    assert "x-old" not in answer.headers


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    """As in HTTP/1.0."""
    with canned(b"HTTP/1.0 200 OK\r\n\r\nsome", b" text") as port:
        assert asked(port, Question("GET", "/"))[1] == b"some text"


@pytest.mark.parametrize("said", [
    b"", b"HTTP/1.1 200 OK\r\nContent-", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhalf", b"no http at all\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
])  # fmt: skip
def test_half_an_answer_is_none(said: bytes) -> None:
    """The container may have begun with the request, and that is said."""
    with canned(said) as port, pytest.raises(ContainerGone) as caught:
        asked(port, Question("GET", "/"))
    assert caught.value.was_sent


def test_nobody_there() -> None:
    """Then nothing was sent."""
    with pytest.raises(ContainerGone) as caught:
        asked(free_port(), Question("GET", "/"))
    assert not caught.value.was_sent


def test_an_answer_over_the_limit_is_given_up(container: StandIn) -> None:
    """At the limit it is not."""
    assert asked(container.port, Question("POST", "/invocations", (), do(body="12345")), 5)[1] == b"12345"
    assert asked(container.port, Question("POST", "/invocations", (), do(body="123456")), 5)[1] is None


def test_an_answer_that_comes_before_the_question_was_read() -> None:
    """A container may refuse a large body without reading it."""
    with canned(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno") as port:
        answer, body = asked(port, Question("POST", "/", (), b"x" * 50_000))
    assert (answer.status, body) == (413, b"no")
