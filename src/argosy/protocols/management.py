"""The management API of Multi Model Server: register, list, describe, scale and unregister models."""

from __future__ import annotations

import datetime
import hmac
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from argosy.control.manager import Manager, Outcome
from argosy.dataplane.model import Model, WorkerInfo
from argosy.errors import ArgosyError, ErrorCode
from argosy.protocols import openapi
from argosy.protocols.endpoint import Action, Call, HttpReply, HttpRequest
from argosy.protocols.forms import query_values
from argosy.protocols.json_layout import dumps
from argosy.protocols.mms import ApiDescription, InferenceDialect, Route, segments
from argosy.protocols.observability import Observability
from argosy.protocols.parameters import Parameters, read_registration
from argosy.protocols.status import Detail, error_reply, failure, not_allowed, not_found

ROUTES: tuple[Route, ...] = (
    Route("OPTIONS", "/", "API description"),
    Route("any", "/api-description", "API description"),
    Route("GET, HEAD", "/openapi.json", "API description, valid to the letter"),
    Route("GET, HEAD", "/livez", "liveness"),
    Route("GET, HEAD", "/readyz", "readiness"),
    Route("GET, HEAD", "/metrics", "metrics for Prometheus"),
    Route("GET", "/models", "list models"),
    Route("POST", "/models", "register a model"),
    Route("GET", "/models/{model}", "describe a model"),
    Route("PUT", "/models/{model}", "change the number of workers"),
    Route("DELETE", "/models/{model}", "unregister a model"),
)

Handler = Callable[[HttpRequest], HttpReply | Awaitable[HttpReply]]

_LOOPBACK = re.compile(r"localhost|127(\.[0-9]{1,3}){3}|::1")
_STATUS = {Outcome.STARTED: (200, "Workers scaled"), Outcome.STARTING: (202, "Processing worker updates...")}


@dataclass(frozen=True, slots=True)
class Access:
    """Who may change models."""

    token: str | None = None
    """If set, requests must carry it as bearer token."""
    allowed_origin: str | None = None
    """A web page of this origin may send changes although it is not ours; `*` allows nobody."""
    is_loopback: bool = False
    """The listener is on loopback, so only loopback names can truly be ours: other names were pointed here by somebody else's DNS."""

    def refusal(self, request: HttpRequest) -> HttpReply | None:
        """Why the request is refused, or None."""
        if request.method != "GET" and self._is_foreign(request.headers):
            error = ArgosyError(ErrorCode.FORBIDDEN, "Web pages of another origin may not change models; set cors_allowed_origin to allow one.")
            return error_reply(error)
        if self.token is None or hmac.compare_digest(_bearer(request.headers), self.token.encode()):
            return None
        body = failure(401, "UnauthorizedException", "This server needs the header Authorization: Bearer with its management_token.")
        return HttpReply(401, body, headers=(("WWW-Authenticate", "Bearer"),))

    def _is_foreign(self, headers: Mapping[str, str]) -> bool:
        origin = headers.get("origin")
        if origin is not None:
            return origin != self.allowed_origin and not self._is_own(origin, headers.get("host", ""))
        return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")

    def _is_own(self, origin: str, host: str) -> bool:
        try:
            found = urlsplit(origin)
            name = found.hostname or ""
        except ValueError:
            return False
        return found.netloc.lower() == host.lower() != "" and (not self.is_loopback or _LOOPBACK.fullmatch(name) is not None)


class ManagementDialect:
    """The management API. `resident_bytes` measures a process, 0 if it is gone."""

    def __init__(
        self, manager: Manager, observability: Observability, access: Access, resident_bytes: Callable[[int | None], int],
        added: Iterable[openapi.Added] = (),
    ) -> None:
        self._manager = manager
        self._observability = observability
        self._access = access
        self._resident_bytes = resident_bytes
        self._description = ApiDescription(openapi.MANAGEMENT, added=added)

    def __repr__(self) -> str:
        return f"<ManagementDialect {'with' if self._access.token else 'without'} token>"

    def route(self, method: str, path: str, query: str) -> Action:
        """What a request asks for. Raises `ArgosyError` RESOURCE_NOT_FOUND or METHOD_NOT_ALLOWED."""
        parts = segments(path)
        described = self._description.find(method, path, parts)
        if described is not None:
            return described
        if len(parts) == 1 and parts[0] in self._observability.routes:
            return self._observability.call(parts[0])
        if parts[0] != "models" or len(parts) > 2:
            raise not_found()
        return self._guarded(self._models(method) if len(parts) == 1 else self._model(method, parts[1]))

    def error_reply(self, error: ArgosyError, request_id: str) -> HttpReply:
        """How a failure is written: whoever manages the server sees all of it."""
        return error_reply(error, Detail.TRACEBACK)

    def _models(self, method: str) -> Handler:
        handlers: dict[str, Handler] = {"GET": self._list, "POST": self._register}
        return _pick(handlers, method)

    def _model(self, method: str, name: str) -> Handler:
        handlers: dict[str, Handler] = {
            "GET": lambda _: self._describe(name), "PUT": lambda request: self._scale(name, request), "DELETE": lambda _: self._unregister(name),
        }  # fmt: skip
        return _pick(handlers, method)

    def _guarded(self, handler: Handler) -> Call:
        """The handler behind the access rules. Failures are written here, for on a shared address the other API would write them for its clients."""

        async def guarded(request: HttpRequest) -> HttpReply:
            refused = self._access.refusal(request)
            if refused is not None:
                return refused
            try:
                reply = handler(request)
                return reply if isinstance(reply, HttpReply) else await reply
            except ArgosyError as error:
                return self.error_reply(error, request.request_id)

        return Call(guarded)

    async def _register(self, request: HttpRequest) -> HttpReply:
        asked = read_registration(request)
        done = await self._manager.register(asked)
        if done.outcome is Outcome.REGISTERED:
            return _status(200, f'Model "{done.name}" registered')
        return _status(*_STATUS[done.outcome])

    def _list(self, request: HttpRequest) -> HttpReply:
        asked = Parameters(query_values(request.query), "list of models")
        page = self._manager.list(asked.integer("limit", 100), asked.integer("next_page_token", 0))
        token = {} if page.next_offset is None else {"nextPageToken": str(page.next_offset)}
        models = [{"modelName": model.spec.name, "modelUrl": model.spec.url} for model in page.models]
        return HttpReply(200, dumps({**token, "models": models}))

    def _describe(self, name: str) -> HttpReply:
        model = self._manager.describe(name)
        workers = [self._worker(worker) for worker in model.workers()]
        return HttpReply(200, dumps({**_fields(model), "workers": workers, **_more(model, self._manager.is_closing(name))}))

    def _worker(self, worker: WorkerInfo) -> dict[str, Any]:
        more = {"pid": worker.pid, "state": worker.state, "restarts": worker.restarts, "gpuId": worker.gpu_id, "lastError": worker.last_error}
        return {
            "id": worker.id,
            "startTime": _time(worker.started_at),
            # READY from the first moment on, as it has always been; `state` has the truth
            "status": "READY",
            "gpu": worker.gpu_id is not None,
            "memoryUsage": self._resident_bytes(worker.pid),
            **_present(more),
        }

    async def _scale(self, name: str, request: HttpRequest) -> HttpReply:
        asked = Parameters(query_values(request.query), f"scaling of {name}")
        least = asked.integer("min_worker", 1)
        most = asked.integer("max_worker", least)
        synchronous = asked.is_true("synchronous", default=False)
        return _status(*_STATUS[await self._manager.scale(name, least, most, synchronous=synchronous)])

    async def _unregister(self, name: str) -> HttpReply:
        await self._manager.unregister(name)
        return _status(200, f'Model "{name}" unregistered')


