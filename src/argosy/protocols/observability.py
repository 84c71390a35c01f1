"""What tells operators and load balancers how the server is: health, liveness, readiness and metrics."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from argosy.config import parse_target
from argosy.control.startup import Startup
from argosy.dataplane.model import Counters, Model, WorkerInfo
from argosy.dataplane.registry import Registry
from argosy.metrics.exposition import CONTENT_TYPE, Exposition
from argosy.metrics.instruments import ModelFigures, WorkerFigures
from argosy.protocols.endpoint import Call, HttpReply, HttpRequest, Scope
from argosy.protocols.json_layout import dumps
from argosy.protocols.status import RETRY_AFTER_S, not_allowed

HEALTHY = "Healthy"
PARTIAL = "Partial Healthy"
UNHEALTHY = "Unhealthy"

PATIENCE_S = 0.5
"""How long /ping waits for the start to be over before it says 503: shorter than the one second that probes usually allow."""

_SERVING = frozenset({"IDLE", "BUSY", "DRAINING"})
_DOWN = frozenset({"STOPPED", "STOPPING", "BACKOFF"})


@dataclass(frozen=True, slots=True)
class ModelHealth:
    """What health depends on, of one model."""

    name: str
    wanted: int
    serving: int
    """Workers that have the model loaded."""
    up: int
    """Workers that are not known to be down: those that start for the first time count too."""
    at_startup: bool


def model_health(model: Model) -> ModelHealth:
    """The health of a model now."""
    workers = model.workers()
    serving, up = sum(worker.state in _SERVING for worker in workers), sum(map(_is_up, workers))
    return ModelHealth(model.spec.name, model.min_workers, serving, up, model.spec.loaded_at_startup)


def _is_up(worker: WorkerInfo) -> bool:
    """Not down, and not trying again after a failure: each attempt would look healthy for a moment."""
    return worker.state in _SERVING or (worker.state not in _DOWN and worker.last_error is None)


def overall(models: list[ModelHealth]) -> str:
    """How many of the wanted workers run, in Multi Model Server's words."""
    wanted, up = sum(model.wanted for model in models), sum(model.up for model in models)
    if up >= wanted:
        return HEALTHY
    return PARTIAL if up else UNHEALTHY


def _name(target: str) -> str:
    """The model's name if the target gives it one."""
    return parse_target(target).name or target


def why_not_serving(models: list[ModelHealth], startup: Startup) -> str | None:
    """Why no request should be sent here; None when they should.

    That is: the operator's models still load for the first time, or not one of them can serve.
    """
    if startup.pending:
        return "The models of the start are still loading: " + ", ".join(sorted(map(_name, startup.pending)))
    needed = [model for model in models if model.at_startup and model.wanted > 0]
    if needed:
        return None if any(model.serving for model in needed) else "None of the models of the start can serve; their descriptions say why."
    if startup.failed and not any(model.serving for model in models):
        return "None of the models of the start could be registered; the log says why."
    return None


def not_ready(models: list[ModelHealth], startup: Startup) -> list[str]:
    """Everything that is not as the operator wants it: what still loads, what could not be registered, and workers that are missing."""
    pending = [f"{_name(target)} is still loading" for target in sorted(startup.pending)]
    failed = [f"{_name(target)} could not be registered: {error.message}" for target, error in sorted(startup.failed.items())]
    short = [f"model {model.name} has {model.serving} of {model.wanted} workers" for model in models if model.serving < model.wanted]
    return pending + failed + short


class Observability:
    """Answers `/ping`, `/livez`, `/readyz` and `/metrics`. `is_draining` says whether the server takes no new work."""

    def __init__(
        self,
        registry: Registry,
        startup: Startup,
        exposition: Exposition,
        *,
        ping_always_200: bool,
        is_draining: Callable[[], bool],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._registry = registry
        self._startup = startup
        self._exposition = exposition
        self._ping_always_200 = ping_always_200
        self._is_draining = is_draining
        self._patience_s = patience_s
        self.routes: dict[str, Callable[[HttpRequest], HttpReply]] = {"livez": self.livez, "readyz": self.readyz, "metrics": self.metrics}
        """By the only segment of their path; on every listener."""

    def call(self, segment: str) -> Call:
        """The action of one of the `routes`."""
        return Call(self.routes[segment], Scope.SCRAPE if segment == "metrics" else Scope.HEALTH)

    def ping(self, request: HttpRequest) -> HttpReply | Awaitable[HttpReply]:
        """Health in Multi Model Server's words; 503 while no request should be sent here, unless the policy is `mms`.

        While models of the start still load the reply waits a moment for them: whoever asks right after the start of quick ones hears no 503.
        """
        return self._ping_after_start() if self._startup.pending and not self._ping_always_200 else self._ping_now()

    async def _ping_after_start(self) -> HttpReply:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._startup.over(), self._patience_s)
        return self._ping_now()

    def _ping_now(self) -> HttpReply:
        models = self._health()
        why = None if self._ping_always_200 else why_not_serving(models, self._startup)
        if why is None:
            return HttpReply(200, dumps({"status": overall(models)}))
        return _unavailable({"status": UNHEALTHY, "reason": why})

    def livez(self, request: HttpRequest) -> HttpReply:
        """200 whenever this can be answered at all."""
        _only_reads(request)
        return HttpReply(200, dumps({"status": "alive"}))

    def readyz(self, request: HttpRequest) -> HttpReply:
        """200 only when every model has all its workers, none failed at the start, and the server is not going away."""
        _only_reads(request)
        missing = not_ready(self._health(), self._startup)
        if self._is_draining():
            missing.insert(0, "the server is shutting down")
        return _unavailable({"status": "not ready", "reasons": missing}) if missing else HttpReply(200, dumps({"status": "ready"}))

    def metrics(self, request: HttpRequest) -> HttpReply:
        """All metrics in Prometheus' text format."""
        _only_reads(request)
        return HttpReply(200, self._exposition.render(), CONTENT_TYPE)

    def _health(self) -> list[ModelHealth]:
        return [model_health(model) for model in self._registry]


def model_figures(registry: Registry) -> Iterator[ModelFigures]:
    """The figures of all models for `metrics.exposition`."""
    for model in registry:
        counters = model.counters
        yield ModelFigures(
            name=model.spec.name,
            outcomes=_outcomes(counters),
            batches=counters.batches,
            handler_s=counters.handler_us / 1e6,
            queue_s=counters.queue_us / 1e6,
            streams=counters.streams,
            first_piece_s=counters.first_piece_us / 1e6,
            restarts=counters.restarts,
            waiting=model.waiting,
            running=model.running,
            workers=tuple(WorkerFigures(worker.id, worker.state, worker.pid) for worker in model.workers()),
        )


def _outcomes(counters: Counters) -> dict[str, int]:
    return {
        "answered": counters.answered, "failed": counters.failed, "refused": counters.refused, "expired": counters.expired,
        "cancelled": counters.cancelled,
    }  # fmt: skip


def _unavailable(body: dict[str, object]) -> HttpReply:
    return HttpReply(503, dumps(body), headers=(("Retry-After", str(RETRY_AFTER_S)),))


def _only_reads(request: HttpRequest) -> None:
    if request.method not in ("GET", "HEAD"):
        raise not_allowed()
