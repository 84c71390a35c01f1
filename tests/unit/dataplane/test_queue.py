"""The queue against a plain list."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from argosy.dataplane.queue import JobQueue
from argosy.messages import JobState, Request
from fakes.dataplane import request

LIMIT = 5


def test_a_full_queue_refuses() -> None:
    """The job after the last place is not taken and stays as it was."""
    queue = JobQueue(1)
    assert queue.put(request())
    late = request()
    assert not queue.put(late)
    assert late.state is JobState.NEW
    assert (len(queue), repr(queue)) == (1, "<JobQueue 1 of 1>")


def test_nothing_waits() -> None:
    """An empty queue has nothing to take and no oldest job."""
    queue = JobQueue(1)
    assert queue.take(3) == []
    with pytest.raises(IndexError):
        queue.oldest_at()


def test_holes_do_not_outgrow_the_queue() -> None:
    """Jobs that are cancelled while nobody takes any do not pile up in memory."""
    queue = JobQueue(10)
    for _ in range(1000):
        job = request()
        assert queue.put(job)
        queue.discard(job)
    assert len(queue._jobs) <= 2 * 10 + 64


def test_deadlines() -> None:
    """Only waiting jobs expire, at their deadline, and jobs without one never."""
    queue = JobQueue(10)
    early, late, without = request(deadline=5.0), request(deadline=6.0), request()
    for job in (early, late, without):
        queue.put(job)
    assert queue.expired(4.9) == []
    assert queue.expired(5.0) == [early]
    queue.discard(early)
    assert queue.expired(100.0) == [late]


class Against(RuleBasedStateMachine):
    """Random calls; the model is a list of the jobs that wait, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = JobQueue(LIMIT)
        self.waiting: list[Request] = []
        self.sent: list[Request] = []
        self.gone: list[Request] = []
        self.time = 0.0

    @rule()
    def put(self) -> None:
        job = request()
        self.time += 1
        job.admitted_at = self.time
        assert self.queue.put(job) is (len(self.waiting) < LIMIT)
        if job.state is JobState.WAITING:
            self.waiting.append(job)

    @rule(count=st.integers(1, 4))
    def take(self, count: int) -> None:
        taken = self.queue.take(count)
        assert taken == self.waiting[:count]
        del self.waiting[:count]
        self.sent += taken

    @rule(count=st.integers(1, 4))
    def put_back(self, count: int) -> None:
        back, self.sent = self.sent[:count], self.sent[count:]
        self.queue.put_back(back)
        self.waiting = back + self.waiting

    @rule(place=st.integers(0, 10))
    def discard(self, place: int) -> None:
        if self.waiting:
            job = self.waiting.pop(place % len(self.waiting))
            self.queue.discard(job)
            self.gone.append(job)

    @invariant()
    def same(self) -> None:
        assert self.queue.waiting() == self.waiting
        assert len(self.queue) == len(self.waiting)
        if self.waiting:
            assert self.queue.oldest_at() == self.waiting[0].admitted_at
        assert all(job.state is JobState.WAITING for job in self.waiting)
        assert all(job.state is JobState.SENT for job in self.sent)
        assert all(job.state is JobState.SETTLED for job in self.gone)


TestQueueAgainstAList = Against.TestCase
