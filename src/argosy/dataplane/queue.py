"""The waiting jobs of one model: bounded, in order, and free to leave."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from argosy.messages import JobState, Request

_WAITING = JobState.WAITING
_SENT = JobState.SENT


class JobQueue:
    """First in, first out, at most `limit` waiting jobs. A job that was cancelled stays in the deque as a hole until its turn or a sweep."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._jobs: deque[Request] = deque()
        self._live = 0

    def __repr__(self) -> str:
        return f"<JobQueue {self._live} of {self.limit}>"

    def __len__(self) -> int:
        return self._live

    def put(self, job: Request) -> bool:
        """Append a job; False when the queue is full."""
        if self._live >= self.limit:
            return False
        job.state = _WAITING
        self._jobs.append(job)
        self._live += 1
        return True

    def put_back(self, jobs: Iterable[Request]) -> None:
        """Put jobs that never reached a handler before all others, in their order. They were admitted: the limit does not apply."""
        for job in reversed(list(jobs)):
            job.state = _WAITING
            self._jobs.appendleft(job)
            self._live += 1

    def take(self, count: int) -> list[Request]:
        """The next jobs, at most `count`; they are SENT from now on."""
        jobs = self._jobs
        if len(jobs) == self._live <= count:  # all, and no holes among them
            taken = list(jobs)
            jobs.clear()
        else:
            taken = []
            while jobs and len(taken) < count:
                job = jobs.popleft()
                if job.state is _WAITING:
                    taken.append(job)
        for job in taken:
            job.state = _SENT
        self._live -= len(taken)
        return taken

    def oldest_at(self) -> float:
        """When the first waiting job was admitted. Raises `IndexError` when none waits."""
        jobs = self._jobs
        while jobs[0].state is not _WAITING:
            jobs.popleft()
        return jobs[0].admitted_at

    def discard(self, job: Request) -> None:
        """A waiting job leaves; its state is SETTLED from now on."""
        job.state = JobState.SETTLED
        self._live -= 1
        # holes must not outgrow the queue when nobody takes from it
        if len(self._jobs) > 2 * self._live + 64:
            self._jobs = deque(job for job in self._jobs if job.state is _WAITING)

    def expired(self, now: float) -> list[Request]:
        """The waiting jobs whose deadline has passed."""
        return [job for job in self._jobs if job.state is _WAITING and 0.0 < job.deadline <= now]

    def waiting(self) -> list[Request]:
        """All waiting jobs, in order."""
        return [job for job in self._jobs if job.state is _WAITING]
