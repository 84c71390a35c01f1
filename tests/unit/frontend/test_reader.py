"""What stops a parser, and what is bounded before a request is whole."""

from __future__ import annotations

import json
import logging

import pytest

from argosy.frontend.head import NO_HEAD
from argosy.frontend.limits import Limits
from argosy.frontend.reader import Reader
from argosy.testing.http import FakeModel, FakeSite, echo

LIMITS = Limits(target_bytes=100, head_bytes=200, body_bytes=50)


@pytest.mark.parametrize(("sent", "status"), [
    (b"GET / HTTP/1.1\r\nHost\r\n\r\n", 400),
    (b"POST /predictions/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n", 400),
    (b"POST /predictions/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n33\r\n" + bytes(51), 413),
    (b"POST /predictions/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 201 + b"\r\n", 431),
    (b"POST /predictions/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"e" * 400_000, 431),
    (b"GET / HTTP/1.1\r\nHost: x\r\na: " + b"b" * 400_000, 431),
])  # fmt: skip
@pytest.mark.parametrize("size", [100, 100_000])
def test_what_is_refused_before_its_end(sent: bytes, status: int, size: int) -> None:
    """Once, in whatever pieces it comes, and the connection ends."""
    site = FakeSite(LIMITS)
    client = site.client().send(*(sent[at : at + size] for at in range(0, len(sent), size)))
    assert client.reply().status == status
    assert not client.is_open
    assert client.connection.ended


def test_a_function_of_the_server_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """What goes wrong while a request is parsed is logged and told as the server's fault."""
    site = FakeSite()

    def fail(method: str, path: str, query: str) -> None:
        raise RuntimeError("a defect")

    site.site.dialect.route = fail  # type: ignore[method-assign,assignment]  # a dialect with a defect
    with caplog.at_level(logging.ERROR, "argosy.frontend"):
        client = site.client().send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
    reply = client.reply()
    assert (reply.status, json.loads(reply.body)["type"]) == (500, "InternalServerException")
    assert "a defect" in caplog.text


def test_a_body_behind_an_ignored_upgrade() -> None:
    """It is read to its end by a fresh parser, and the connection ends with the reply."""
    site = FakeSite(model=FakeModel(handler=echo))
    head = b"POST /predictions/echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 4\r\n\r\n"
    client = site.client().send(head, b"bo", b"dy")
    assert client.reply().body == b"body"
    assert not client.is_open
    assert site.is_clean()


def test_a_reader_tells_its_state() -> None:
    """As every object that lives long does."""
    client = FakeSite().client().send(b"GET /x HTTP/1.1\r\nHost: x\r\nA: b\r\nC")
    reader = client.connection._reader
    assert isinstance(reader, Reader)
    assert client.connection.reading is not None
    assert client.connection.reading.head is NO_HEAD
    assert repr(reader) == "<Reader 2 fields, 33 bytes>"
