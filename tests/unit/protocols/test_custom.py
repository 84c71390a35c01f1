"""Custom endpoints: which paths they get, what they are told, and that their failures are theirs alone."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from argosy.config import Config
from argosy.dataplane.registry import Registry
from argosy.errors import ArgosyError, ErrorCode
from argosy.plugins import Context, Request, Response
from argosy.protocols.custom import Endpoint, Surroundings, WithEndpoints, check_patterns, read_endpoint
from argosy.protocols.endpoint import Action, Call, HttpReply, HttpRequest
from argosy.protocols.management import Access
from argosy.protocols.status import error_reply, not_found
from fakes.serving import FakeModel, spec, worker


class Builtin:
    """A dialect whose every path is there."""

    def route(self, method: str, path: str, query: str) -> Action:
        """Only paths that no endpoint has come here."""
        if path == "/missing":
            raise not_found()
        return Call(lambda _: HttpReply(200, b"built in"))

    def error_reply(self, error: ArgosyError, request_id: str) -> HttpReply:
        """As everywhere."""
        return error_reply(error)


class Echo:
    """Says what it was asked."""

    pattern = "echo"
    description = "Says what it was asked."

    def get(self, request: Request, context: Context) -> Response:
        """All of it."""
        return Response.json({
            "method": request.method, "path": request.path, "x": request.parameter("x"), "all": request.parameters.get("x"),
            "none": request.parameter("none", "default"), "type": request.content_type, "body": request.body.decode(), "id": request.id,
        })  # fmt: skip

    async def post(self, request: Request, context: Context) -> Response:
        """A reply with everything."""
        return Response(b"\x00\xff", 299, "Fine", "application/x-mine", [("X-Mine", "1"), ("Content-Length", "7")])


class Raising:
    """Raises, or returns, what it was made with."""

    pattern = "raise"
    listener = "management"

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome

    def get(self, request: Request, context: Context) -> Response:
        """In a thread."""
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome  # type: ignore[no-any-return]  # on purpose: endpoints are not checked by mypy

    async def put(self, request: Request, context: Context) -> Response:
        """In the loop."""
        return self.get(request, context)


class Server:
    """A dialect with endpoints on a loop of its own."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.loop = asyncio.new_event_loop()
        self.registry = Registry()
        self.around = Surroundings(Config(management_token="geheim"), self.registry, executor, lambda pid: 1000 if pid else 0)

    def dialect(self, *found: Any, access: Access | None = None) -> WithEndpoints:
        """The built-in dialect with these endpoints."""
        return WithEndpoints(Builtin(), [read_endpoint(one, "test") for one in found], self.around, (access or Access()).refusal)

    def ask(self, dialect: WithEndpoints, method: str, target: str, body: bytes = b"", **headers: str) -> HttpReply:
        """The reply, also to what fails."""
        path, _, query = target.partition("?")
        request = HttpRequest(method, path, query, {name.replace("_", "-"): value for name, value in headers.items()}, body, "id-1")
        try:
            action = dialect.route(method, path, query)
            assert isinstance(action, Call)
            reply = action.function(request)
            return reply if isinstance(reply, HttpReply) else self.loop.run_until_complete(_await(reply))
        except ArgosyError as error:
            return dialect.error_reply(error, "id-1")


async def _await(reply: Any) -> HttpReply:
    found = await reply
    assert isinstance(found, HttpReply)
    return found


@pytest.fixture
def server() -> Iterator[Server]:
    """With one thread, closed at the end."""
    with ThreadPoolExecutor(1) as executor:
        made = Server(executor)
        yield made
        made.loop.close()


def test_an_endpoint_is_told_the_request(server: Server) -> None:
    """Method, path, parameters, content type, body and id; its class is made without arguments, its listener is inference unless it says so."""
    reply = server.ask(server.dialect(Echo), "GET", "/echo/below?x=1&x=%C3%A9", b"hi", content_type="text/x")
    assert json.loads(reply.body) == {
        "method": "GET", "path": "/echo/below", "x": "1", "all": ["1", "é"], "none": "default", "type": "text/x", "body": "hi", "id": "id-1",
    }  # fmt: skip
    assert (reply.status, reply.content_type) == (200, "application/json")
    assert read_endpoint(Echo, "test").listener == "inference"


def test_an_endpoint_chooses_the_reply(server: Server) -> None:
    """Status, reason, headers, content type and body; what the server sets itself is not its to set."""
    reply = server.ask(server.dialect(Echo()), "POST", "/echo")
    assert reply == HttpReply(299, b"\x00\xff", "application/x-mine", (("X-Mine", "1"),), "Fine")


def test_an_endpoint_takes_the_first_segment_over(server: Server) -> None:
    """Whatever follows it; all else stays as it was, failures too."""
    dialect = server.dialect(Echo)
    assert server.ask(dialect, "GET", "/echoes").body == b"built in"
    assert server.ask(dialect, "GET", "/").body == b"built in"
    assert server.ask(dialect, "GET", "/missing").status == 404
    assert server.ask(dialect, "HEAD", "/echo").status == 200
    assert repr(dialect).startswith("<WithEndpoints echo <")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_a_method_that_is_not_there_is_refused(server: Server, method: str) -> None:
    """With 405, whether the server knows the method or not."""
    reply = server.ask(server.dialect(Echo), method, "/echo")
    assert (reply.status, json.loads(reply.body)["type"]) == (405, "MethodNotAllowedException")


def test_head_needs_get(server: Server) -> None:
    """It is answered by nothing else."""
    assert server.ask(server.dialect(made(pattern="a", put=print)), "HEAD", "/a").status == 405


