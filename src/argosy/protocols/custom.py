"""Custom endpoints on a listener: which paths they take over, how they are called, and what becomes of their failures."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from argosy import plugins
from argosy.config import Config, declarations, show
from argosy.dataplane.registry import Registry
from argosy.errors import ArgosyError, ErrorCode
from argosy.protocols.endpoint import Action, Call, Dialect, HttpReply, HttpRequest, Scope, is_header
from argosy.protocols.forms import query_parts
from argosy.protocols.mms import segments
from argosy.protocols.openapi import INFERENCE, MANAGEMENT
from argosy.protocols.status import not_allowed

_log = logging.getLogger("argosy.endpoints")
METHODS = ("get", "put", "post", "delete")
OUT_OF_MEMORY = "Out of memory"
IO_ERROR = "I/O error while running the custom endpoint"
_LOADED = frozenset({"IDLE", "BUSY", "DRAINING"})
_OURS = frozenset({"content-type", "content-length", "connection", "transfer-encoding", "x-request-id"})

Method = Callable[[plugins.Request, plugins.Context], Any]
Guard = Callable[[HttpRequest], HttpReply | None]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint of somebody else's, checked."""

    pattern: str
    listener: str
    description: str
    methods: Mapping[str, Method]
    """By HTTP method."""


def read_endpoint(found: Any, origin: str) -> Endpoint:
    """What an entry point gave, checked; `origin` names it in messages. Raises `ArgosyError` INVALID_CONFIG, or what the endpoint's class raises."""
    made = found() if isinstance(found, type) else found
    pattern, listener = getattr(made, "pattern", None), getattr(made, "listener", INFERENCE)
    if not isinstance(pattern, str) or not pattern or "/" in pattern:
        raise _wrong(origin, f"its pattern is {pattern!r}; it must be the first segment of a path, without slashes")
    if listener not in (INFERENCE, MANAGEMENT):
        raise _wrong(origin, f"its listener is {listener!r}; it must be {INFERENCE!r} or {MANAGEMENT!r}")
    methods = {name.upper(): method for name in METHODS if callable(method := getattr(made, name, None))}
    if not methods:
        raise _wrong(origin, f"it has none of the methods {', '.join(METHODS)}")
    if "GET" in methods:
        methods["HEAD"] = methods["GET"]
    return Endpoint(pattern, listener, str(getattr(made, "description", "")), methods)


def check_patterns(endpoints: Iterable[Endpoint]) -> None:
    """Raises `ArgosyError` INVALID_CONFIG when two endpoints want one pattern of one listener."""
    seen: set[tuple[str, str]] = set()
    for endpoint in endpoints:
        if (endpoint.listener, endpoint.pattern) in seen:
            raise ArgosyError(
                ErrorCode.INVALID_CONFIG, f'Multiple plugins found for endpoint "{endpoint.pattern}"; switch on only one of them in endpoints')
        seen.add((endpoint.listener, endpoint.pattern))


def _wrong(origin: str, why: str) -> ArgosyError:
    return ArgosyError(ErrorCode.INVALID_CONFIG, f"Endpoint {origin} cannot be used: {why}")


class Surroundings:
    """What all endpoints of a server share: its context, and the threads that plain methods run in."""

    def __init__(self, config: Config, registry: Registry, executor: Executor, resident_bytes: Callable[[int | None], int]) -> None:
        self.executor = executor
        self._config = {
            name: "***" if setting.secret and getattr(config, name) else show(getattr(config, name)) for name, (setting, _) in declarations().items()
        }
        self._registry = registry
        self._resident_bytes = resident_bytes

    def __repr__(self) -> str:
        return f"<Surroundings of {self._registry!r}>"

    def context(self) -> plugins.Context:
        """The server now, as a copy that other threads may read."""
        models = {}
        for model in self._registry:
            workers = tuple(plugins.Worker(worker.pid, worker.state in _LOADED, self._resident_bytes) for worker in model.workers())
            spec, style = model.spec, model.style
            concurrency = spec.concurrency if style.get("asynchronous") else 1
            # such handlers get one request a call, whatever the size of a batch
            batch_size = 1 if style.get("asynchronous") or style.get("streams") else spec.batch_size
            models[spec.name] = plugins.Model(spec.name, spec.url, spec.handler, batch_size, workers, concurrency)
        return plugins.Context(self._config, models)


