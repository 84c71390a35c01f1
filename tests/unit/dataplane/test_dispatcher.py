"""Jobs between the queue and the workers: each is settled exactly once, whatever workers and clients do."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from argosy import wire
from argosy.errors import ArgosyError, ErrorCode
from argosy.messages import JobState, Part, PlainRequest, Request, Response
from argosy.supervisor.states import Event
from fakes.dataplane import Client, FakeMember, FakeSlot, World, client_of, request

BUSY = ArgosyError(ErrorCode.DRAINING, "going away")


def test_a_job_goes_to_a_free_worker_and_its_answer_to_its_client() -> None:
    """Status, phrase, headers and body arrive as the worker chose them, and the job counts as answered."""
    world = World()
    member = world.member()
    (job,) = world.submit()
    assert [record.id for record in member.messages[0]] == ["id-0"]
    assert member.events == [(Event.SENT, "")]
    headers = wire.header_block([("x-a", "1")])
    member.say(wire.answer_record(1, 201, b"made", busy_us=250, phrase=b"Made", headers=headers))
    (outcome,) = client_of(job).outcomes
    assert isinstance(outcome, Response)
    assert (outcome.status, outcome.phrase, outcome.headers, outcome.body) == (201, "Made", (("x-a", "1"),), b"made")
    assert (world.counters.answered, world.counters.batches, world.counters.handler_us, world.dispatcher.running) == (1, 1, 250, 0)
    assert world.batches == [(world.loop.time(), "m", 250, b"id-0")]
    assert member.events[-1] == (Event.DONE, "")
    assert repr(world.dispatcher) == "<Dispatcher m 0 waiting, 0 running, 1 free workers>"
    assert repr(member.lane) == "<WorkerLane w1 0 jobs in 0 messages>"


def test_the_record_says_everything_about_a_job() -> None:
    """Parts, headers, the time that is left and the place of a large body travel as they are."""
    world = World()
    member = world.member()
    client = Client()
    world.admit(Request(b"r", b"multipart/form-data", b"a\0b", None, client, [Part("p", "text/plain", b"v")], None, world.loop.time() + 2.0))
    world.run()
    (record,) = member.messages[0]
    assert (record.id, record.content_type, record.headers, record.body, record.timeout_ms) == ("r", "multipart/form-data", b"a\0b", None, 2000)
    assert list(wire.read_parts(record.parts)) == [("p", "text/plain", b"v")]
    member.answer(1)
    slot = FakeSlot(offset=131072, size=70000)
    world.admit(request(slot.view, slot=slot))
    world.run()
    (record,) = member.messages[1]
    assert (record.arena_offset, record.body_length, record.body, record.timeout_ms) == (131072, 70000, None, 0)
    assert slot.released == 0
    member.answer(2)
    assert slot.released == 1


def test_a_deadline_that_is_nearly_over_is_still_one() -> None:
    """A job whose time is up when it is sent gets one millisecond, not endless time."""
    world = World()
    member = world.member()
    world.admit(request(deadline=world.loop.time()))
    world.run()
    assert member.messages[0][0].timeout_ms == 1


def plain(id: bytes, body: bytes) -> PlainRequest:
    """An ordinary request, as the frontend makes it."""
    job: PlainRequest = PlainRequest()
    job.id, job.content_type, job.headers, job.body, job.sink, job.admitted_at = id, b"text/plain", b"a\0b", body, Client(), 0.5
    job.shape = wire.job_shape(len(id), 10, 3, len(body))
    return job


@pytest.mark.parametrize("is_mixed", [False, True])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_ordinary_jobs_are_written_like_all_others(is_mixed: bool, batch_size: int) -> None:
    """Their records say the same, by themselves and among others, and their answers come back and count."""
    world = World(batch_size)
    member = world.member()
    world.dispatcher.job_us = 1.0
    jobs: list[Request] = [plain(b"one", b"1"), plain(b"two", b"22"), request(b"333", id=b"three") if is_mixed else plain(b"three", b"333")]
    for job in jobs:
        world.admit(job)
    world.run()
    (records,) = member.messages
    assert [(record.seq, record.id, record.content_type, bytes(record.body or b"")) for record in records] == [
        (1, "one", "text/plain", b"1"), (2, "two", "text/plain", b"22"), (3, "three", "text/plain", b"333"),
    ]  # fmt: skip
    assert [record.headers for record in records[:2]] == [b"a\0b", b"a\0b"]
    assert world.dispatcher.running == 3
    member.answer(1, 2, 3)
    assert [client_of(job).body for job in jobs] == [b"1", b"2", b"3"]
    assert [job.state for job in jobs] == [JobState.SETTLED] * 3
    ids = [b"one", b"two", b"three"] if batch_size == 1 else [b"one,two,three"]
    assert world.batches == [(world.loop.time(), "m", 100, id) for id in ids]
    assert (world.counters.answered, world.counters.batches, world.dispatcher.running) == (3, len(ids), 0)


def test_what_came_before_a_wrong_answer_counts() -> None:
    """An answer that was not asked for ends the link, and the jobs that were answered before it in the same frame are settled for good."""
    world = World()
    member = world.member()
    world.dispatcher.job_us = 1.0
    first, second = world.submit(2)
    with pytest.raises(wire.WireError):
        member.answer(1, 9)
    assert (client_of(first).body, client_of(second).outcomes) == (b"1", [])
    assert (world.counters.answered, world.dispatcher.running) == (1, 1)


def test_large_messages_are_not_joined() -> None:
    """Bodies over 64 KiB that do not lie in the arena are sent piece by piece."""
    world = World()
    member = world.member()
    world.admit(request(b"z" * 70000))
    world.run()
    assert member.pieces == 1
    assert bytes(member.messages[0][0].body or b"") == b"z" * 70000


def test_quick_jobs_share_a_message_slow_ones_do_not() -> None:
    """Until the handler's time is known, and while it is long, a message carries one job."""
    world = World()
    member = world.member()
    world.submit(3)
    assert [len(message) for message in member.messages] == [1]
    member.answer(1, busy_us=100_000)
    world.run()
    assert [len(message) for message in member.messages] == [1, 1]
    world.dispatcher.job_us = 1.0
    world.submit(200)
    member.answer(2, busy_us=1)
    world.run()
    assert [len(message) for message in member.messages] == [1, 1, 64, 64]
    assert repr(member.lane) == "<WorkerLane w1 128 jobs in 2 messages>"


