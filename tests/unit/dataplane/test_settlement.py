"""Every admitted job ends once, whatever happens in whatever order: random events against one dispatcher."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from argosy import wire
from argosy.dataplane.batcher import Policy
from argosy.dataplane.dispatcher import Dispatcher
from argosy.dataplane.model import Counters
from argosy.dataplane.queue import JobQueue
from argosy.dataplane.stream import Stream
from argosy.errors import ArgosyError, ErrorCode
from argosy.messages import JobState, Request, Response
from argosy.testing.loop import FakeLoop
from fakes.dataplane import Client, FakeMember, FakeSlot, client_of, request

PLACES = st.integers(0, 100)


class Storm(RuleBasedStateMachine):
    """Clients submit and leave, deadlines pass, workers come, begin, answer, lie, withdraw and die."""

    @initialize(batch_size=st.sampled_from([1, 1, 2, 3]), limit=st.integers(1, 20), capacity=st.sampled_from([0, 0, 1, 3]))
    def build(self, batch_size: int, limit: int, capacity: int) -> None:
        self.capacity = capacity
        self.loop = FakeLoop()
        self.counters = Counters()
        self.queue = JobQueue(limit)
        self.dispatcher = Dispatcher("m", self.queue, Policy(batch_size, 0.1), self.counters, self.loop, 60.0)
        self.members: list[FakeMember] = []
        self.admitted: list[Request] = []
        self.left: set[int] = set()
        self.slots: list[FakeSlot] = []

    @rule(count=st.integers(1, 6), deadline=st.booleans(), large=st.booleans(), broken=st.booleans())
    def submit(self, count: int, deadline: bool, large: bool, broken: bool) -> None:
        for _ in range(count):
            slot = FakeSlot() if large else None
            job = request(client=Client(broken=broken), deadline=self.loop.time() + 1 if deadline else 0.0, slot=slot)
            job.admitted_at = self.loop.time()
            if self.queue.put(job):
                self.counters.admitted += 1
                self.admitted.append(job)
                self.slots += [slot] if slot else []
                self.dispatcher.wake()

    @rule(quick=st.booleans())
    def come(self, quick: bool) -> None:
        if len(self.members) < 4:
            self.members.append(FakeMember(self.dispatcher, f"w{len(self.members)}", capacity=self.capacity))
        if quick:
            self.dispatcher.job_us = 10.0

    @rule()
    def turn(self) -> None:
        self.loop.run()
        assert self.loop.failures == []

    @rule(seconds=st.sampled_from([0.05, 0.2, 2.0]))
    def pass_time(self, seconds: float) -> None:
        self.loop.advance(seconds)
        self.dispatcher.expire(self.loop.time())

    @precondition(lambda self: self.admitted)
    @rule(place=PLACES)
    def leave(self, place: int) -> None:
        job = self.admitted[place % len(self.admitted)]
        if job.state is not JobState.SETTLED:
            self.left.add(id(job))
        self.dispatcher.cancel(job)

    @precondition(lambda self: self.members)
    @rule(place=PLACES)
    def begin(self, place: int) -> None:
        member = self.members[place % len(self.members)]
        if member.has:
            assert member.page is not None
            member.begin(max(member.page.begun - 1, member.has[place % len(member.has)]))

    @precondition(lambda self: self.members)
    @rule(place=PLACES, count=st.integers(1, 5), failed=st.booleans(), backwards=st.booleans(), in_place=st.booleans())
    def answer(self, place: int, count: int, failed: bool, backwards: bool, in_place: bool) -> None:
        member = self.members[place % len(self.members)]
        seqs = sorted(member.has[:count], reverse=backwards)
        if seqs:
            member.begin(max(seqs))
            member.say(*(member.placed(seq, b"%d" % seq) if in_place and not failed else self.record(seq, failed) for seq in seqs))

    @precondition(lambda self: self.members)
    @rule(place=PLACES, size=st.sampled_from([0, 1, 70_000]))
    def stream(self, place: int, size: int) -> None:
        """The first job of a worker is, or begins to be, answered in pieces."""
        member = self.members[place % len(self.members)]
        if not member.has:
            return
        seq = member.has[0]
        assert member.page is not None
        if not isinstance(member.lane.jobs[seq].sink, Stream):
            member.begin(max(member.page.begun - 1, seq))
            member.begin_stream(seq)
        member.lane.chunk(seq, b"x" * size)

    @precondition(lambda self: self.admitted)
    @rule(place=PLACES)
    def drain(self, place: int) -> None:
        """A client makes room, also one whose answer is over."""
        flow = client_of(self.admitted[place % len(self.admitted)]).flow
        if flow is not None:
            flow.drained()

    @precondition(lambda self: self.members)
    @rule(place=PLACES, kind=st.sampled_from(["unknown", "streamed", "headers", "cut"]))
    def lie(self, place: int, kind: str) -> None:
        """The link ends with a `WireError`, as the channel would take it, and the worker is killed."""
        member = self.members[place % len(self.members)]
        known = member.has[0] if member.has else 1
        junk = {
            "unknown": wire.answer_record(10_000, 200, b""),
            "streamed": wire.answer_record(known, 200, b"", flags=0) * 2,
            "headers": wire.answer_record(known, 200, b"", headers=b"odd"),
            "cut": wire.answer_record(known, 200, b"body")[:-1],
        }[kind]
        try:
            member.say(junk)
        except wire.WireError:
            self.members.remove(member)
            member.die()
        else:
            raise AssertionError(f"{kind} was believed")

    @precondition(lambda self: self.members)
    @rule(place=PLACES, unsent=st.integers(0, 3), junk=st.booleans())
    def die(self, place: int, unsent: int, junk: bool) -> None:
        member = self.members.pop(place % len(self.members))
        seqs = member.has[:unsent]
        if seqs:
            assert member.page is not None
            member.begin(max(member.page.begun - 1, *seqs))
            member.leave_unsent(b"".join(self.record(seq, False) for seq in seqs) + (b"junk" if junk else b""))
        member.die()

    @precondition(lambda self: self.members)
    @rule(place=PLACES)
    def withdraw(self, place: int) -> None:
        self.members[place % len(self.members)].lane.withdraw()

    @rule()
    def refuse(self) -> None:
        self.dispatcher.refuse_waiting(ArgosyError(ErrorCode.NO_WORKER, "nobody"))

    def record(self, seq: int, failed: bool) -> bytes:
        return wire.failure_record(seq, ErrorCode.HANDLER_FAILED, "no") if failed else wire.answer_record(seq, 200, b"%d" % seq, busy_us=10)

    @invariant()
    def books_balance(self) -> None:
        """Nothing is settled twice, and the counters account for every job."""
        if not hasattr(self, "queue"):
            return
        in_flight = [job for member in self.members for job in member.lane.jobs.values()]
        for job in self.admitted:
            if client_of(job).broken and client_of(job).flow is not None and not client_of(job).outcomes and job.state is JobState.SETTLED:
                self.left.add(id(job))  # it could not take a piece, and was given up
            expected = 1 if job.state is JobState.SETTLED and id(job) not in self.left else 0
            assert len(client_of(job).outcomes) == expected, job
        counters = self.counters
        settled = counters.answered + counters.expired + counters.cancelled + counters.failed
        unsettled = [job for job in in_flight if job.state is not JobState.SETTLED]
        assert counters.admitted == len(self.admitted) == settled + len(self.queue) + len(unsettled)
        assert self.dispatcher.running == len(in_flight)
        assert counters.cancelled == len(self.left)
        assert counters.answered == sum(isinstance(outcome, Response) for job in self.admitted for outcome in client_of(job).outcomes)

    @invariant()
    def nobody_has_too_much(self) -> None:
        """A worker that takes many jobs at once never has more than it has room for."""
        if hasattr(self, "queue") and self.capacity:
            assert all(len(member.lane.jobs) <= self.capacity for member in self.members)

    @invariant()
    def places_are_where_they_belong(self) -> None:
        """A place of a large answer is held exactly as long as the client has the answer."""
        if hasattr(self, "queue"):
            held = [outcome.body for job in self.admitted for outcome in client_of(job).outcomes if isinstance(outcome, Response)]
            living = sum(member.places_taken() for member in self.members)
            assert living <= sum(isinstance(body, memoryview) for body in held)

    @invariant()
    def memory_is_where_it_belongs(self) -> None:
        """A slot is held exactly as long as a worker or the queue may need it."""
        if not hasattr(self, "queue"):
            return
        held = {id(job.slot) for member in self.members for job in member.lane.jobs.values() if job.slot is not None}
        held |= {id(job.slot) for job in self.queue.waiting() if job.slot is not None}
        for slot in self.slots:
            assert slot.released == (0 if id(slot) in held else 1)

    def teardown(self) -> None:
        """When all workers are gone and the rest is refused, every job has ended and nothing is left."""
        if not hasattr(self, "queue"):
            return
        for member in self.members:
            member.die()
        self.members.clear()
        self.refuse()
        self.books_balance()
        self.memory_is_where_it_belongs()
        assert all(job.state is JobState.SETTLED for job in self.admitted)


Storm.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestStorm = Storm.TestCase