def test_a_broken_query_is_the_clients_fault(server: Server) -> None:
    """The endpoint is not called."""
    assert server.ask(server.dialect(Echo), "GET", "/echo?x=%zz").status == 400


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize(("outcome", "status", "message", "logged"), [
    (MemoryError("all"), 507, "Out of memory", "MemoryError: all"),
    (FileNotFoundError("secret.txt"), 500, "I/O error while running the custom endpoint", "FileNotFoundError: secret.txt"),
    (ValueError("secret"), 500, "Unknown exception; the log says more under request id-1", "ValueError: secret"),
    (StopIteration("secret"), 500, "Unknown exception; the log says more under request id-1", "StopIteration: secret"),
    (SystemExit("secret"), 500, "Unknown exception; the log says more under request id-1", "SystemExit: secret"),
    ("text", 500, "Unknown exception; the log says more under request id-1", "TypeError: "),
    (None, 500, "Unknown exception; the log says more under request id-1", "TypeError: "),
    (Response(status=99), 500, "Unknown exception; the log says more under request id-1", "ValueError: "),
    (Response(headers=[("a", "b\r\nc: d")]), 500, "Unknown exception; the log says more under request id-1", "ValueError: "),
    (Response(content_type="a\nb"), 500, "Unknown exception; the log says more under request id-1", "ValueError: "),
])
def test_failures_stay_in_the_log(
    server: Server, caplog: pytest.LogCaptureFixture, method: str, outcome: Any, status: int, message: str, logged: str
) -> None:
    """The client learns the kind and the request id, the log has the traceback, the server goes on; in a thread and in the loop alike."""
    dialect = server.dialect(Raising(outcome))
    with caplog.at_level(logging.ERROR):
        reply = server.ask(dialect, method, "/raise")
    found = json.loads(reply.body)
    assert (reply.status, found["code"], found["message"]) == (status, status, message)
    assert "endpoint /raise failed, request id-1" in caplog.text
    assert "secret" not in reply.body.decode()
    assert "Traceback" in caplog.text
    assert f"\n{logged}" in caplog.text


def test_an_endpoint_of_management_obeys_its_access_rules(server: Server) -> None:
    """Without the token nothing is called; one of inference needs none, on a shared listener either."""
    dialect = server.dialect(Raising(Response("in")), Echo, access=Access(token="t"))
    assert server.ask(dialect, "GET", "/raise").status == 401
    assert server.ask(dialect, "GET", "/raise", authorization="Bearer t").body == b"in"
    assert server.ask(dialect, "GET", "/echo").status == 200


def test_on_a_shared_listener_inference_comes_first(server: Server) -> None:
    """Two endpoints of one pattern, one for each listener."""
    managed = Raising(Response("management"))
    managed.pattern = "echo"
    dialect = server.dialect(managed, Echo)
    assert json.loads(server.ask(dialect, "GET", "/echo").body)["path"] == "/echo"


def test_the_context_tells_of_settings_and_models(server: Server) -> None:
    """Settings as text without secrets; models with workers, their state and memory; a copy that later changes do not touch."""
    model = FakeModel(spec("okay"))
    model.infos = [worker("BUSY", pid=7), worker("LOADING", pid=8), worker("BACKOFF", pid=None)]
    server.registry.add(model)
    context = server.around.context()
    server.registry.remove("okay")
    assert (context.config["max_request_size"], context.config["management_token"], context.config["model_store"]) == ("6553500", "***", "")
    found = context.models["okay"]
    assert (found.name, found.url, found.handler, found.batch_size) == ("okay", "okay.mar", "service:handle", 1)
    assert [(one.pid, one.is_running, one.memory_bytes) for one in found.workers] == [(7, True, 1000), (8, False, 1000), (None, False, 0)]
    assert repr(server.around) == "<Surroundings of <Registry 0 models>>"


@pytest.mark.parametrize(("style", "batch_size", "concurrency"), [({}, 8, 1), ({"asynchronous": True}, 1, 16), ({"streams": True}, 1, 1)])
def test_the_context_tells_what_a_worker_takes_at_once(server: Server, style: dict[str, Any], batch_size: int, concurrency: int) -> None:
    """Asynchronous handlers and streams get one request a call, whatever the size of a batch; the former have many calls at once."""
    model = FakeModel(dataclasses.replace(spec("m"), batch_size=8, concurrency=16))
    model.style = style
    server.registry.add(model)
    found = server.around.context().models["m"]
    assert (found.batch_size, found.concurrency) == (batch_size, concurrency)


class Bare:
    """An endpoint without anything."""


def made(**attributes: Any) -> Any:
    """An object with these attributes."""
    one = Bare()
    vars(one).update(attributes)
    return one


@pytest.mark.parametrize(("found", "why"), [
    (Bare, "its pattern is None"), (made(pattern=""), "its pattern is ''"), (made(pattern="a/b", get=print), "its pattern is 'a/b'"),
    (made(pattern="a", listener="both", get=print), "its listener is 'both'"),
    (made(pattern="a"), "it has none of the methods get, put, post, delete"),
    (sys, "its pattern is None"),
])
def test_what_is_no_endpoint_is_refused(found: Any, why: str) -> None:
    """With its name and the reason, before the server starts."""
    with pytest.raises(ArgosyError, match=r"Endpoint mine cannot be used: " + why) as caught:
        read_endpoint(found, "mine")
    assert caught.value.code is ErrorCode.INVALID_CONFIG


def test_two_endpoints_of_one_pattern_are_refused() -> None:
    """On one listener; on two they are different paths."""
    one, other = (Endpoint("ping", listener, "", {}) for listener in ("inference", "management"))
    check_patterns([one, other])
    with pytest.raises(ArgosyError, match='Multiple plugins found for endpoint "ping"'):
        check_patterns([one, other, one])
