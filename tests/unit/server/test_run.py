"""A stop is bounded, whatever does not end; on a clock of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

import pytest

from argosy.config import Config
from argosy.server.parts import Parts
from argosy.server.run import _STOP_MARGIN_S, _Signals, _stop, _take_apart
from argosy.testing.loop import FakeLoop

DRAIN_S = 30.0


@dataclass
class FakeSignals:
    """Signals that a test sends."""

    hurry: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class FakePart:
    """Every part of a server at once. With `stuck` the models do not close; `failure` is raised by the drain of the listeners."""

    stuck: bool = False
    failure: Exception | None = None
    closed_with: list[float] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<FakePart{' stuck' if self.stuck else ''}>"

    async def drain(self, limit_s: float) -> None:
        """What a listener does."""
        self.done.append("drain")
        if self.failure is not None:
            raise self.failure

    async def close_models(self, drain_s: float) -> None:
        """What the manager does."""
        self.closed_with.append(drain_s)
        if self.stuck:
            await asyncio.Event().wait()

    def close(self) -> None:
        """What a listener and the repository do."""
        self.done.append("close")

    def stop(self) -> None:
        """What the reaper and the reports do."""
        self.done.append("stop")

    def shutdown(self, wait: bool, cancel_futures: bool) -> None:
        """What an executor does."""
        assert (wait, cancel_futures) == (False, True)
        self.done.append("shutdown")


@dataclass
class FakeManager:
    """The manager of the parts."""

    part: FakePart

    async def close(self, drain_s: float) -> None:
        """See `FakePart.close_models`."""
        await self.part.close_models(drain_s)


class FakeParts:
    """A server whose parts are all the same one."""

    def __init__(self, loop: FakeLoop, part: FakePart) -> None:
        self.loop = loop
        self.config = Config(drain_timeout_s=DRAIN_S)
        self.listeners = self.executors = [part]
        self.reaper = self.reports = self.repository = part
        self.manager = FakeManager(part)
        self.tokens = None


def begin_stop(part: FakePart) -> tuple[FakeLoop, FakeSignals, asyncio.Task[int]]:
    """A stop that has begun."""
    loop, signals = FakeLoop(), FakeSignals()
    stop = loop.create_task(_stop(cast(Parts, FakeParts(loop, part)), cast(_Signals, signals)))
    loop.run()
    return loop, signals, stop


def test_a_stop_that_ends_by_itself() -> None:
    """Status 0, and the models have what is left of the time."""
    part = FakePart()
    _, _, stop = begin_stop(part)
    assert stop.result() == 0
    assert part.closed_with == [DRAIN_S]


def test_a_stop_that_does_not_end(caplog: pytest.LogCaptureFixture) -> None:
    """Once the time for what was accepted and a margin are over the server ends untidily, and says so."""
    loop, _, stop = begin_stop(FakePart(stuck=True))
    loop.advance(DRAIN_S + _STOP_MARGIN_S - 0.1)
    assert not stop.done()
    loop.advance(0.2)
    assert stop.result() == 1
    assert "something does not end" in caplog.text
    assert asyncio.all_tasks(loop) == set()


def test_a_stop_in_a_hurry(caplog: pytest.LogCaptureFixture) -> None:
    """A second signal waits for nothing."""
    loop, signals, stop = begin_stop(FakePart(stuck=True))
    loop.advance(1)
    signals.hurry.set()
    loop.run()
    assert stop.result() == 1
    assert "a second signal came" in caplog.text


def test_a_drain_that_fails() -> None:
    """Its failure is the server's, and is not swallowed."""
    _, _, stop = begin_stop(FakePart(failure=OSError("no")))
    with pytest.raises(OSError, match="no"):
        stop.result()


def test_models_that_do_not_close(caplog: pytest.LogCaptureFixture) -> None:
    """The rest is taken apart all the same, after the margin."""
    loop, part = FakeLoop(), FakePart(stuck=True)
    task = loop.create_task(_take_apart(cast(Parts, FakeParts(loop, part))))
    loop.advance(_STOP_MARGIN_S - 0.1)
    assert part.done == ["close"]
    loop.advance(0.2)
    assert task.result() is None
    assert part.done == ["close", "stop", "shutdown", "stop", "close"]
    assert "left to the end of the process" in caplog.text
