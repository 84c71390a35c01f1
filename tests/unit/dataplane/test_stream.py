"""A streamed answer between worker and client: credit, cancelling, failing clients, and dead workers."""

from __future__ import annotations

import logging

import pytest

from argosy import wire
from argosy.dataplane.batcher import Policy
from argosy.dataplane.dispatcher import Dispatcher
from argosy.dataplane.model import Counters
from argosy.dataplane.queue import JobQueue
from argosy.errors import ErrorCode
from argosy.messages import JobState, Request
from argosy.supervisor.states import Event
from argosy.testing.loop import FakeLoop
from fakes.dataplane import Client, FakeMember, FakeSlot, client_of, request

HEAD = wire.HEADER.size


class World:
    """One dispatcher with a worker that streams."""

    def __init__(self, timeout_s: float = 60.0, batch_size: int = 1, streams: bool = True) -> None:
        self.loop = FakeLoop()
        self.counters = Counters()
        self.queue = JobQueue(100)
        self.dispatcher = Dispatcher("m", self.queue, Policy(batch_size, 0.0), self.counters, self.loop, timeout_s)
        self.member = FakeMember(self.dispatcher, streams=streams)

    def submit(self, *clients: Client, slot: FakeSlot | None = None) -> list[Request]:
        """Admit a job for each client."""
        jobs = [request(client=client, slot=slot) for client in clients]
        for job in jobs:
            job.admitted_at = self.loop.time()
            assert self.queue.put(job)
            self.counters.admitted += 1
        self.dispatcher.wake()
        self.loop.run()
        return jobs

    def end(self, seq: int) -> None:
        """The worker says that the answer is whole."""
        self.member.say(wire.answer_record(seq, 200, b"", busy_us=5))

    def cut(self, seq: int) -> None:
        """The worker says that the rest will not come."""
        self.member.say(wire.failure_record(seq, ErrorCode.HANDLER_FAILED, "boom"))


@pytest.mark.parametrize("status", [200, 201])
def test_a_last_record_ends_the_answer(status: int) -> None:
    """Whatever it says beside: the head has been sent."""
    world = World()
    (job,) = world.submit(Client())
    world.member.begin_stream(1, b"a")
    world.member.say(wire.answer_record(1, status, b""))
    assert client_of(job).body == b"a"
    assert (world.counters.answered, world.dispatcher.running) == (1, 0)


def test_pieces_reach_the_client_and_the_end_settles() -> None:
    """Once, as answered; the slot of the body is held until then."""
    world, slot = World(), FakeSlot()
    (job,) = world.submit(Client(), slot=slot)
    world.loop.advance(2.0)
    world.member.begin_stream(1, b"a", b"b", headers=wire.header_block([("X-A", "1")]))
    client = client_of(job)
    assert (client.pieces, client.outcomes, slot.released, world.dispatcher.running) == ([b"a", b"b"], [], 0, 1)
    world.end(1)
    assert (client.body, slot.released, job.state, world.dispatcher.running) == (b"ab", 1, JobState.SETTLED, 0)
    counters = world.counters
    assert (counters.answered, counters.streams, counters.first_piece_us, counters.batches, counters.handler_us) == (1, 1, 2_000_000, 1, 5)
    assert world.member.events[-1] == (Event.DONE, "")


def test_a_cut_answer_fails_once() -> None:
    """Whatever came before; the worker is free for the next job."""
    world = World()
    (job, _) = world.submit(Client(), Client())
    world.member.begin_stream(1, b"a")
    world.cut(1)
    world.loop.run()
    assert (client_of(job).error.code, world.counters.failed, world.member.has) == (ErrorCode.HANDLER_FAILED, 1, [2])


@pytest.mark.parametrize("seq", [1, 2, 7])
def test_a_piece_of_what_has_not_begun_ends_the_link(seq: int) -> None:
    """Neither a job that has no head yet nor one that is not there can have pieces."""
    world = World(streams=False)
    world.submit(Client(), Client())
    with pytest.raises(wire.WireError):
        world.member.lane.chunk(seq, b"x")


def test_an_answer_begins_once_and_alone() -> None:
    """A second head, or one among whole answers, ends the link."""
    world = World()
    world.submit(Client())
    world.member.begin_stream(1)
    with pytest.raises(wire.WireError):
        world.member.begin_stream(1)
    other = World()
    other.submit(Client())
    with pytest.raises(wire.WireError):
        other.member.say(wire.answer_record(1, 200, b"", flags=0), wire.answer_record(1, 200, b""))
    with pytest.raises(wire.WireError):
        other.member.say(wire.answer_record(1, 0, b"", flags=wire.FAILED))


