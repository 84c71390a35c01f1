"""Streamed answers of real workers to real clients: whole, slow, left behind and killed."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from argosy.testing.server import resident_mb, wait_for
from fakes.live_server import LiveServer, live_server

HANDLER = '''
import os
from typing import Iterator
from argosy.handler import InvalidInput

FOLDER = os.environ["TMPDIR"] + "/"

def note(name, text=""):
    name = FOLDER + name
    with open(name + ".new", "w") as file:
        file.write(str(text))
    os.rename(name + ".new", name)

def counted(number):
    for i in range(number):
        yield f"{i};"

def large(number):
    try:
        for i in range(number):
            note("large", i)
            yield b"x" * 50_000
    finally:
        note("closed", i)

def paused(name):
    """A piece, and the next one when somebody has written into the pipe."""
    yield "first"
    with open(FOLDER + name) as pipe:
        yield pipe.read()

def endless(name):
    try:
        while True:
            yield "again "
    finally:
        note(name)

def killed(_):
    yield "last words "
    os.kill(os.getpid(), 9)

def failing(_):
    yield "so far "
    raise ValueError("boom")

def predict(text: str):
    verb, _, argument = text.partition(":")
    if verb == "plain":
        return {"pid": os.getpid()}
    if verb in ("counted", "large"):
        argument = int(argument)
    return globals()[verb](argument)
'''


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with one worker; its handler's files lie in the folder of the model."""
    with live_server(tmp_path_factory.mktemp("streams"), HANDLER) as running:
        yield running


def folder(server: LiveServer) -> Path:
    """Where the handler writes."""
    return server.log.parent


def post(server: LiveServer, text: str, *headers: str, version: str = "1.1", path: str = "/predictions/m") -> socket.socket:
    """A connection with a request on its way."""
    sock = server.connect()
    lines = [f"POST {path} HTTP/{version}", "Host: a", "Content-Type: text/plain", f"Content-Length: {len(text)}", *headers, "", text]
    sock.sendall("\r\n".join(lines).encode())
    return sock


def reply_on(sock: socket.socket) -> http.client.HTTPResponse:
    """The reply, its head read."""
    reply = http.client.HTTPResponse(sock)
    reply.begin()
    return reply


def status(server: LiveServer) -> dict[str, Any]:
    """That the one worker still answers: its pid."""
    found: dict[str, Any] = json.loads(server.ask("POST", "/predictions/m", b"plain", {"Content-Type": "text/plain"})[1])
    return found


@pytest.mark.parametrize("path", ["/predictions/m", "/invocations", "/models/m/invoke", "/m/predict"])
def test_a_thousand_pieces(server: LiveServer, path: str) -> None:
    """All of them, in order, on every path that predicts."""
    with post(server, "counted:1000", path=path) as sock:
        reply = reply_on(sock)
        assert (reply.status, reply.getheader("transfer-encoding"), reply.getheader("content-type")) == (200, "chunked", "text/plain; charset=utf-8")
        assert reply.read().decode() == "".join(f"{i};" for i in range(1000))


def test_each_piece_leaves_at_once(server: LiveServer) -> None:
    """The first one is there while the handler waits for the client to make the next one possible."""
    pipe = folder(server) / "pipe"
    os.mkfifo(pipe)
    with post(server, "paused:pipe") as sock:
        reply = reply_on(sock)
        assert reply.read(5) == b"first"
        pipe.write_text("second")
        assert reply.read() == b"second"


def test_a_client_of_http_1_0(server: LiveServer) -> None:
    """It reads until the connection ends; an answer that is cut off is an error of the connection."""
    with post(server, "counted:3", version="1.0") as sock:
        assert reply_on(sock).read() == b"0;1;2;"
    with post(server, "failing", version="1.0") as sock, pytest.raises(ConnectionResetError):
        reply_on(sock).read()


def test_a_failure_in_the_middle(server: LiveServer) -> None:
    """The body has no end, and the log has the traceback; the worker goes on."""
    before = status(server)
    with post(server, "failing", "x-request-id: failed-midway") as sock, pytest.raises(http.client.IncompleteRead) as caught:
        reply_on(sock).read()
    assert caught.value.partial == b"so far "
    wait_for(lambda: "ValueError: boom [requestID:failed-midway]" in server.log.read_text(), "the traceback in the log")
    assert "request failed-midway: its answer was cut off after 7 bytes" in server.log.read_text()
    assert status(server) == before


def test_events_for_who_asks_for_them(server: LiveServer) -> None:
    """With the failure as the last one."""
    with post(server, "failing", "Accept: text/event-stream") as sock:
        reply = reply_on(sock)
        assert reply.getheader("content-type") == "text/event-stream"
        with pytest.raises(http.client.IncompleteRead) as caught:
            reply.read()
    assert caught.value.partial.startswith(b'data: so far \n\nevent: error\ndata: {\ndata:   "code": 503,')


def test_a_worker_that_is_killed_in_the_middle(server: LiveServer) -> None:
    """The client sees that the rest is missing; what comes next is answered by the next worker."""
    before = status(server)["pid"]
    with post(server, "killed") as sock, pytest.raises(http.client.IncompleteRead) as caught:
        reply_on(sock).read()
    assert caught.value.partial == b"last words "
    assert status(server)["pid"] != before


def test_a_client_that_leaves_closes_the_generator(server: LiveServer) -> None:
    """Promptly, and the worker serves the next one."""
    with post(server, "endless:left") as sock:
        assert reply_on(sock).read(6) == b"again "
    wait_for((folder(server) / "left").exists, "the generator to be closed")
    assert status(server)["pid"]


def test_a_slow_reader_holds_the_handler_up(server: LiveServer) -> None:
    """100 MB for a client that reads nothing: the handler rests, the memory of the server stays, and what is read later is whole."""
    before = resident_mb(server.pid)
    made = folder(server) / "large"
    with post(server, "large:2000") as sock:
        wait_for(made.exists, "the first piece")
        seen = -1
        while int(made.read_text()) != seen:  # ends when the handler has rested for 0.3 s
            seen = int(made.read_text())
            with pytest.raises(TimeoutError):
                _pause()
        assert seen < 400
        assert resident_mb(server.pid) - before < 20
        sock.settimeout(20)
        assert len(reply_on(sock).read()) == 100_000_000
    assert (folder(server) / "closed").read_text() == "1999"


def _pause() -> None:
    """Wait 0.3 s for something that nobody sends."""
    waiting, other = socket.socketpair()
    with waiting, other:
        waiting.settimeout(0.3)
        waiting.recv(1)


def test_a_reader_that_leaves_a_resting_handler(server: LiveServer) -> None:
    """It is woken and closed."""
    closed = folder(server) / "closed"
    closed.unlink(missing_ok=True)
    with post(server, "large:2000") as sock:
        assert reply_on(sock).read(10) == b"x" * 10
    wait_for(closed.exists, "the generator to be closed")
    assert int(closed.read_text()) < 1999


def test_a_stopping_server_lets_a_stream_end(tmp_path: Path) -> None:
    """What was begun is answered whole before the server ends."""
    with live_server(tmp_path, HANDLER) as running:
        os.mkfifo(tmp_path / "pipe")
        with post(running, "paused:pipe") as sock:
            reply = reply_on(sock)
            assert reply.read(5) == b"first"
            os.kill(running.pid, signal.SIGTERM)
            wait_for(lambda: "Stopping" in running.log.read_text(), "the server to stop")
            (tmp_path / "pipe").write_text("second")
            assert reply.read() == b"second"
            assert reply.getheader("connection") == "keep-alive"