def test_a_second_full_batch_waits_at_the_only_worker() -> None:
    """Batches of some milliseconds are bound to a busy worker early only while there is no other worker that could take them."""
    world = World(batch_size=4)
    first = world.member("w1")
    world.dispatcher.job_us = 1000.0
    world.submit(11)
    assert [len(message) for message in first.messages] == [4, 4], "and what is no full batch waits in the queue"
    second = world.member("w2")
    world.submit(9)
    assert [len(message) for message in second.messages] == [4], "eight jobs wait for whoever is free first"
    assert len(world.queue) == 8


def test_a_batch_that_was_sent_ahead_outlives_its_worker() -> None:
    """The only worker dies in its first batch: that one fails, the one that was sent ahead waits for the next worker, before what came later."""
    world = World(batch_size=4)
    member = world.member("w1")
    world.dispatcher.job_us = 1000.0
    *begun, fifth, sixth, seventh, eighth, last = world.submit(9)
    assert [len(message) for message in member.messages] == [4, 4]
    for seq in range(1, 5):
        member.begin(seq)
    member.die()
    assert {client_of(job).error.code for job in begun} == {ErrorCode.WORKER_DIED}
    assert world.queue.waiting() == [fifth, sixth, seventh, eighth, last]
    assert world.dispatcher.running == 0


def test_a_client_of_a_batch_that_was_sent_ahead_leaves() -> None:
    """Its worker is told, and the others of the batch are answered."""
    world = World(batch_size=4)
    member = world.member("w1")
    world.dispatcher.job_us = 1000.0
    jobs = world.submit(8)
    world.dispatcher.cancel(jobs[5])
    assert jobs[5].state is JobState.SETTLED
    member.answer(*range(1, 9))
    assert [len(client_of(job).outcomes) for job in jobs] == [1, 1, 1, 1, 1, 0, 1, 1]
    assert world.dispatcher.running == 0


def test_free_workers_share() -> None:
    """What waits is split between the workers that are free."""
    world = World()
    first, second = world.member("w1"), world.member("w2")
    world.dispatcher.job_us = 1.0
    world.submit(10)
    assert sorted([len(first.has), len(second.has)]) == [5, 5]