def test_credit_follows_the_client() -> None:
    """Small pieces cost no message back; a client that makes no room stalls the worker, and one that does lets it go on."""
    world = World()
    (job,) = world.submit(Client())
    world.member.begin_stream(1, *[b"x" * (1000 - HEAD)] * 50)
    client = client_of(job)
    assert client.flow is not None
    client.flow.drained()
    assert world.member.told == []
    world.member.lane.chunk(1, b"x" * (wire.PIECE - HEAD))
    client.flow.drained()
    total = 50 * 1000 + wire.PIECE
    assert world.member.told == [(wire.CREDIT, 1, total)]
    client.flow.drained()
    assert len(world.member.told) == 1
    for _ in range(2):
        world.member.lane.chunk(1, b"x" * (wire.PIECE - HEAD))
    assert "stalled" in repr(job.sink)
    client.flow.drained()
    assert world.member.told[1:] == [(wire.CREDIT, 1, total + 2 * wire.PIECE)]
    assert "stalled" not in repr(job.sink)


def test_a_client_that_leaves_wakes_the_worker() -> None:
    """By the page and by a frame, should it wait for room; what still comes is dropped, credit is not given any more."""
    world, slot = World(), FakeSlot()
    (job,) = world.submit(Client(), slot=slot)
    world.member.begin_stream(1, b"x" * 70_000)
    world.dispatcher.cancel(job)
    assert world.member.is_cancelled(1)
    assert world.member.told == [(wire.CANCEL, 1, 0)]
    world.member.lane.chunk(1, b"late" * 40_000)
    client = client_of(job)
    assert client.flow is not None
    client.flow.drained()
    assert (len(client.pieces), len(world.member.told), slot.released) == (1, 1, 0)
    world.cut(1)
    assert (client.outcomes, slot.released, world.counters.cancelled, world.counters.failed) == ([], 1, 1, 0)
    assert not world.member.is_cancelled(1)


def test_a_client_that_left_before_the_first_piece() -> None:
    """The worker does not know yet and may begin: nothing reaches the sink."""
    world = World()
    (job,) = world.submit(Client())
    world.dispatcher.cancel(job)
    world.member.begin_stream(1, b"a")
    world.end(1)
    client = client_of(job)
    assert (client.flow, client.pieces, client.outcomes, world.counters.cancelled) == (None, [], [], 1)


def test_a_broken_client_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """Its trouble stays its own: the link goes on, and the worker learns that nobody reads."""
    world = World()
    (job, other) = world.submit(Client(broken=True), Client())
    with caplog.at_level(logging.ERROR):
        world.member.begin_stream(1, b"a", b"b")
    assert "could not be given the streamed answer" in caplog.text
    assert (job.state, world.counters.cancelled, client_of(job).pieces) == (JobState.SETTLED, 1, [])
    world.cut(1)
    world.loop.run()
    world.member.answer(2)
    assert client_of(other).body == b"2"


def test_a_dead_worker_cuts_what_it_streamed() -> None:
    """The streamed answer fails and is never given to another worker, whatever the page says; the next job is."""
    world = World(streams=False)
    world.dispatcher.job_us = 1.0
    (job, other) = world.submit(Client(), Client())
    assert world.member.has == [1, 2]
    world.member.begin_stream(1, b"a")
    world.member.die()
    assert client_of(job).error.code is ErrorCode.WORKER_DIED
    second = FakeMember(world.dispatcher, "w2")
    world.loop.run()
    second.answer(1)
    assert client_of(other).body == b"1"


def test_a_model_that_streams_gets_one_job_a_message() -> None:
    """From the load on if it is declared so, from the first streamed answer on if it is not; however quick it is."""
    declared = World(batch_size=4)
    declared.dispatcher.job_us = 0.0
    declared.submit(*[Client() for _ in range(8)])
    assert [len(message) for message in declared.member.messages] == [1]
    found = World(streams=False)
    found.submit(Client())
    found.member.begin_stream(1)
    found.end(1)
    found.dispatcher.job_us = 0.0
    found.submit(*[Client() for _ in range(8)])
    assert [len(message) for message in found.member.messages] == [1, 1]


def test_silence_between_pieces_is_limited() -> None:
    """The response timeout runs to the first piece, and from each piece to the next."""
    world = World(timeout_s=10.0)
    world.submit(Client())
    world.loop.advance(9.0)
    world.member.begin_stream(1)
    world.loop.advance(9.0)
    world.member.lane.chunk(1, b"a")
    world.loop.advance(9.0)
    assert Event.HUNG not in [event for event, _ in world.member.events]
    world.loop.advance(2.0)
    assert world.member.events[-1] == (Event.HUNG, "it did not answer within 10 s (response timeout)")


def test_a_slow_client_is_not_the_workers_fault() -> None:
    """A worker that waits for room is not hung; once there is room its time runs again."""
    world = World(timeout_s=10.0)
    (job,) = world.submit(Client())
    world.member.begin_stream(1, b"x" * wire.PIECE, b"x" * wire.PIECE)
    world.loop.advance(35.0)
    assert Event.HUNG not in [event for event, _ in world.member.events]
    client = client_of(job)
    assert client.flow is not None
    client.flow.drained()
    world.loop.advance(21.0)
    assert world.member.events[-1][0] is Event.HUNG
