"""The states of a worker as a table: (state, event) → (state, actions). No I/O, no time.

Only EXITED settles what a worker had in flight: a hang or a stop merely kills, and the exit follows.
"""

from __future__ import annotations

import enum


class State(enum.Enum):
    """Where a worker is."""

    SPAWNING = "SPAWNING"
    LOADING = "LOADING"
    IDLE = "IDLE"
    BUSY = "BUSY"
    DRAINING = "DRAINING"
    """Finishes what it has; gets nothing new; then stops."""
    STOPPING = "STOPPING"
    """Was told to stop or killed; its exit is awaited."""
    BACKOFF = "BACKOFF"
    """No process; the next start waits for a timer."""
    STOPPED = "STOPPED"

    __hash__ = object.__hash__  # an Enum hashes its name by a call of Python, which the table would need twice for every message


class Event(enum.Enum):
    """What can happen to a worker."""

    STARTED = "STARTED"
    LOADED = "LOADED"
    LOAD_FAILED = "LOAD_FAILED"
    SENT = "SENT"
    """A message of jobs went out."""
    DONE = "DONE"
    """Everything that was sent has been answered."""
    HUNG = "HUNG"
    """It loads or answers for longer than it may, or broke the protocol."""
    DRAIN = "DRAIN"
    STOP = "STOP"
    EXITED = "EXITED"
    RETRY = "RETRY"
    """The pause of BACKOFF is over."""

    __hash__ = object.__hash__  # as above


class Action(enum.Enum):
    """What the owner of the worker has to do now, in order."""

    SPAWN = "SPAWN"
    SEND_LOAD = "SEND_LOAD"
    OFFER = "OFFER"
    """It may get jobs."""
    WITHDRAW = "WITHDRAW"
    """It gets no more jobs."""
    SEND_STOP = "SEND_STOP"
    KILL = "KILL"
    SETTLE = "SETTLE"
    """Settle what it had in flight: the process is gone."""
    ARM_RETRY = "ARM_RETRY"
    DISARM_RETRY = "DISARM_RETRY"
    FREE = "FREE"
    """It is over; forget it."""


class IllegalTransition(AssertionError):
    """An event came in a state that cannot have it: a bug of the supervisor."""


_S, _E, _A = State, Event, Action

TRANSITIONS: dict[tuple[State, Event], tuple[State, tuple[Action, ...]]] = {
    (_S.SPAWNING, _E.STARTED): (_S.LOADING, (_A.SEND_LOAD,)),
    (_S.SPAWNING, _E.DRAIN): (_S.STOPPING, ()),
    (_S.SPAWNING, _E.STOP): (_S.STOPPING, ()),
    (_S.SPAWNING, _E.EXITED): (_S.BACKOFF, (_A.ARM_RETRY,)),
    (_S.LOADING, _E.LOADED): (_S.IDLE, (_A.OFFER,)),
    (_S.LOADING, _E.LOAD_FAILED): (_S.LOADING, ()),
    (_S.LOADING, _E.HUNG): (_S.LOADING, (_A.KILL,)),
    (_S.LOADING, _E.DRAIN): (_S.STOPPING, (_A.KILL,)),
    (_S.LOADING, _E.STOP): (_S.STOPPING, (_A.KILL,)),
    (_S.LOADING, _E.EXITED): (_S.BACKOFF, (_A.ARM_RETRY,)),
    (_S.IDLE, _E.SENT): (_S.BUSY, ()),
    (_S.IDLE, _E.HUNG): (_S.IDLE, (_A.WITHDRAW, _A.KILL)),
    (_S.IDLE, _E.DRAIN): (_S.STOPPING, (_A.WITHDRAW, _A.SEND_STOP)),
    (_S.IDLE, _E.STOP): (_S.STOPPING, (_A.WITHDRAW, _A.KILL)),
    (_S.IDLE, _E.EXITED): (_S.BACKOFF, (_A.WITHDRAW, _A.SETTLE, _A.ARM_RETRY)),
    (_S.BUSY, _E.SENT): (_S.BUSY, ()),
    (_S.BUSY, _E.DONE): (_S.IDLE, ()),
    (_S.BUSY, _E.HUNG): (_S.BUSY, (_A.WITHDRAW, _A.KILL)),
    (_S.BUSY, _E.DRAIN): (_S.DRAINING, (_A.WITHDRAW,)),
    (_S.BUSY, _E.STOP): (_S.STOPPING, (_A.WITHDRAW, _A.KILL)),
    (_S.BUSY, _E.EXITED): (_S.BACKOFF, (_A.WITHDRAW, _A.SETTLE, _A.ARM_RETRY)),
    (_S.DRAINING, _E.DONE): (_S.STOPPING, (_A.SEND_STOP,)),
    (_S.DRAINING, _E.HUNG): (_S.STOPPING, (_A.KILL,)),
    (_S.DRAINING, _E.DRAIN): (_S.DRAINING, ()),
    (_S.DRAINING, _E.STOP): (_S.STOPPING, (_A.KILL,)),
    (_S.DRAINING, _E.EXITED): (_S.STOPPED, (_A.SETTLE, _A.FREE)),
    (_S.STOPPING, _E.STARTED): (_S.STOPPING, (_A.KILL,)),
    (_S.STOPPING, _E.LOADED): (_S.STOPPING, ()),
    (_S.STOPPING, _E.LOAD_FAILED): (_S.STOPPING, ()),
    (_S.STOPPING, _E.DONE): (_S.STOPPING, ()),
    (_S.STOPPING, _E.HUNG): (_S.STOPPING, (_A.KILL,)),
    (_S.STOPPING, _E.DRAIN): (_S.STOPPING, ()),
    (_S.STOPPING, _E.STOP): (_S.STOPPING, (_A.KILL,)),
    (_S.STOPPING, _E.EXITED): (_S.STOPPED, (_A.SETTLE, _A.FREE)),
    (_S.BACKOFF, _E.RETRY): (_S.SPAWNING, (_A.SPAWN,)),
    (_S.BACKOFF, _E.DRAIN): (_S.STOPPED, (_A.DISARM_RETRY, _A.FREE)),
    (_S.BACKOFF, _E.STOP): (_S.STOPPED, (_A.DISARM_RETRY, _A.FREE)),
    (_S.STOPPED, _E.DRAIN): (_S.STOPPED, ()),
    (_S.STOPPED, _E.STOP): (_S.STOPPED, ()),
}

BACKOFF_S = (1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 60)
"""Pauses before the next start, in seconds; the last one repeats. MMS goes on to 1,597 s, which nobody waits for."""


class WorkerState:
    """The state of one worker, and how often it failed in a row."""

    def __init__(self) -> None:
        self.state = State.SPAWNING
        self.failures = 0

    def __repr__(self) -> str:
        return f"<{self.state.value} failures={self.failures}>"

    def on(self, event: Event) -> tuple[Action, ...]:
        """Take the step for `event` and return what is to be done. Raises `IllegalTransition`."""
        step = TRANSITIONS.get((self.state, event))
        if step is None:
            raise IllegalTransition(f"{event.value} in state {self.state.value}")
        if event is Event.LOADED:
            self.failures = 0
        self.state, actions = step
        return actions

    def pause_s(self) -> float:
        """The pause before the next start; each call counts one more failure."""
        pause = BACKOFF_S[min(self.failures, len(BACKOFF_S) - 1)]
        self.failures += 1
        return float(pause)
