"""The jobs that one worker has: sent in messages, answered, and looked after when nothing comes."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from argosy import wire
from argosy.dataplane.stream import Stream
from argosy.messages import Request
from argosy.supervisor.member import Member
from argosy.supervisor.states import Event

if TYPE_CHECKING:
    from argosy.dataplane.dispatcher import Dispatcher

_SILENCE_S = 0.01
"""A worker that is silent for longer may be held up by one job, while the answers to others lie in its outbox."""


class WorkerLane:
    """The jobs that one worker has. Made when it has loaded, gone when its process has ended."""

    __slots__ = ("_busy_since", "_dispatcher", "_due", "_ends", "_timer", "early", "jobs", "member", "next_seq", "open")

    def __init__(self, dispatcher: Dispatcher, member: Member) -> None:
        self._dispatcher = dispatcher
        self.member = member
        self.jobs: dict[int, Request] = {}
        self.early: set[int] = set()
        """Jobs whose answers were taken out of the outbox before they were sent."""
        self.next_seq = 1
        self.open = True
        self._ends: deque[int] = deque()
        self._busy_since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        """When the timer fires. uvloop's handle of a time that has passed already cannot be asked."""

    def __repr__(self) -> str:
        return f"<WorkerLane {self.member.id} {len(self.jobs)} jobs in {len(self._ends)} messages{'' if self.open else ' closed'}>"

    @property
    def messages(self) -> int:
        """Messages that are not answered completely."""
        return len(self._ends)

    @property
    def is_free(self) -> bool:
        """Whether it takes a job."""
        return not self._ends

    @property
    def room(self) -> int:
        """How many jobs it takes now, where workers take many at once."""
        return 0 if self._ends else 1

    def sent(self, now: float) -> None:
        """A message with the jobs up to `next_seq` went out."""
        if not self._ends:
            self._busy_since = now
        self._watch()
        self._ends.append(self.next_seq)
        self.member.on(Event.SENT)

    def heard(self, now: float) -> None:
        """The worker is alive: a piece of a streamed answer came."""
        self._busy_since = now

    def progress(self, now: float) -> None:
        """Jobs have been answered, in whatever order: those of a batch that cannot be read are answered before the others."""
        ends = self._ends
        self._busy_since = now
        oldest = next(iter(self.jobs), self.next_seq)
        while ends and ends[0] <= oldest:
            ends.popleft()
        if not ends:
            self.member.on(Event.DONE)

    def _watch(self) -> None:
        """Look after a worker that is long silent; one timer, moved only when it fires or would fire too late."""
        limit_s = self._dispatcher.timeout_s
        if len(self.jobs) > 1:
            due = self._busy_since + _SILENCE_S
        elif limit_s > 0:
            due = self._busy_since + limit_s
        else:
            return
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = self._dispatcher.loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._ends:
            return
        now = self._dispatcher.loop.time()
        limit_s = self._dispatcher.timeout_s
        # the same sums as in `_watch`, so that a timer that is due is not found early
        if limit_s > 0 and now >= self._busy_since + limit_s and self._waits_for_a_client():
            self._busy_since = now  # that is limited elsewhere
        if limit_s > 0 and now >= self._busy_since + limit_s:
            self.member.on(Event.HUNG, f"it did not answer within {limit_s:g} s (response timeout)")
            return
        if len(self.jobs) > 1 and now >= self._busy_since + _SILENCE_S:
            self._dispatcher.fetch(self)
            self._due = now + _SILENCE_S
            self._timer = self._dispatcher.loop.call_at(self._due, self._look)
        else:
            self._watch()

    def _waits_for_a_client(self) -> bool:
        return any(isinstance(job.sink, Stream) and job.sink.is_stalled for job in self.jobs.values())

    def chunk(self, seq: int, data: bytes) -> None:
        """A piece of a streamed answer came. Raises `wire.WireError` unless the answer has begun."""
        job = self.jobs.get(seq)
        if job is None or not isinstance(job.sink, Stream):
            raise wire.WireError(f"a piece of the answer to job {seq}, which has not begun")
        self.heard(self._dispatcher.loop.time())
        job.sink.chunk(data)

    def cancel(self, seq: int, job: Request) -> None:
        """Tell the worker that nobody waits for one of its jobs."""
        if self.member.page is not None:
            self.member.page.cancel(seq)
        if isinstance(job.sink, Stream):
            job.sink.cancel()

    def body(self, place: wire.Place) -> memoryview:
        """The body of an answer that lies in the memory of its worker. Raises `wire.WireError` when there is no such place."""
        if self.member.page is None:
            raise wire.WireError("an answer in the memory of a worker that has none")
        return self.member.page.body(place)

    def answers(self, data: memoryview) -> None:
        """Answer records came from the worker."""
        self._dispatcher.answered(self, data)

    def withdraw(self) -> None:
        """No more jobs for this worker."""
        self.open = False
        self._dispatcher.withdrawn(self)

    def lost(self, why: str, *, for_memory: bool = False) -> None:
        """The process is gone, killed for lack of memory or not."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._dispatcher.lost(self, why, for_memory=for_memory)