class WithEndpoints:
    """A dialect some of whose first segments belong to endpoints. `guard` refuses requests to those of the management listener."""

    def __init__(self, dialect: Dialect, endpoints: Iterable[Endpoint], around: Surroundings, guard: Guard) -> None:
        self._dialect = dialect
        self._around = around
        self._guard = guard
        self._endpoints: dict[str, Endpoint] = {}
        # where both listeners share an address those of inference come first, as its built-in paths do
        for endpoint in sorted(endpoints, key=lambda endpoint: endpoint.listener):
            self._endpoints.setdefault(endpoint.pattern, endpoint)

    def __repr__(self) -> str:
        return f"<WithEndpoints {', '.join(self._endpoints)} {self._dialect!r}>"

    def route(self, method: str, path: str, query: str) -> Action:
        """What a request asks for. Raises like the dialect, and `ArgosyError` METHOD_NOT_ALLOWED."""
        endpoint = self._endpoints.get((segments(path) or [""])[0])
        if endpoint is None:
            return self._dialect.route(method, path, query)
        found = endpoint.methods.get(method)
        if found is None:
            raise not_allowed()
        return Call(lambda request: self._answer(endpoint, found, request), _scope(endpoint))

    def error_reply(self, error: ArgosyError, request_id: str) -> HttpReply:
        """As the dialect writes it."""
        return self._dialect.error_reply(error, request_id)

    async def _answer(self, endpoint: Endpoint, method: Method, request: HttpRequest) -> HttpReply:
        refused = self._guard(request) if endpoint.listener == MANAGEMENT else None
        if refused is not None:
            return refused
        asked = _request(request)
        context = self._around.context()
        if inspect.iscoroutinefunction(method):
            result = await _awaited(method(asked, context))
        else:
            loop = asyncio.get_running_loop()
            result = await loop.run_in_executor(self._around.executor, _attempt, method, asked, context)
        if not isinstance(result, _Failed):
            try:
                return _reply(result)
            except (TypeError, ValueError) as error:
                result = _Failed(error)
        raise _failure(endpoint, request.request_id, result.error)


def _scope(endpoint: Endpoint) -> Scope:
    """What a token must be for: that of the listener, but one that takes the place of `/ping` is asked for health all the same."""
    return Scope.HEALTH if endpoint.pattern == "ping" else Scope(endpoint.listener)


@dataclass(frozen=True, slots=True)
class _Failed:
    """What a method raised. As a value: not every exception can be carried by a future."""

    error: BaseException


def _attempt(method: Method, request: plugins.Request, context: plugins.Context) -> Any:
    """The result of a plain method, in its thread."""
    try:
        return method(request, context)
    except BaseException as error:  # noqa: BLE001 - the boundary of a foreign endpoint: not even SystemExit may end the server
        return _Failed(error)


async def _awaited(running: Awaitable[Any]) -> Any:
    try:
        return await running
    except (Exception, SystemExit) as error:  # noqa: BLE001 - as above; cancelling stays with the loop
        return _Failed(error)


def _request(request: HttpRequest) -> plugins.Request:
    """Raises `ArgosyError` INVALID_REQUEST for a broken query."""
    parameters: dict[str, list[str]] = {}
    for part in query_parts(request.query):
        parameters.setdefault(part.name, []).append(str(part.value, "utf-8", "replace"))
    return plugins.Request(request.method, request.path, parameters, request.headers, request.body, request.request_id)


def _reply(result: Any) -> HttpReply:
    """The reply. Raises TypeError or ValueError when an endpoint returned what cannot be sent."""
    if not isinstance(result, plugins.Response):
        raise TypeError(f"an endpoint returns an argosy.plugins.Response, not {type(result).__name__}")
    if not isinstance(result.status, int) or not 200 <= result.status <= 999:
        raise ValueError(f"an endpoint answers with a status of 200 to 999, not {result.status!r}")
    headers = tuple((name, value) for name, value in result.headers if name.lower() not in _OURS)
    kind = () if result.content_type is None else (("content-type", result.content_type),)
    wrong = [name for name, value in (*kind, *headers) if not is_header(name, value)]
    if wrong:
        raise ValueError(f"an endpoint set headers that cannot be sent: {', '.join(map(repr, wrong))}")
    body = result.body.encode("utf-8", "replace") if isinstance(result.body, str) else bytes(result.body)
    return HttpReply(int(result.status), body, result.content_type, headers, result.reason)


def _failure(endpoint: Endpoint, request_id: str, error: BaseException) -> ArgosyError:
    """What the client reads; the log has the rest."""
    _log.error("endpoint /%s failed, request %s", endpoint.pattern, request_id, exc_info=error)
    if isinstance(error, MemoryError):
        return ArgosyError(ErrorCode.OUT_OF_MEMORY, OUT_OF_MEMORY)
    if isinstance(error, OSError):
        return ArgosyError(ErrorCode.INTERNAL, IO_ERROR)
    return ArgosyError(ErrorCode.INTERNAL, f"Unknown exception; the log says more under request {request_id}")