def test_an_incomplete_batch_waits_for_its_delay() -> None:
    """It goes when it is full or when its first job is old enough, whichever comes first."""
    world = World(batch_size=4, delay_s=0.1)
    member = world.member()
    world.submit(3)
    world.loop.advance(0.09)
    assert member.messages == []
    world.loop.advance(0.02)
    assert len(member.messages[0]) == 3
    member.answer(1, 2, 3)
    world.submit(2)
    world.loop.advance(0.05)
    world.submit(2)
    assert len(member.messages[1]) == 4
    assert world.timers == 1, "only the one that watches the worker"


def test_a_batch_counts_once() -> None:
    """All answers of a batch tell its time; it is counted and reported once, without the requests that failed."""
    world = World(batch_size=2)
    member = world.member()
    world.dispatcher.job_us = 1.0
    world.submit(4)
    member.say(
        wire.answer_record(1, 200, b"", busy_us=10), wire.answer_record(2, 200, b"", busy_us=10),
        wire.answer_record(3, 200, b"", busy_us=20), wire.failure_record(4, ErrorCode.HANDLER_FAILED, "no", busy_us=20),
    )  # fmt: skip
    assert (world.counters.batches, world.counters.handler_us) == (2, 30)
    assert world.batches == [(world.loop.time(), "m", 10, b"id-0,id-1"), (world.loop.time(), "m", 20, b"id-2")]


def test_a_batch_that_failed_as_a_whole_is_not_reported() -> None:
    """Nobody is told of a prediction time when nothing was predicted; without somebody to tell, batches still count."""
    world = World(batch_size=2)
    member = world.member()
    world.submit(2)
    member.say(*(wire.failure_record(seq, ErrorCode.HANDLER_FAILED, "no", busy_us=5) for seq in (1, 2)))
    assert (world.batches, world.counters.batches) == ([], 1)
    for size in (1, 2):
        silent = World(batch_size=size)
        silent.dispatcher._on_batch = None
        member = silent.member()
        silent.submit(size)
        member.answer(*range(1, size + 1))
        assert silent.counters.batches == 1


@pytest.mark.parametrize("size", [2, 4])
def test_answers_may_come_in_any_order(size: int) -> None:
    """A batch whose last job was answered first is over when all of it is answered, and its worker takes jobs again."""
    world = World(batch_size=size)
    member = world.member()
    world.submit(size)
    member.say(wire.failure_record(size, ErrorCode.INVALID_REQUEST, "not JSON"))
    assert member.events[-1][0] is Event.SENT, "the worker is not done"
    member.answer(*range(1, size))
    assert member.events[-1] == (Event.DONE, "")
    world.submit(size)
    assert len(member.messages) == 2


def test_a_worker_that_answers_the_last_job_only_is_not_done() -> None:
    """The jobs that it skipped are still watched: when they take too long the worker is reported as hung."""
    world = World(timeout_s=60.0)
    member = world.member()
    world.hurry(member)
    world.submit(3)
    member.answer(4)
    assert (Event.DONE, "") not in member.events[2:]
    world.loop.advance(61.0)
    assert member.events[-1] == (Event.HUNG, "it did not answer within 60 s (response timeout)")


# -- what a worker may get wrong -------------------------------------------------------------------------------------


def test_failures_carry_the_workers_words() -> None:
    """Code, message, detail and status of a failure arrive; a code that this version does not know is an internal one."""
    world = World()
    member = world.member()
    (job,) = world.submit()
    member.say(wire.failure_record(1, ErrorCode.HANDLER_STATUS, "teapot", detail="why", status=418))
    error = client_of(job).error
    assert (error.code, error.message, error.detail, error.status) == (ErrorCode.HANDLER_STATUS, "teapot", "why", 418)
    (job,) = world.submit()
    member.say(wire.failure_record(2, 999, "?"))
    assert client_of(job).error.code is ErrorCode.INTERNAL
    assert world.counters.failed == 2


def _empty(_: World, __: FakeMember) -> list[bytes]:
    return []


def _unknown(_: World, __: FakeMember) -> list[bytes]:
    return [wire.answer_record(77, 200, b"")]


def _twice(_: World, __: FakeMember) -> list[bytes]:
    return [wire.answer_record(1, 200, b"1")] * 2


def _cut(_: World, __: FakeMember) -> list[bytes]:
    return [wire.answer_record(1, 200, b"1")[:-1]]


def _streamed(_: World, __: FakeMember) -> list[bytes]:
    return [wire.answer_record(1, 200, b"1", flags=0)] * 2


def _odd_headers(_: World, __: FakeMember) -> list[bytes]:
    return [wire.answer_record(1, 200, b"1", headers=b"a\0b\0c")]


