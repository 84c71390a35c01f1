"""The jobs of a worker whose handler is asynchronous: many at once, begun in order, answered in any."""

from __future__ import annotations

import asyncio

from argosy import wire
from argosy.dataplane.dispatcher import Dispatcher
from argosy.dataplane.lane import WorkerLane
from argosy.messages import Request
from argosy.supervisor.member import Member
from argosy.supervisor.states import Event

GRACE_S = 5.0
"""The worker itself stops a handler that takes too long; one that has not done so for so much longer does not run at all."""


class ConcurrentLane(WorkerLane):
    """A lane with room for `capacity` jobs. A job that nobody waits for is stopped by a frame: the page has no place for jobs that outlive others."""

    __slots__ = ("_heard", "_patrol", "capacity")

    def __init__(self, dispatcher: Dispatcher, member: Member, capacity: int) -> None:
        super().__init__(dispatcher, member)
        self.capacity = capacity
        self._heard = 0.0
        self._patrol: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<ConcurrentLane {self.member.id} {len(self.jobs)} of {self.capacity} jobs{'' if self.open else ' closed'}>"

    @property
    def messages(self) -> int:
        """Each job counts for itself."""
        return len(self.jobs)

    @property
    def room(self) -> int:
        """How many jobs it takes now."""
        return self.capacity - len(self.jobs)

    @property
    def is_free(self) -> bool:
        """Whether it takes a job."""
        return self.room > 0

    def sent(self, now: float) -> None:
        """Jobs up to `next_seq` went out."""
        if self._patrol is None:
            self._heard = now
            self._watch()
        self.member.on(Event.SENT)

    def heard(self, now: float) -> None:
        """The worker is alive."""
        self._heard = now

    def progress(self, now: float) -> None:
        """Jobs have been answered."""
        self._heard = now
        if not self.jobs:
            if self._patrol is not None:
                self._patrol.cancel()
                self._patrol = None
            self.member.on(Event.DONE)

    def cancel(self, seq: int, job: Request) -> None:
        """Tell the worker that nobody waits for one of its jobs."""
        self.member.send(wire.frame(wire.CANCEL, id=seq))

    def lost(self, why: str, *, for_memory: bool = False) -> None:
        """The process is gone."""
        if self._patrol is not None:
            self._patrol.cancel()
            self._patrol = None
        super().lost(why, for_memory=for_memory)

    def _watch(self) -> None:
        limit_s = self._dispatcher.timeout_s
        if limit_s > 0:
            self._patrol = self._dispatcher.loop.call_at(self._heard + limit_s + GRACE_S, self._look)

    def _look(self) -> None:
        """A worker from which nothing came for so long does not stop its handlers either, unless it waits for clients."""
        self._patrol = None
        now, limit_s = self._dispatcher.loop.time(), self._dispatcher.timeout_s
        if not self.jobs:
            return
        if now < self._heard + limit_s + GRACE_S:
            self._watch()
        elif self._waits_for_a_client():
            self._heard = now
            self._watch()
        else:
            self.member.on(Event.HUNG, f"nothing came from it for {limit_s + GRACE_S:g} s (response timeout)")