class SharedDialect:
    """Both APIs on one address. The rules of inference come first."""

    def __init__(self, inference: InferenceDialect, management: ManagementDialect, added: Iterable[openapi.Added] = ()) -> None:
        self._inference = inference
        self._management = management
        self._description = ApiDescription(openapi.INFERENCE, openapi.MANAGEMENT, added=added)

    def __repr__(self) -> str:
        return f"<SharedDialect {self._inference!r} {self._management!r}>"

    def route(self, method: str, path: str, query: str) -> Action:
        """What a request asks for. Raises like both."""
        described = self._description.find(method, path, segments(path))
        if described is not None:
            return described
        return self._inference.find(method, path, query) or self._management.route(method, path, query)

    def error_reply(self, error: ArgosyError, request_id: str) -> HttpReply:
        """As for inference; management writes its own failures."""
        return self._inference.error_reply(error, request_id)


def _pick(handlers: Mapping[str, Handler], method: str) -> Handler:
    handler = handlers.get(method)
    if handler is None:
        raise not_allowed()
    return handler


def _bearer(headers: Mapping[str, str]) -> bytes:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip().encode("utf-8", "replace") if scheme.lower() == "bearer" else b""


def _status(code: int, text: str) -> HttpReply:
    return HttpReply(code, dumps({"status": text}))


def _fields(model: Model) -> dict[str, Any]:
    """What Multi Model Server says of a model, in its order, up to the workers."""
    spec = model.spec
    return _present({
        "modelName": spec.name, "modelVersion": spec.version, "modelUrl": spec.url, "engine": spec.engine, "runtime": spec.runtime,
        "minWorkers": model.min_workers, "maxWorkers": model.max_workers, "batchSize": spec.batch_size, "maxBatchDelay": spec.max_batch_delay_ms,
        "loadedAtStartup": spec.loaded_at_startup,
    })  # fmt: skip


def _more(model: Model, closing: bool) -> dict[str, Any]:
    """What we say beyond that."""
    spec, counters = model.spec, model.counters
    return {
        "state": _state(model, closing), "handler": spec.handler, "responseTimeoutSeconds": spec.response_timeout_s, "preload": spec.preload,
        "streaming": counters.streams > 0 or _known(model, "streams"), "asynchronous": _known(model, "asynchronous"), "concurrency": spec.concurrency,
        "limits": spec.confinement.limits, "user": spec.confinement.user and str(spec.confinement.user),
        "queueLength": model.waiting, "runningJobs": model.running, "restarts": counters.restarts,
        "requests": {
            "answered": counters.answered, "failed": counters.failed, "refused": counters.refused, "expired": counters.expired,
            "cancelled": counters.cancelled,
        },
    }  # fmt: skip


def _known(model: Model, name: str) -> bool | None:
    """What its workers said of the handler; None before one has loaded."""
    found = model.style.get(name)
    return found if isinstance(found, bool) else None


def _state(model: Model, closing: bool) -> str:
    """How a model is, in one word."""
    if closing:
        return "UNREGISTERING"
    if model.min_workers == 0:
        return "NO_WORKERS"
    workers = model.workers()
    loaded = sum(worker.state in ("IDLE", "BUSY") for worker in workers)
    if loaded >= model.min_workers:
        return "READY"
    if any(worker.last_error for worker in workers):
        return "DEGRADED" if loaded else "FAILING"
    return "STARTING"


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without the absent ones."""
    return {name: value for name, value in values.items() if value is not None}


def _time(seconds: float) -> str:
    """ISO 8601 in UTC with milliseconds."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
