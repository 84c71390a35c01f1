"""The jobs of one worker: a silent one is looked after, and what it has finished is fetched."""

from __future__ import annotations

from argosy import wire
from argosy.messages import JobState
from argosy.supervisor.states import Event
from fakes.dataplane import World, client_of, request


def test_a_worker_that_does_not_answer_is_hung() -> None:
    """The limit counts from its last answer or from when it got work, and nothing is reported before."""
    world = World(timeout_s=60.0)
    member = world.member()
    world.submit()
    world.loop.advance(50.0)
    member.answer(1)
    world.submit()
    world.loop.advance(50.0)
    assert all(event is not Event.HUNG for event, _ in member.events)
    world.loop.advance(10.0)
    assert member.events[-1] == (Event.HUNG, "it did not answer within 60 s (response timeout)")
    member.die()
    assert world.timers == 0


def test_sending_more_when_the_look_after_a_worker_is_overdue() -> None:
    """A loop that was held up for longer than a worker may be silent goes on as if it had not been."""
    world = World(timeout_s=60.0)
    member = world.member()
    world.submit(1)
    lane = member.lane
    lane.jobs |= {seq: world.admit(request()) for seq in (8, 9)}
    world.loop.now += 1.0
    lane.sent(world.loop.now)
    lane.sent(world.loop.now)
    world.loop.run()
    assert world.loop.failures == []
    assert lane.messages == 3


def test_one_timer_looks_after_a_worker() -> None:
    """It is moved when something is due earlier, and none is left when the worker is gone."""
    world = World(timeout_s=60.0)
    member = world.member()
    world.submit()
    assert world.timers == 1
    member.lane.jobs |= {seq: world.admit(request()) for seq in (8, 9)}
    member.lane.sent(world.loop.now)
    assert world.timers == 1
    member.die()
    assert world.timers == 0


def test_what_a_dead_worker_had_not_begun_goes_at_once_to_one_that_is_free() -> None:
    """Nobody waits for the next request, nor for the dead one's successor."""
    world = World()
    first = world.member("w1")
    world.hurry(first)
    ran, *others = world.submit(3)
    second = world.member("w2")
    world.run()
    assert (first.has, second.has) == ([2, 3, 4], [])
    first.begin(2)
    first.die()
    world.run()
    assert client_of(ran).error.message == "Worker died."
    assert len(second.has) == len(others) == 2


def test_an_early_answer_is_not_delivered_again_when_the_worker_dies() -> None:
    """What was fetched from the outbox is settled; the rest fails with the worker."""
    world = World()
    member = world.member()
    world.hurry(member)
    first, slow = world.submit(2)
    member.begin(3)
    member.leave_unsent(wire.answer_record(2, 200, b"a"))
    world.loop.advance(0.02)
    assert client_of(first).body == b"a"
    member.lane.withdraw()
    member.lane.lost("was killed")
    assert client_of(slow).error.message == "Worker died."
    assert len(client_of(first).outcomes) == 1


def test_finished_answers_do_not_wait_for_a_slow_job_of_their_message() -> None:
    """A worker that is silent for ten milliseconds is looked after; what it sends later again is dropped."""
    world = World()
    member = world.member()
    world.hurry(member)
    first, second, slow = world.submit(3)
    member.begin(4)
    member.leave_unsent(wire.answer_record(2, 200, b"a") + wire.answer_record(3, 200, b"b"))
    world.loop.advance(0.005)
    assert client_of(first).outcomes == []
    world.loop.advance(0.006)
    assert (client_of(first).body, client_of(second).body, client_of(slow).outcomes) == (b"a", b"b", [])
    assert world.dispatcher.running == 1
    member.answer(2, 3, 4)
    assert client_of(slow).body == b"4"
    assert len(client_of(first).outcomes) == 1
    assert (world.dispatcher.running, world.counters.answered, member.has) == (0, 4, [])


def test_finished_answers_do_not_wait_for_a_slow_job() -> None:
    """While a worker is silent in the middle of a message, what it has finished is delivered, once, and what it sends later is no surprise."""
    world = World()
    member = world.member()
    world.hurry(member)
    first, second, third = world.submit(3)
    member.begin(3)
    member.leave_unsent(wire.answer_record(2, 200, b"early"))
    for _ in range(3):
        world.loop.advance(1.0)
    assert client_of(first).body == b"early"
    member.answer(2, 3, 4)
    assert [client_of(job).body for job in (first, second, third)] == [b"early", b"3", b"4"]
    assert (member.events[-1], world.dispatcher.running, world.counters.answered) == ((Event.DONE, ""), 0, 4)


def test_an_early_answer_is_not_delivered_again_beside_a_failure() -> None:
    """Whatever kind of answers come with it."""
    world = World()
    member = world.member()
    world.dispatcher.job_us = 1.0
    first, second = world.submit(2)
    member.begin(2)
    member.leave_unsent(wire.answer_record(1, 200, b"early"))
    world.loop.advance(1.0)
    member.say(wire.answer_record(1, 200, b"early"), wire.failure_record(2, 11, "no"))
    assert client_of(first).body == b"early"
    assert client_of(second).error.message == "no"
    assert (world.counters.answered, world.counters.failed, world.dispatcher.running) == (1, 1, 0)


def test_a_single_job_is_not_looked_after_early() -> None:
    """With one job there is nothing to fetch: only the response timeout counts."""
    world = World(timeout_s=0.0)
    world.member()
    world.submit()
    assert world.timers == 0


def test_a_closed_lane_gets_nothing_and_may_still_answer() -> None:
    """A worker that drains finishes what it has."""
    world = World()
    member = world.member()
    (job,) = world.submit()
    member.lane.withdraw()
    (late,) = world.submit()
    member.answer(1)
    assert client_of(job).body == b"1"
    assert (late.state, repr(member.lane)) == (JobState.WAITING, "<WorkerLane w1 0 jobs in 0 messages closed>")


def test_no_time_limit() -> None:
    """With a limit of 0 a worker may take for ever, and no timer runs."""
    world = World(timeout_s=0.0)
    member = world.member()
    world.submit()
    assert world.timers == 0
    world.loop.advance(1e6)
    assert member.events == [(Event.SENT, "")]
    member.die()


def test_an_idle_worker_is_not_watched() -> None:
    """The timer that is still there when the work is done does nothing, and the death of the worker takes it away."""
    world = World(timeout_s=60.0)
    member = world.member()
    world.submit()
    member.answer(1)
    world.loop.advance(200.0)
    assert (member.events[-1], world.timers) == ((Event.DONE, ""), 0)