def _elsewhere(_: World, __: FakeMember) -> list[bytes]:
    return [wire.answer_record(1, 200, wire.PLACE.pack(0, 1, 1 << 20), flags=wire.LAST | wire.PLACED)]


def _failed_elsewhere(_: World, __: FakeMember) -> list[bytes]:
    return [wire.answer_record(1, 500, wire.PLACE.pack(0, 1, 1 << 20), flags=wire.LAST | wire.PLACED | wire.FAILED)]


JUNK = [_empty, _unknown, _twice, _cut, _streamed, _odd_headers, _elsewhere, _failed_elsewhere]


@pytest.mark.parametrize("junk", JUNK)
def test_junk_ends_the_link_and_loses_no_job(junk: Callable[[World, FakeMember], list[bytes]]) -> None:
    """What was not asked for raises `WireError`; the job is settled once, at the latest when the worker is gone."""
    world = World()
    member = world.member()
    (job,) = world.submit()
    with pytest.raises(wire.WireError):
        member.say(*junk(world, member))
    member.begin(1)
    member.die()
    assert len(client_of(job).outcomes) == 1
    assert world.counters.answered + world.counters.failed == 1
    assert (world.dispatcher.running, world.idle) == (0, 1)


@pytest.mark.parametrize("junk", JUNK)
def test_junk_in_the_outbox_is_harmless(junk: Callable[[World, FakeMember], list[bytes]], caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a dead worker left in the shared page, every job is settled once and other workers go on."""
    world = World()
    member = world.member()
    jobs = world.submit(2)
    member.begin(1)
    member.leave_unsent(b"".join(junk(world, member)))
    member.die()
    other = world.member("w2")
    world.run()
    other.answer(1)
    assert [len(client_of(job).outcomes) for job in jobs] == [1, 1]
    assert client_of(jobs[1]).body == b"1"
    assert world.dispatcher.running == 0
    assert caplog.records == []


def test_headers_are_those_of_their_answer() -> None:
    """However often some came before, and however many kinds there are; a block that cannot be read is never remembered."""
    world = World()
    member = world.member()
    blocks = [b"a\0%d" % (number % 100) for number in range(300)]
    for seq, block in enumerate(blocks, 1):
        (job,) = world.submit()
        member.say(wire.answer_record(seq, 200, b"x", headers=block))
        (outcome,) = client_of(job).outcomes
        assert isinstance(outcome, Response)
        assert outcome.headers == (("a", block[2:].decode()),)
    world.submit()
    for _ in range(2):
        with pytest.raises(wire.WireError):
            member.say(wire.answer_record(301, 200, b"x", headers=b"a\0001\0c"))
    assert len(world.dispatcher._known_headers) == 64


def test_large_answers_are_sent_from_where_they_lie() -> None:
    """The client gets a view of the worker's memory, which is the worker's again when the client has let it go, also after the worker has died."""
    world = World()
    member = world.member()
    world.hurry(member)
    first, second, third = world.submit(3)
    member.say(member.placed(2, b"two" * 1000), wire.answer_record(3, 200, b"three"))
    (outcome,) = client_of(first).outcomes
    assert isinstance(outcome, Response)
    assert isinstance(outcome.body, memoryview)
    assert (client_of(first).body, client_of(second).body, member.places_taken()) == (b"two" * 1000, b"three", 1)
    member.leave_unsent(member.placed(4, b"four" * 1000))
    assert member.places_taken() == 2
    member.begin(4)
    member.die()
    assert client_of(third).body == b"four" * 1000
    assert world.counters.answered == 4
    outcome.body = b""
    client_of(third).outcomes.clear()
    assert member.places_taken() == 0


def test_a_large_answer_that_nobody_waits_for() -> None:
    """Its place is the worker's again at once when the client has left."""
    world = World()
    member = world.member()
    (left,) = world.submit()
    world.dispatcher.cancel(left)
    member.say(member.placed(1, bytes(100_000)))
    assert (member.places_taken(), world.counters.cancelled) == (0, 1)


def test_a_large_answer_of_a_silent_worker_is_taken_once() -> None:
    """Found in the outbox it is delivered, and what the worker sends of it later changes nothing."""
    world = World()
    member = world.member()
    world.hurry(member)
    first, _ = world.submit(2)
    record = member.placed(2, b"early" * 1000)
    member.begin(3)
    member.leave_unsent(record)
    world.loop.advance(1.0)
    assert (client_of(first).body, member.places_taken()) == (b"early" * 1000, 1)
    member.say(record, wire.answer_record(3, 200, b"late"))
    assert (client_of(first).body, member.places_taken()) == (b"early" * 1000, 1)
    client_of(first).outcomes.clear()
    assert member.places_taken() == 0


@pytest.mark.parametrize("failing", [False, True])
def test_a_client_that_is_gone_troubles_nobody(failing: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A reply sink that raises is logged; the next answers of the same frame are delivered."""
    world = World()
    member = world.member()
    world.hurry(member)
    gone = world.admit(request(client=Client(broken=True)))
    (other,) = world.submit()
    record = wire.failure_record(2, ErrorCode.HANDLER_FAILED, "no") if failing else wire.answer_record(2, 200, b"2")
    with caplog.at_level(logging.ERROR):
        member.say(record, wire.answer_record(3, 200, b"3"))
    assert "was lost" in caplog.text
    assert client_of(other).body == b"3"
    assert gone.state is JobState.SETTLED


# -- workers and jobs that go ----------------------------------------------------------------------------------------


def test_a_death_fails_what_was_begun_and_returns_the_rest_in_order() -> None:
    """Of five jobs: one answered, one finished but unsent, one begun, two not begun. Only the begun one fails."""
    world = World()
    member = world.member()
    world.hurry(member)
    answered, unsent, begun, *rest = world.submit(5)
    later = world.submit(1)
    member.answer(2)
    member.leave_unsent(wire.answer_record(3, 200, b"from the outbox"))
    member.begin(4)
    member.die("was killed by SIGKILL")
    assert client_of(answered).body == b"2"
    assert client_of(unsent).body == b"from the outbox"
    error = client_of(begun).error
    assert (error.code, error.message, error.detail) == (ErrorCode.WORKER_DIED, "Worker died.", "model m: worker w1 was killed by SIGKILL")
    assert world.queue.waiting() == [*rest, *later]
    other = world.member("w2")
    world.run()
    assert [len(message) for message in other.messages] == [3]
    other.answer(1, 2, 3)
    assert [client_of(job).body for job in [*rest, *later]] == [b"1", b"2", b"3"]


def test_an_outbox_that_was_sent_already_is_not_delivered_twice() -> None:
    """A worker that dies between sending and saying so leaves answers that have come before."""
    world = World()
    member = world.member()
    (job,) = world.submit()
    member.begin(1)
    member.answer(1)
    member.leave_unsent(wire.answer_record(1, 200, b"again"))
    member.die()
    assert client_of(job).body == b"1"


def test_a_worker_without_a_page_has_begun_everything() -> None:
    """Without knowledge of its progress nothing runs twice."""
    world = World()
    member = world.member(with_page=False)
    world.hurry(member)
    jobs = world.submit(2)
    world.dispatcher.cancel(jobs[0])
    member.die()
    assert client_of(jobs[1]).error.code is ErrorCode.WORKER_DIED
    assert (client_of(jobs[0]).outcomes, world.counters.cancelled, world.counters.failed) == ([], 1, 1)


def test_jobs_of_a_worker_that_dies_last_are_refused_when_nobody_is_left() -> None:
    """When no worker will come, a job that goes back is refused instead of waiting for ever."""
    world = World()
    member = world.member()
    (job,) = world.submit()
    world.dispatcher.refusal = BUSY
    member.die()
    assert client_of(job).error is BUSY
    assert (len(world.queue), world.idle) == (0, 1)
    world.dispatcher.refusal = None
    (job,) = world.submit()
    assert job.state is JobState.WAITING


def test_a_cancelled_job_never_starts() -> None:
    """While it waits it just goes; its memory comes back at once."""
    world = World()
    slot = FakeSlot()
    job = world.admit(request(slot=slot))
    world.dispatcher.cancel(job)
    world.dispatcher.cancel(job)
    assert (slot.released, world.counters.cancelled, world.idle) == (1, 1, 1)
    plain = world.admit(request())
    world.dispatcher.cancel(plain)
    member = world.member()
    world.run()
    assert member.messages == []
    assert client_of(job).outcomes == []


def test_a_cancelled_job_that_was_sent_is_told_to_the_worker() -> None:
    """Its answer is dropped, its memory stays until then, and its place in the page serves again."""
    world = World()
    member = world.member()
    slot = FakeSlot()
    job = world.admit(request(slot=slot))
    world.run()
    world.dispatcher.cancel(job)
    world.dispatcher.cancel(job)
    assert member.is_cancelled(1)
    assert (slot.released, world.counters.cancelled, world.dispatcher.running) == (0, 1, 1)
    member.say(wire.failure_record(1, ErrorCode.CANCELLED, "Nobody waits"))
    assert not member.is_cancelled(1)
    assert (slot.released, client_of(job).outcomes, world.counters.failed, world.dispatcher.running) == (1, [], 0, 0)
    assert world.idle == 1
    world.dispatcher.cancel(job)
    assert world.counters.cancelled == 1


def test_cancelling_without_a_page() -> None:
    """A worker without a page cannot be told; the answer is dropped all the same."""
    world = World()
    member = world.member(with_page=False)
    (job,) = world.submit()
    world.dispatcher.cancel(job)
    member.answer(1)
    assert client_of(job).outcomes == []


def test_a_job_that_was_never_admitted_cannot_be_cancelled() -> None:
    """Nothing happens and nothing is counted."""
    world = World()
    world.dispatcher.cancel(request())
    assert world.counters.cancelled == 0


def test_deadlines_pass_while_jobs_wait() -> None:
    """An expired job is failed with its own code, counted apart, and its memory comes back."""
    world = World()
    slot = FakeSlot()
    job = world.admit(request(deadline=world.loop.time() + 1, slot=slot))
    kept = world.admit(request())
    world.dispatcher.expire(world.loop.time() + 1)
    assert client_of(job).error.code is ErrorCode.DEADLINE_EXCEEDED
    assert (slot.released, world.counters.expired, world.queue.waiting(), world.idle) == (1, 1, [kept], 0)
    world.dispatcher.refuse_waiting(BUSY)
    assert client_of(kept).error is BUSY
    assert (world.counters.failed, world.idle) == (1, 1)


def test_memory_comes_back_when_a_worker_dies() -> None:
    """The slot of a begun job is released once, that of a job that waits again is kept."""
    world = World()
    member = world.member()
    world.hurry(member)
    slots = [FakeSlot(), FakeSlot(), FakeSlot(), FakeSlot()]
    jobs = [world.admit(request(slot=slot)) for slot in slots]
    world.run()
    world.dispatcher.cancel(jobs[1])
    member.begin(2)
    member.leave_unsent(wire.answer_record(5, 200, b""))
    member.die()
    assert [slot.released for slot in slots] == [1, 1, 0, 1]
    world.dispatcher.refuse_waiting(BUSY)
    assert [slot.released for slot in slots] == [1, 1, 1, 1]


def test_nobody_to_tell() -> None:
    """Without a listener for idleness all ends work the same."""
    world = World()
    world.dispatcher.on_idle = None
    member = world.member()
    world.submit()
    member.answer(1)
    world.submit()
    member.begin(2)
    member.die()
    assert world.counters.answered + world.counters.failed == 2


def test_a_worker_killed_for_lack_of_memory() -> None:
    """What it was running fails as a lack of memory; what it had not begun goes to another worker, as after any death."""
    world = World()
    member = world.member()
    world.hurry(member)
    first, second = world.submit(2)
    member.begin(2)
    member.lane.withdraw()
    member.lane.lost("was killed", for_memory=True)
    assert client_of(first).error.code is ErrorCode.OUT_OF_MEMORY
    assert client_of(second).outcomes == []
    assert len(world.queue) == 1


def test_a_job_that_cannot_be_written_fails_alone() -> None:
    """Its neighbours go on, and the worker is free again when nothing of the message is left."""
    world = World()
    member = world.member()
    bad = world.admit(Request(b"r" * 70000, b"", b"", b"x", Client()))
    world.run()
    assert client_of(bad).error.code is ErrorCode.INVALID_REQUEST
    (good,) = world.submit()
    member.answer(1)
    assert client_of(good).body == b"1"
    assert world.counters.failed == 1


def test_a_job_that_kills_worker_after_worker_is_not_tried_for_ever() -> None:
    """A worker that dies before it began anything gives its jobs back, but only three times."""
    world = World()
    (job,) = world.submit()
    for number in range(4):
        member = world.member(f"w{number}")
        world.run()
        assert client_of(job).outcomes == []
        assert member.has == [1]
        member.lane.withdraw()
        member.lane.lost("was killed")
        world.run()
    assert client_of(job).error.message == "Worker died."


def test_answers_without_a_message_end_the_link() -> None:
    """A worker that answers when nothing was asked of it does not speak the protocol."""
    world = World()
    member = world.member()
    with pytest.raises(wire.WireError):
        member.answer(1)
