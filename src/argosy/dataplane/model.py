"""A model that is being served: what it is, its waiting jobs, its workers and the counters of its traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from argosy.messages import Request
from argosy.supervisor.spec import ModelSpec


@dataclass(slots=True)
class Counters:
    """What happened to the jobs of a model since it was registered. Written by the dataplane, read by `metrics`.

    admitted = answered + refused_late + expired + cancelled + failed + waiting + running, at any moment.
    """

    admitted: int = 0
    refused: int = 0
    """Never admitted: no worker, queue full, draining."""
    answered: int = 0
    expired: int = 0
    cancelled: int = 0
    failed: int = 0
    batches: int = 0
    handler_us: int = 0
    """Microseconds that handlers ran."""
    queue_us: int = 0
    """Microseconds that answered jobs waited before they were sent."""
    restarts: int = 0
    streams: int = 0
    """Answers that came in pieces and were begun."""
    first_piece_us: int = 0
    """Microseconds from the admission of these jobs to the first piece."""


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """One worker as describe and metrics show it."""

    id: str
    """Stable for the life of the worker slot, e.g. `9000-ab03d264`."""
    pid: int | None
    """None while no process runs."""
    state: str
    """Name of the worker state: SPAWNING, LOADING, IDLE, BUSY, DRAINING, STOPPING, BACKOFF or STOPPED."""
    started_at: float
    """Wall clock, seconds since the epoch."""
    gpu_id: int | None
    restarts: int
    last_error: str | None
    """Why the last load failed or the last process ended; None if nothing went wrong."""


class Model(Protocol):
    """A served model. Made by the composition root for `control.manager`."""

    spec: ModelSpec
    counters: Counters
    min_workers: int
    max_workers: int
    style: Mapping[str, Any]
    """What its workers said of the handler when they had loaded it: whether it `streams`, whether it is `asynchronous`. Empty before."""

    def workers(self) -> list[WorkerInfo]:
        """The wanted workers, oldest first."""

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""

    @property
    def running(self) -> int:
        """Jobs that were sent to a worker and are not settled."""

    async def scale(self, min_workers: int, max_workers: int) -> None:
        """Bring the number of workers to at least `min` and at most `max` and wait until all of the wanted ones have loaded once.

        Returns at once when nothing has to start. Workers that are too many finish what they run. Raises `ArgosyError`
        LOAD_FAILED (or OUT_OF_MEMORY) with the handler's message and traceback in `detail` at the first worker that fails to load;
        the workers keep trying with growing pauses until they are scaled away.
        """

    async def close(self, drain_s: float) -> None:
        """Answer what is queued and running for at most `drain_s` seconds, fail the rest, end every process and free all memory."""

    def submit(self, request: Request) -> None:
        """Admit a request or settle it with a refusal; never raises. See `dataplane.inference`."""
