"""The table of worker states: stories that use every row, every illegal pair, and what holds after any sequence of events."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from argosy.supervisor.states import TRANSITIONS, Action, Event, IllegalTransition, State, WorkerState

S, E, A = State, Event, Action
WITH_PROCESS = {S.LOADING, S.IDLE, S.BUSY, S.DRAINING}
TAKES_JOBS = {S.IDLE, S.BUSY}


def at(state: State) -> WorkerState:
    """A worker in that state."""
    worker = WorkerState()
    worker.state = state
    return worker


LOADS = ((E.STARTED, S.LOADING, (A.SEND_LOAD,)), (E.LOADED, S.IDLE, (A.OFFER,)))
WORKS = (*LOADS, (E.SENT, S.BUSY, ()))
DRAINS = (*WORKS, (E.DRAIN, S.DRAINING, (A.WITHDRAW,)))
OVER = (E.EXITED, S.STOPPED, (A.SETTLE, A.FREE))
DIES = (E.EXITED, S.BACKOFF, (A.WITHDRAW, A.SETTLE, A.ARM_RETRY))
FAILS = (E.EXITED, S.BACKOFF, (A.ARM_RETRY,))
STORIES: dict[str, tuple[tuple[Event, State, tuple[Action, ...]], ...]] = {
    "works and is scaled down": (
        *WORKS, (E.SENT, S.BUSY, ()), (E.DONE, S.IDLE, ()), (E.DRAIN, S.STOPPING, (A.WITHDRAW, A.SEND_STOP)), (E.DRAIN, S.STOPPING, ()), OVER,
        (E.DRAIN, S.STOPPED, ()), (E.STOP, S.STOPPED, ()),
    ),
    "is scaled down, then stopped, while it works": (
        *DRAINS, (E.DRAIN, S.DRAINING, ()), (E.DONE, S.STOPPING, (A.SEND_STOP,)), (E.STOP, S.STOPPING, (A.KILL,)), OVER,
    ),
    "does not stop when told to": (*DRAINS, (E.DONE, S.STOPPING, (A.SEND_STOP,)), (E.HUNG, S.STOPPING, (A.KILL,)), OVER),
    "is stopped while it drains": (*DRAINS, (E.STOP, S.STOPPING, (A.KILL,)), (E.DONE, S.STOPPING, ()), OVER),
    "hangs while it drains": (*DRAINS, (E.HUNG, S.STOPPING, (A.KILL,)), OVER),
    "dies while it drains": (*DRAINS, OVER),
    "is stopped while it works": (*WORKS, (E.STOP, S.STOPPING, (A.WITHDRAW, A.KILL)), OVER),
    "is stopped while it waits": (*LOADS, (E.STOP, S.STOPPING, (A.WITHDRAW, A.KILL)), OVER),
    "dies while it waits, and comes again": (*LOADS, DIES, (E.RETRY, S.SPAWNING, (A.SPAWN,)), *LOADS),
    "dies while it works, and is not wanted any more": (*WORKS, DIES, (E.DRAIN, S.STOPPED, (A.DISARM_RETRY, A.FREE))),
    "hangs while it works, and is stopped": (
        *WORKS, (E.HUNG, S.BUSY, (A.WITHDRAW, A.KILL)), DIES, (E.STOP, S.STOPPED, (A.DISARM_RETRY, A.FREE)),
    ),
    "breaks the protocol while it waits": (*LOADS, (E.HUNG, S.IDLE, (A.WITHDRAW, A.KILL)), DIES),
    "cannot load": (*LOADS[:1], (E.LOAD_FAILED, S.LOADING, ()), (E.HUNG, S.LOADING, (A.KILL,)), FAILS),
    "is scaled down while it loads": (*LOADS[:1], (E.DRAIN, S.STOPPING, (A.KILL,)), (E.LOADED, S.STOPPING, ()), OVER),
    "is stopped while it loads": (*LOADS[:1], (E.STOP, S.STOPPING, (A.KILL,)), (E.LOAD_FAILED, S.STOPPING, ()), OVER),
    "cannot be started": (FAILS, (E.RETRY, S.SPAWNING, (A.SPAWN,))),
    "is scaled down before it has started": ((E.DRAIN, S.STOPPING, ()), (E.STARTED, S.STOPPING, (A.KILL,)), OVER),
    "is stopped before it could start": ((E.STOP, S.STOPPING, ()), OVER),
}  # fmt: skip


@pytest.mark.parametrize("story", STORIES)
def test_stories(story: str) -> None:
    """What becomes of a worker, event by event, and what its owner has to do each time."""
    worker = WorkerState()
    for event, state, actions in STORIES[story]:
        assert (worker.on(event), worker.state) == (actions, state), event


def test_the_stories_tell_everything() -> None:
    """Each row of the table is a part of one."""
    told, worker = set(), WorkerState()
    for story in STORIES.values():
        worker.state = S.SPAWNING
        for event, state, _ in story:
            told.add((worker.state, event))
            worker.state = state
    assert told == set(TRANSITIONS)


@pytest.mark.parametrize(("state", "event"), sorted(set(itertools.product(S, E)) - set(TRANSITIONS), key=str), ids=lambda value: value.value)
def test_illegal_pairs(state: State, event: Event) -> None:
    """Anything else raises, names both, and changes nothing."""
    worker = at(state)
    with pytest.raises(IllegalTransition, match=f"{event.value} in state {state.value}"):
        worker.on(event)
    assert worker.state is state


@pytest.mark.parametrize("state", S)
@pytest.mark.parametrize("event", [E.DRAIN, E.STOP])
def test_it_can_always_be_told_to_go(state: State, event: Event) -> None:
    """Whoever scales down or stops need not know the state."""
    worker = at(state)
    worker.on(event)
    assert worker.state in (S.DRAINING, S.STOPPING, S.STOPPED)


def test_only_an_exit_settles() -> None:
    """A hang or a stop merely kills; what was in flight is settled by the exit that follows."""
    settling = {(state, event) for (state, event), (_, actions) in TRANSITIONS.items() if A.SETTLE in actions}
    assert {event for _, event in settling} == {E.EXITED}
    assert {state for state, _ in settling} == {S.IDLE, S.BUSY, S.DRAINING, S.STOPPING}


def test_pauses_grow_and_start_anew_after_a_load() -> None:
    """Each failure in a row waits longer, up to a minute; a model that loads again counts as healthy."""
    worker = WorkerState()
    assert [worker.pause_s() for _ in range(13)] == [1.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 55.0, 60.0, 60.0, 60.0]
    assert repr(worker) == "<SPAWNING failures=13>"
    worker.on(E.STARTED)
    worker.on(E.LOADED)
    assert worker.pause_s() == 1.0


class Life(RuleBasedStateMachine):
    """Random legal events, with what an owner would know: whether a process runs, has work, is offered, or waits for a retry."""

    def __init__(self) -> None:
        super().__init__()
        self.worker = WorkerState()
        self.has_process = False
        self.in_flight = False
        self.offered = False
        self.retrying = False
        self.freed = False
        self.killed = False

    def fire(self, event: Event) -> None:
        before = self.worker.state
        for action in self.worker.on(event):
            self.act(action, event, before)

    def act(self, action: Action, event: Event, before: State) -> None:
        assert not self.freed, "nothing is done for a worker that was freed"
        match action:
            case A.SPAWN:
                assert not self.has_process
            case A.SEND_LOAD | A.SEND_STOP:
                assert self.has_process
            case A.OFFER:
                self.offered = True
            case A.WITHDRAW:
                assert before in TAKES_JOBS
                self.offered = False
            case A.KILL:
                self.killed = True
            case A.SETTLE:
                assert event is E.EXITED
                self.in_flight = False
            case A.ARM_RETRY:
                self.retrying = True
            case A.DISARM_RETRY:
                assert self.retrying
                self.retrying = False
            case A.FREE:
                self.freed = True

    def allows(self, event: Event) -> bool:
        return (self.worker.state, event) in TRANSITIONS

    @precondition(lambda self: self.worker.state is S.SPAWNING or (self.worker.state is S.STOPPING and not self.has_process))
    @rule()
    def started_or_not(self) -> None:
        if self.allows(E.STARTED):
            self.has_process, self.killed = True, False
            self.fire(E.STARTED)

    @precondition(lambda self: self.has_process or self.worker.state in (S.SPAWNING, S.STOPPING))
    @rule()
    def exited(self) -> None:
        self.has_process = False
        self.fire(E.EXITED)

    @precondition(lambda self: self.has_process)
    @rule(event=st.sampled_from([E.LOADED, E.LOAD_FAILED, E.HUNG]))
    def report(self, event: Event) -> None:
        if self.allows(event):
            self.fire(event)

    @precondition(lambda self: self.worker.state in TAKES_JOBS)
    @rule()
    def sent(self) -> None:
        self.in_flight = True
        self.fire(E.SENT)

    @precondition(lambda self: self.in_flight and self.has_process)
    @rule()
    def done(self) -> None:
        self.in_flight = False
        self.fire(E.DONE)

    @precondition(lambda self: self.retrying)
    @rule()
    def retry(self) -> None:
        self.retrying = False
        self.fire(E.RETRY)

    @rule(event=st.sampled_from([E.DRAIN, E.STOP]))
    def go(self, event: Event) -> None:
        self.fire(event)

    @invariant()
    def state_tells_the_truth(self) -> None:
        state = self.worker.state
        if state in WITH_PROCESS:
            assert self.has_process
        if state in (S.BACKOFF, S.STOPPED, S.SPAWNING):
            assert not self.has_process
        assert self.retrying is (state is S.BACKOFF)
        assert self.freed is (state is S.STOPPED)
        if self.offered:
            assert state in TAKES_JOBS
        if self.in_flight:
            assert state in (S.BUSY, S.DRAINING, S.STOPPING)
        if state is S.BUSY or state is S.DRAINING:
            assert self.in_flight


TestLife = Life.TestCase
