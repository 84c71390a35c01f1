"""What the runtime says when something fails inside it, or is asked for that does not exist."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from argosy.sagemaker.local.api import Api
from argosy.sagemaker.local.client import Answer
from argosy.sagemaker.local.endpoint import Endpoint, Served
from argosy.sagemaker.local.failures import Source
from argosy.sagemaker.local.headers import Asked
from argosy.sagemaker.local.http import Received, Reply
from argosy.sagemaker.local.pool import Instance, Pool
from argosy.sagemaker.local.settings import ContainerSettings, EndpointSettings, Limits, VariantSettings

VARIANT = VariantSettings(containers=(ContainerSettings(image="i"),))
SETTINGS = EndpointSettings("e", (VARIANT,))


class BrokenAnswer(Answer):
    """An answer whose reading meets a defect of ours."""

    def __init__(self) -> None:
        self.status = 200
        self.headers = {}

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """One piece, then the defect."""
        yield b"first"
        raise RuntimeError("a defect")


class FakeEndpoint(Endpoint):
    """Breaks at once, or in the middle of its answer."""

    def __init__(self, *, in_the_middle: bool = False) -> None:
        super().__init__(SETTINGS, [Pool(VARIANT, [])], Limits(), lambda: 0.0)
        self._in_the_middle = in_the_middle

    @asynccontextmanager
    async def invocation(self, asked: Asked, body: bytes | Path, timeout_s: float) -> AsyncIterator[Served]:
        """An answer that fails, if there is any."""
        if not self._in_the_middle:
            raise RuntimeError("a defect")
        yield Served(BrokenAnswer(), self.pools["AllTraffic"], Source("primary", "arn", "log"), asyncio.get_running_loop().time() + 20)


def run(work: Coroutine[Any, Any, Reply]) -> Reply:
    """The reply, a stream put together."""

    async def main() -> Reply:
        reply = await work
        if isinstance(reply.body, bytes):
            return reply
        async with contextlib.aclosing(reply.body) as pieces:
            return Reply(reply.status, reply.headers, b"".join([piece async for piece in pieces]))

    return asyncio.run(main())


def api(endpoint: Endpoint | None = None, *, allow_unsigned: bool = True) -> Api:
    """With the endpoint `e`, if any."""
    return Api({} if endpoint is None else {"e": endpoint}, {}, Limits(), account="1", allow_unsigned=allow_unsigned)


def asked(target: str, method: str = "POST", **headers: str) -> Received:
    """A request."""
    return Received(method, target, headers, b"")


def body(reply: Reply) -> bytes:
    """Its bytes."""
    assert isinstance(reply.body, bytes)
    return reply.body


@pytest.mark.parametrize(("method", "target"), [
    ("GET", "/endpoints/e/invocations"), ("POST", "/"), ("POST", "/endpoints/e"), ("POST", "/endpoints/e/other"), ("POST", "/x/e/invocations"),
    ("POST", "/endpoints/e/invocations/more"), ("POST", "/ping"),
])  # fmt: skip
def test_there_are_no_other_operations(method: str, target: str) -> None:
    """Whatever the method and the path."""
    reply = run(api(FakeEndpoint()).answer(asked(target, method)))
    assert (reply.status, dict(reply.headers)["x-amzn-ErrorType"]) == (404, "UnknownOperationException")


def test_a_defect_is_told_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    """The log has it, under the id of the request."""
    reply = run(api(FakeEndpoint()).answer(asked("/endpoints/e/invocations")))
    assert (reply.status, dict(reply.headers)["x-amzn-ErrorType"]) == (500, "InternalFailure")
    assert dict(reply.headers)["x-amzn-RequestId"] in json.loads(body(reply))["Message"]
    assert b"a defect" not in body(reply)
    assert "a defect" in caplog.text


def test_a_defect_in_a_stream_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    """With the exception for that, after what had come."""
    reply = run(api(FakeEndpoint(in_the_middle=True)).answer(asked("/endpoints/e/invocations-response-stream")))
    assert reply.status == 200
    assert b"PayloadPart" in body(reply)
    assert b"InternalStreamFailure" in body(reply)
    assert "a defect" in caplog.text


def test_signatures_are_needed_unless_they_are_not() -> None:
    """Before it is told whether there is such an endpoint."""
    assert run(api(allow_unsigned=False).answer(asked("/endpoints/none/invocations"))).status == 403
    assert run(api().answer(asked("/endpoints/none/invocations"))).status == 400


def test_names_are_percent_encoded() -> None:
    """The message has them as they are meant."""
    reply = run(api().answer(asked("/endpoints/a%20b%2Fc/invocations?x=1")))
    assert json.loads(body(reply))["Message"] == "Endpoint a b/c of account 1 not found."


def test_health_is_that_of_every_variant() -> None:
    """And nobody is healthy as long as nothing is there."""
    assert run(api().answer(asked("/ping", "GET"))).status == 503
    endpoint = FakeEndpoint()
    reply = run(api(endpoint).answer(asked("/ping", "GET")))
    assert (reply.status, json.loads(body(reply))) == (503, {"e": {"AllTraffic": False}})
    endpoint.pools = {"AllTraffic": Pool(VARIANT, [Instance(0, [])])}
    assert run(api(endpoint).answer(asked("/ping", "GET"))).status == 200


def test_what_was_not_read_is_refused_in_the_same_words() -> None:
    """A body that is too large, and what is no request."""
    assert dict(api().refuse(413, "").headers)["x-amzn-ErrorType"] == "ValidationError"
    assert json.loads(body(api().refuse(431, "too long")))["Message"] == "too long"


def test_every_part_tells_its_state() -> None:
    """In one line."""
    assert repr(FakeEndpoint()) == "<Endpoint e [<Pool AllTraffic []>]>"
    assert repr(api(FakeEndpoint())) == "<Api ['e']>"
