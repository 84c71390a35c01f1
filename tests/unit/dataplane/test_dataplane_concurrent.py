"""Workers that take many jobs at once: who gets how many, who is stopped, and what a dead one takes along."""

from __future__ import annotations

from argosy import wire
from argosy.dataplane.batcher import Policy
from argosy.dataplane.concurrent import GRACE_S
from argosy.dataplane.dispatcher import Dispatcher
from argosy.dataplane.model import Counters
from argosy.dataplane.queue import JobQueue
from argosy.errors import ErrorCode
from argosy.messages import Request
from argosy.supervisor.states import Event
from argosy.testing.loop import FakeLoop
from fakes.dataplane import FakeMember, FakeSlot, client_of, request


class World:
    """One dispatcher of a model whose handler is asynchronous."""

    def __init__(self, timeout_s: float = 60.0, capacity: int = 4) -> None:
        self.loop = FakeLoop()
        self.counters = Counters()
        self.queue = JobQueue(1000)
        self.capacity = capacity
        self.dispatcher = Dispatcher("m", self.queue, Policy(8, 5.0), self.counters, self.loop, timeout_s)

    def member(self, id: str = "w1") -> FakeMember:
        """A worker that has loaded."""
        member = FakeMember(self.dispatcher, id, capacity=self.capacity)
        self.loop.run()
        return member

    def submit(self, count: int = 1, slot: FakeSlot | None = None) -> list[Request]:
        """Admit jobs."""
        jobs = [request(slot=slot) for _ in range(count)]
        for job in jobs:
            job.admitted_at = self.loop.time()
            assert self.queue.put(job)
            self.counters.admitted += 1
        self.dispatcher.wake()
        self.loop.run()
        return jobs


def hung(member: FakeMember) -> list[str]:
    """Why it was given up."""
    return [why for event, why in member.events if event is Event.HUNG]


def test_a_worker_gets_as_many_as_it_has_room_for() -> None:
    """At once, without waiting for a batch, and the next one as soon as any is answered, whichever it is."""
    world = World()
    member = world.member()
    assert repr(member.lane) == "<ConcurrentLane w1 0 of 4 jobs>"
    jobs = world.submit(6)
    assert (member.has, len(world.queue)) == ([1, 2, 3, 4], 2)
    member.answer(3)
    world.loop.run()
    assert (member.has, client_of(jobs[2]).body) == ([1, 2, 4, 5], b"3")
    member.answer(1, 2)
    world.loop.run()
    assert member.has == [4, 5, 6]
    assert Event.DONE not in [event for event, _ in member.events]
    member.answer(4, 5, 6)
    assert member.events[-1] == (Event.DONE, "")
    assert (world.counters.answered, world.dispatcher.running) == (6, 0)


def test_workers_share_what_waits() -> None:
    """The one with the most room comes first; none gets what another one could begin now."""
    world = World()
    first, second = world.member("w1"), world.member("w2")
    world.submit(2)
    assert (len(first.has), len(second.has)) == (1, 1)
    world.submit(4)
    assert (len(first.has), len(second.has)) == (3, 3)
    first.answer(*first.has)
    world.submit(3)
    assert (len(first.has), len(second.has)) == (3, 3)


def test_one_message_carries_a_bounded_number() -> None:
    """However much room there is."""
    world = World(capacity=200)
    member = world.member()
    world.submit(150)
    assert [len(message) for message in member.messages] == [wire.MAX_JOBS, wire.MAX_JOBS, 150 - 2 * wire.MAX_JOBS]


def test_a_job_that_nobody_waits_for_is_stopped_by_a_frame() -> None:
    """The place in the page could be that of a job which runs a thousand jobs later; the slot of the body is held until the worker has answered."""
    world, slot = World(), FakeSlot()
    member = world.member()
    (job,) = world.submit(slot=slot)
    world.dispatcher.cancel(job)
    assert member.told == [(wire.CANCEL, 1, 0)]
    assert not member.is_cancelled(1)
    assert slot.released == 0
    member.say(wire.failure_record(1, ErrorCode.CANCELLED, "nobody"))
    assert (slot.released, world.counters.cancelled, world.counters.failed, client_of(job).outcomes) == (1, 1, 0, [])


def test_a_dead_worker_fails_what_it_had_begun_and_not_answered() -> None:
    """What lies in its outbox is delivered, and what it had not begun goes to the next worker."""
    world = World()
    member = world.member()
    jobs = world.submit(4)
    member.answer(2)
    member.begin(3)
    member.leave_unsent(wire.answer_record(1, 200, b"unsent"))
    member.die()
    assert (client_of(jobs[0]).body, client_of(jobs[1]).body, client_of(jobs[2]).error.code) == (b"unsent", b"2", ErrorCode.WORKER_DIED)
    second = world.member("w2")
    second.answer(1)
    assert client_of(jobs[3]).body == b"1"


def test_a_worker_that_runs_is_not_given_up() -> None:
    """It limits its handlers itself: one that says anything within the time is alive, however long a job takes."""
    world = World(timeout_s=10.0)
    member = world.member()
    world.submit(2)
    for _ in range(5):
        world.loop.advance(10.0 + GRACE_S - 1)
        (next_job,) = world.submit(1)
        member.answer(max(member.has))
        assert len(client_of(next_job).outcomes) == 1
    assert hung(member) == []
    world.loop.advance(10.0 + GRACE_S + 1)
    assert hung(member) == ["nothing came from it for 15 s (response timeout)"]


def test_new_jobs_do_not_hide_that_a_worker_is_stuck() -> None:
    """What is sent is no sign of life."""
    world = World(timeout_s=10.0)
    member = world.member()
    for _ in range(4):
        world.submit(1)
        world.loop.advance(4.0)
    assert len(hung(member)) == 1


def test_an_idle_worker_is_left_alone() -> None:
    """Its time runs from the next job on; without a limit it never does."""
    world = World(timeout_s=10.0)
    member = world.member()
    world.submit(1)
    member.answer(1)
    world.loop.advance(100.0)
    world.submit(1)
    world.loop.advance(14.0)
    assert hung(member) == []
    endless = World(timeout_s=0.0)
    other = endless.member()
    endless.submit(1)
    endless.loop.advance(1e6)
    assert hung(other) == []


def test_a_stalled_client_is_not_the_workers_fault() -> None:
    """A worker all of whose answers wait for room is silent with reason; once one client makes room it is not any more."""
    world = World(timeout_s=10.0)
    member = world.member()
    (job,) = world.submit(1)
    member.begin_stream(1, b"x" * wire.PIECE, b"x" * wire.PIECE)
    world.loop.advance(100.0)
    assert hung(member) == []
    client = client_of(job)
    assert client.flow is not None
    client.flow.drained()
    world.loop.advance(31.0)
    assert len(hung(member)) == 1


def test_a_withdrawn_worker_finishes_what_it_has() -> None:
    """It gets nothing new, and tells when it is done."""
    world = World()
    member = world.member()
    world.submit(2)
    member.lane.withdraw()
    world.submit(1)
    assert member.has == [1, 2]
    assert "closed" in repr(member.lane)
    member.answer(1, 2)
    assert member.events[-1] == (Event.DONE, "")
    assert len(world.queue) == 1


def test_a_plain_worker_among_them_gets_one_at_a_time() -> None:
    """A handler may have changed between two loads."""
    world = World()
    world.member()
    plain = FakeMember(world.dispatcher, "w2")
    world.submit(10)
    assert len(plain.has) == 1
    plain.answer(*plain.has)
    world.loop.run()
    assert len(plain.has) == 1
