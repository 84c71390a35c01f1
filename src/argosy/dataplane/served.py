"""A model that is being served, put together: queue, dispatcher, workers and memory."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from argosy.dataplane.batcher import Policy, queue_s
from argosy.dataplane.concurrent import ConcurrentLane
from argosy.dataplane.dispatcher import Dispatcher
from argosy.dataplane.model import Counters, WorkerInfo
from argosy.dataplane.queue import JobQueue
from argosy.errors import ArgosyError, ErrorCode
from argosy.messages import PlainRequest, Request
from argosy.supervisor.arena import Arena
from argosy.supervisor.member import Lane, Member, Surroundings
from argosy.supervisor.pool import Pool
from argosy.supervisor.spec import ModelSpec
from argosy.supervisor.states import State

_log = logging.getLogger("argosy.dataplane")


class ServedModel:
    """See `dataplane.model.Model` for what it promises."""

    def __init__(
        self,
        spec: ModelSpec,
        around: Surroundings,
        number: int,
        policy: Policy,
        queue_size: int,
        arena_size: int,
        next_gpu: Callable[[], int | None],
        on_batch: Callable[[tuple[float, str, int, bytes]], None] | None = None,
    ) -> None:
        """`on_batch` is told of each batch that a handler answered: time, model, microseconds, request ids joined by commas."""
        self.spec = spec
        self.counters = Counters()
        self.min_workers = 0
        self.max_workers = 0
        self.style: Mapping[str, Any] = {}
        self._loop = around.loop
        self.arena = _arena(arena_size, spec.name)
        self._queue = JobQueue(queue_size)
        self.dispatcher = Dispatcher(spec.name, self._queue, policy, self.counters, around.loop, spec.response_timeout_s, on_batch)
        self.pool = Pool(spec, around, number, self.arena, self._offer, next_gpu, self._restarted, self._load_failed)
        self._closing = False
        self.dispatcher.refusal = _refusal(spec.name)

    def __repr__(self) -> str:
        return f"<ServedModel {self.spec.name} {self.dispatcher!r} {self.pool!r}{' closing' if self._closing else ''}>"

    def _offer(self, member: Member) -> Lane:
        if not self._closing:
            self.dispatcher.refusal = None
        self.style = member.style
        if member.style.get("asynchronous"):
            return self.dispatcher.offer_many(ConcurrentLane(self.dispatcher, member, self.spec.concurrency))
        return self.dispatcher.offer(member)

    def _load_failed(self) -> None:
        """A worker could not load the model. When none can, nobody is left waiting for them."""
        if not self._closing:
            self._refuse_or_wait()

    def _refuse_or_wait(self) -> None:
        """Requests wait as long as a worker may come, also one that has not tried yet."""
        members = self.pool.members
        if not members:
            self.dispatcher.refusal = _refusal(self.spec.name)
        elif all(member.is_hopeless for member in members):
            message = f"Model {self.spec.name} could not be loaded, so no worker can serve it; its description in the management API says why."
            self.dispatcher.refusal = ArgosyError(ErrorCode.NO_WORKER, message)
        else:
            self.dispatcher.refusal = None
        if self.dispatcher.refusal is not None:
            self.dispatcher.refuse_waiting(self.dispatcher.refusal)

    def _restarted(self) -> None:
        self.counters.restarts += 1

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """Jobs that were sent to a worker and are not settled."""
        return self.dispatcher.running

    @property
    def is_ready(self) -> bool:
        """Whether a worker has the model loaded."""
        return self.pool.is_serving

    def workers(self) -> list[WorkerInfo]:
        """The wanted workers, oldest first."""
        return [_info(member) for member in self.pool.members]

    def submit(self, request: Request) -> None:
        """Admit a request, or settle it with a refusal."""
        dispatcher = self.dispatcher
        is_plain = type(request) is PlainRequest  # nearly every one; what it cannot have is not asked for
        if not is_plain and not request.admitted_at:
            request.admitted_at = self._loop.time()
        refusal = dispatcher.refusal
        if refusal is None and not self._closing and self._queue.put(request):
            self.counters.admitted += 1
            if not dispatcher.is_awake:
                dispatcher.wake()
            if not is_plain and request.deadline:
                self._loop.call_at(request.deadline, dispatcher.expire, request.deadline)
            return
        self.counters.refused += 1
        if request.slot is not None:
            request.slot.release()
        request.sink.fail(refusal or _refusal(self.spec.name, self._drained_in_s()))

    def _drained_in_s(self) -> int:
        """Seconds until what waits now has been taken by the workers, by the measured time of the handler; at least 1."""
        workers = sum(member.state in (State.IDLE, State.BUSY) for member in self.pool.members)
        return queue_s(self.waiting, self.dispatcher.job_us, workers)

    def cancel(self, request: Request) -> None:
        """Whoever sent the request is gone."""
        self.dispatcher.cancel(request)

    async def scale(self, min_workers: int, max_workers: int) -> None:
        """See `dataplane.model.Model.scale`."""
        if self._closing:
            raise ArgosyError(ErrorCode.DRAINING, f"Model {self.spec.name} is being unregistered.")
        self.min_workers, self.max_workers = min_workers, max_workers
        members = self.pool.resize(min_workers, max_workers)
        self._refuse_or_wait()
        if min_workers:
            await _all_loaded(members[:min_workers])

    async def close(self, drain_s: float) -> None:
        """See `dataplane.model.Model.close`."""
        self._closing = True
        if drain_s > 0 and self.pool.is_serving and (self.waiting or self.running):
            drained = asyncio.Event()
            self.dispatcher.on_idle = drained.set
            started = self._loop.time()
            with contextlib.suppress(TimeoutError):
                # the last third is for what runs by then: what still waits is refused while its client can try elsewhere
                await asyncio.wait_for(drained.wait(), drain_s * 2 / 3)
            drain_s = max(0.0, drain_s - (self._loop.time() - started))
        self.min_workers = self.max_workers = 0
        refusal = ArgosyError(ErrorCode.DRAINING, f"Model {self.spec.name} was unregistered before the request was started.")
        self.dispatcher.refusal = refusal
        self.dispatcher.refuse_waiting(refusal)
        await self.pool.close(drain_s)
        if self.arena is not None:
            self.arena.close()


async def _all_loaded(members: list[Member]) -> None:
    """Wait until all have loaded; raises the first failure."""
    pending = {asyncio.ensure_future(asyncio.shield(member.loaded)) for member in members}
    done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
    for waiter in pending:
        waiter.cancel()
    failures = [waiter.exception() for waiter in done]
    for failure in filter(None, failures):
        raise failure


def _refusal(name: str, retry_after_s: int = 0) -> ArgosyError:
    message = f"No worker is available to serve request for model: {name}. Consider increasing job queue size."
    return ArgosyError(ErrorCode.NO_WORKER, message, retry_after_s=retry_after_s)


def _info(member: Member) -> WorkerInfo:
    return WorkerInfo(
        id=member.id,
        pid=member.pid,
        state=member.state.value,
        started_at=member.started_at,
        gpu_id=member.gpu_id,
        restarts=member.restarts,
        last_error=None if member.last_error is None else member.last_error.message,
    )


def _arena(size: int, name: str) -> Arena | None:
    """The model's memory for large bodies. None if there is to be none, or the system has none left: they then go through the sockets."""
    try:
        return Arena(size, f"argosy-{name}") if size > 0 else None
    except (OSError, ValueError) as error:
        _log.warning("model %s: no shared memory for large bodies: %s", name, error)
        return None
