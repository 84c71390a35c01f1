"""What each request to the runtime asks for: the three ways to invoke an endpoint, and how their replies look."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from urllib.parse import unquote

from argosy.sagemaker.local import eventstream
from argosy.sagemaker.local.client import ContainerGone
from argosy.sagemaker.local.endpoint import Endpoint, Served
from argosy.sagemaker.local.failures import InvocationFailure, endpoint_not_found, internal, too_large, validation_error
from argosy.sagemaker.local.headers import STREAM_TYPE, from_container, read_headers
from argosy.sagemaker.local.http import Received, Reply
from argosy.sagemaker.local.queue import AsyncQueue
from argosy.sagemaker.local.sessions import NEW
from argosy.sagemaker.local.settings import Limits
from argosy.sagemaker.local.signature import missing_signature, read_signature

_log = logging.getLogger("argosy.sagemaker")
_JSON = ("Content-Type", "application/json")
_TIMED_OUT = "The model did not finish its response in time."
_BROKEN = "The connection to the model was closed before its response was complete."


class Api:
    """Answers requests. `queues` has the endpoints that answer asynchronously, and only those."""

    def __init__(
        self, endpoints: Mapping[str, Endpoint], queues: Mapping[str, AsyncQueue], limits: Limits, *, account: str, allow_unsigned: bool
    ) -> None:
        self._endpoints = endpoints
        self._queues = queues
        self._limits = limits
        self._account = account
        self._allow_unsigned = allow_unsigned
        self._operations = {
            "invocations": self._invoke, "async-invocations": self._invoke_async, "invocations-response-stream": self._invoke_stream,
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"<Api {list(self._endpoints)}>"

    async def answer(self, received: Received) -> Reply:
        """The reply to a request; failures are replies as well."""
        request_id = str(uuid.uuid4())
        try:
            reply = await self._route(received)
        except InvocationFailure as failure:
            _log.info("%s %s: %d %s: %s", received.method, received.target, failure.status, failure.kind, failure.message)
            reply = _failed(failure)
        except Exception as error:  # noqa: BLE001  the boundary of a request: it fails, the runtime goes on
            _log.error("request %s failed inside the local runtime: %s", request_id, received.target, exc_info=error)
            reply = _failed(internal(f"The local runtime failed; its log says more under request {request_id}."))
        return Reply(reply.status, (("x-amzn-RequestId", request_id), *reply.headers), reply.body)

    def refuse(self, status: int, why: str) -> Reply:
        """The reply to a request that was not read to its end."""
        failure = too_large(self._limits.body_bytes) if status == 413 else InvocationFailure(status, "BadRequestException", why)
        reply = _failed(failure)
        return Reply(reply.status, (("x-amzn-RequestId", str(uuid.uuid4())), *reply.headers), reply.body)

    async def _route(self, received: Received) -> Reply:
        path, _, query = received.target.partition("?")
        if path == "/ping" and received.method in ("GET", "HEAD"):
            return self._ping()
        parts = path.split("/")
        operation = self._operations.get(parts[3]) if len(parts) == 4 and parts[:2] == ["", "endpoints"] else None
        if operation is None or received.method != "POST":
            raise InvocationFailure(404, "UnknownOperationException", f"There is no operation {received.method} {path[:200]}.")
        if read_signature(received.headers, query) is None and not self._allow_unsigned:
            raise missing_signature()
        name = unquote(parts[2])
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            raise endpoint_not_found(name[:200], self._account)
        return await operation(endpoint, received)

    def _ping(self) -> Reply:
        """Whether every variant and component has a healthy instance: 200 or 503."""
        state = {name: {pool.settings.name: pool.is_healthy for pool in endpoint.pools.values()} for name, endpoint in self._endpoints.items()}
        is_healthy = bool(state) and all(healthy for pools in state.values() for healthy in pools.values())
        return Reply(200 if is_healthy else 503, (_JSON,), json.dumps(state).encode())

    async def _invoke(self, endpoint: Endpoint, received: Received) -> Reply:
        self._refuse_async(endpoint)
        asked = read_headers(received.headers)
        async with endpoint.invocation(asked, received.body, self._limits.invocation_s) as served:
            body = await served.read(self._limits.of(served.pool.settings))
            headers = served.answer.headers
            kind = [("Content-Type", headers["content-type"])] if "content-type" in headers else []
            return Reply(200, (*kind, *from_container(headers, served.pool.settings.name)), body)

    def _refuse_async(self, endpoint: Endpoint) -> None:
        if endpoint.settings.name in self._queues:
            raise validation_error(f"Endpoint {endpoint.settings.name} of account {self._account} is asynchronous: invoke it asynchronously.")

    async def _invoke_stream(self, endpoint: Endpoint, received: Received) -> Reply:
        self._refuse_async(endpoint)
        asked = read_headers(received.headers, prefixed=frozenset(("accept",)))
        if asked["session-id"] == NEW:
            raise validation_error("A stateful session cannot be created by InvokeEndpointWithResponseStream; use InvokeEndpoint.")
        async with AsyncExitStack() as stack:
            served = await stack.enter_async_context(endpoint.invocation(asked, received.body, self._limits.invocation_s))
            headers = served.answer.headers
            kind = [(STREAM_TYPE, headers["content-type"])] if "content-type" in headers else []
            more = from_container(headers, served.pool.settings.name)
            return Reply(200, (("Content-Type", eventstream.CONTENT_TYPE), *kind, *more), _frames(served, stack.pop_all()))

    async def _invoke_async(self, endpoint: Endpoint, received: Received) -> Reply:
        queue = self._queues.get(endpoint.settings.name)
        if queue is None:
            raise validation_error(f"Endpoint {endpoint.settings.name} of account {self._account} is not asynchronous: it has no output location.")
        ticket = queue.take(read_headers(received.headers, prefixed=frozenset(("content-type", "accept"))), received.body)
        where = (("X-Amzn-SageMaker-OutputLocation", str(ticket.output)), ("X-Amzn-SageMaker-FailureLocation", str(ticket.failure)))
        return Reply(202, (_JSON, *where), json.dumps({"InferenceId": ticket.inference_id}).encode())


async def _frames(served: Served, stack: AsyncExitStack) -> AsyncGenerator[bytes, None]:
    """The answer as an event stream: a part for each chunk, and an exception when the container does not come to its end."""
    loop = asyncio.get_running_loop()
    async with stack, contextlib.aclosing(served.answer.chunks()) as chunks:
        try:
            while True:
                piece = await asyncio.wait_for(anext(chunks, None), max(0.0, served.deadline - loop.time()))
                if piece is None:
                    return
                yield eventstream.payload_parts(piece)
        except TimeoutError:
            yield eventstream.model_stream_error("ModelInvocationTimeExceeded", _TIMED_OUT)
        except ContainerGone:
            yield eventstream.model_stream_error("StreamBroken", _BROKEN)
        except Exception as error:  # noqa: BLE001  the boundary of a request, as in `answer`
            _log.error("a stream failed inside the local runtime", exc_info=error)
            yield eventstream.internal_stream_failure("The local runtime failed; its log says more.")


def _failed(failure: InvocationFailure) -> Reply:
    return Reply(failure.status, (_JSON, ("x-amzn-ErrorType", failure.kind)), failure.body)
