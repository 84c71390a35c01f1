"""Real workers that are killed in every state, and by chance in any order of events: each admitted job ends once and nothing stays."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from argosy.dataplane.served import ServedModel
from argosy.errors import ArgosyError, ErrorCode
from argosy.messages import JobState, Request
from argosy.supervisor.member import Member
from argosy.supervisor.pool import MOST_STARTING
from argosy.supervisor.process import children
from argosy.supervisor.states import State
from conftest import Report
from fakes.dataplane import Client, client_of, request
from faults.figures import Figure

from .test_served import spec, tell, until

SEEDS = range(int(os.environ.get("ARGOSY_STORMS", "6")))
EVENTS = 100
SLOW_EXIT = "import atexit, signal\natexit.register(signal.pause)\ndef handle(data, context):\n    return data\n"


async def reaches(member: Member, state: State) -> None:
    """Wait for it."""
    await until(lambda: member.state is state)


def kill(member: Member) -> None:
    """From outside, as the kernel does when memory is short."""
    assert member.pid is not None
    os.kill(member.pid, signal.SIGKILL)


def failure_of(job: Request) -> ArgosyError:
    """The one failure that the client of a job was told."""
    return client_of(job).error


def test_while_it_is_queued_or_forked(tmp_path: Path) -> None:
    """SPAWNING: the template that should fork it dies; whoever waits is told how, and the worker is tried again."""
    (tmp_path / "slow.py").write_text("import signal\nsignal.pause()\n")

    async def story(model: ServedModel) -> None:
        scaling = asyncio.ensure_future(model.scale(1, 1))
        await until(children)
        (member,) = model.pool.members
        assert member.state is State.SPAWNING
        os.kill(children()[0], signal.SIGKILL)
        with pytest.raises(ArgosyError, match="preloads the model was killed by SIGKILL"):
            await scaling
        await reaches(member, State.BACKOFF)
        await reaches(member, State.SPAWNING)

    tell(spec(tmp_path, handler="slow:handle", preload=True), story)


def test_while_it_loads(tmp_path: Path) -> None:
    """LOADING: the first failure ends the wait, and the next process serves."""
    gate = tmp_path / "gate"
    (tmp_path / "slow.py").write_text(f"import os, signal\nif not os.path.exists({str(gate)!r}): signal.pause()\nfrom service import handle\n")

    async def story(model: ServedModel) -> None:
        scaling = asyncio.ensure_future(model.scale(1, 1))
        await until(children)
        (member,) = model.pool.members
        await reaches(member, State.LOADING)
        gate.touch()
        kill(member)
        with pytest.raises(ArgosyError, match="was killed by SIGKILL while it loaded the model"):
            await scaling
        await reaches(member, State.IDLE)
        model.submit(job := request(b"echo:x"))
        await until(lambda: job.state is JobState.SETTLED)
        assert client_of(job).body == b"x"

    tell(spec(tmp_path, handler="slow:handle"), story)


def test_while_it_is_idle_busy_or_in_backoff(tmp_path: Path) -> None:
    """IDLE costs nothing, BUSY costs the job that ran, and what comes in BACKOFF is answered by the next process."""

    async def story(model: ServedModel) -> None:
        await model.scale(1, 1)
        (member,) = model.pool.members
        kill(member)
        await reaches(member, State.BACKOFF)
        model.submit(waited := request(b"echo:waited"))
        await until(lambda: waited.state is JobState.SETTLED)
        assert client_of(waited).body == b"waited"
        model.submit(ran := request(b"spin"))
        model.submit(behind := request(b"echo:behind"))
        await reaches(member, State.BUSY)
        await until(lambda: member.page is not None and member.page.begun > 1)
        kill(member)
        await until(lambda: behind.state is JobState.SETTLED)
        assert failure_of(ran).code is ErrorCode.WORKER_DIED
        assert client_of(behind).body == b"behind"
        assert member.restarts == 2

    tell(spec(tmp_path), story)


def test_while_it_drains_or_stops(tmp_path: Path) -> None:
    """DRAINING costs the job that ran; STOPPING is over at once, however long the process wanted to take. Neither comes back."""
    (tmp_path / "slow.py").write_text(SLOW_EXIT)

    async def story(model: ServedModel) -> None:
        await model.scale(1, 1)
        (member,) = model.pool.members
        model.submit(job := request(b"x"))
        await until(lambda: job.state is JobState.SETTLED)
        await model.scale(0, 0)
        assert member.state is State.STOPPING
        kill(member)
        await reaches(member, State.STOPPED)
        assert member.pid is None

    tell(replace(spec(tmp_path, handler="slow:handle"), stop_timeout_s=1000.0), story)

    async def draining(model: ServedModel) -> None:
        await model.scale(1, 1)
        (member,) = model.pool.members
        model.submit(job := request(b"spin"))
        await reaches(member, State.BUSY)
        await until(lambda: member.page is not None and member.page.begun > 0)
        await model.scale(0, 0)
        assert member.state is State.DRAINING
        kill(member)
        await reaches(member, State.STOPPED)
        assert failure_of(job).code is ErrorCode.WORKER_DIED

    tell(spec(tmp_path), draining)


class Storm:
    """Chance, and what it did."""

    def __init__(self, model: ServedModel, seed: int) -> None:
        self.model = model
        self.dice = random.Random(seed)
        self.jobs: list[Request] = []
        self.cancelled: set[int] = set()
        self.tasks: list[asyncio.Future[None]] = []
        self.stopped: set[int] = set()

    async def step(self) -> None:
        """One event."""
        dice, model = self.dice, self.model
        match dice.choice(["submit", "submit", "submit", "submit", "cancel", "scale", "kill", "freeze", "wait", "wait", "wait"]):
            case "submit":
                for _ in range(dice.randint(1, 12)):
                    self.submit()
            case "cancel":
                for job in dice.sample(self.jobs, min(3, len(self.jobs))):
                    if job.state in (JobState.WAITING, JobState.SENT):
                        self.cancelled.add(id(job))
                    model.cancel(job)
            case "scale":
                low = dice.randint(0, 3)
                self.tasks.append(asyncio.ensure_future(model.scale(low, low + dice.randint(0, 1))))
            case "kill" | "freeze" as how:
                pids = children()
                if pids:
                    os.kill(dice.choice(pids), signal.SIGKILL if how == "kill" else signal.SIGSTOP)
            case _:
                await asyncio.sleep(dice.choice([0.0, 0.01, 0.05]))
        await asyncio.sleep(0)

    def submit(self) -> None:
        order = self.dice.choice([b"echo:x", b"echo:y", b"echo:z", b"sleep:0.01", b"exit:1", b"kill:9", b"error:no", b"spin"])
        slot = self.model.arena.take(70_000) if self.dice.random() < 0.2 and self.model.arena is not None else None
        if slot is not None:
            slot.view[:] = b"length:".ljust(70_000, b".")
        deadline = asyncio.get_running_loop().time() + 0.3 if self.dice.random() < 0.2 else 0.0
        job = Request(b"id", b"text/plain", b"", slot.view if slot is not None else order, Client(), (), slot, deadline)
        self.jobs.append(job)
        self.model.submit(job)

    def check(self) -> None:
        """The books balance now, whatever is under way."""
        counters, model = self.model.counters, self.model
        settled = counters.answered + counters.expired + counters.failed + counters.cancelled
        # a job that was cancelled while it ran is settled although its worker still has it
        dropped = sum(job.state is JobState.SETTLED for lane in model.dispatcher._lanes for job in lane.jobs.values())
        assert counters.admitted == settled + model.waiting + model.running - dropped, (counters, settled, model.waiting, model.running, dropped)
        assert counters.admitted + counters.refused == len(self.jobs)
        assert counters.cancelled == len(self.cancelled)
        for job in self.jobs:
            assert len(client_of(job).outcomes) == (1 if job.state in (JobState.SETTLED, JobState.NEW) and id(job) not in self.cancelled else 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_events_in_any_order(tmp_path: Path, figure: Report, seed: int) -> None:
    """Jobs in = answered + refused + expired + cancelled + failed at every moment; in the end no process, descriptor or memory is held.

    More seeds by ARGOSY_STORMS=<number>.
    """

    async def story(model: ServedModel) -> None:
        storm = Storm(model, seed)
        await model.scale(2, 2)
        for _ in range(EVENTS):
            await storm.step()
            storm.check()
        await model.close(1.0)
        await asyncio.gather(*storm.tasks, return_exceptions=True)
        storm.check()
        counters = model.counters
        failed = counters.expired + counters.failed + counters.cancelled
        figure(Figure(f"workers killed in any state, {EVENTS} random events, {seed}", len(storm.jobs), counters.answered, counters.refused, failed))
        assert counters.admitted > 10
        assert all(job.state in (JobState.SETTLED, JobState.NEW) for job in storm.jobs), "a refused job was never admitted"
        assert model.arena is not None
        assert model.arena.used == 0

    tell(spec(tmp_path, response_timeout_s=0.5, stop_timeout_s=0.5), story, queue_size=30)


def test_a_fork_that_hangs(tmp_path: Path) -> None:
    """A process that has preloaded the model and does not fork in time is killed, and whoever waits for the worker is told."""
    lines = "import os, signal\nos.register_at_fork(before=signal.pause)\nfrom service import handle\n"
    (tmp_path / "stuck.py").write_text(lines)

    async def story(model: ServedModel) -> None:
        with pytest.raises(ArgosyError, match=r"did not fork a worker within 0\.2 s"):
            await model.scale(1, 1)
        (member,) = model.pool.members
        assert member.state is State.BACKOFF
        assert children() == []

    tell(spec(tmp_path, handler="stuck:handle", preload=True, fork_timeout_s=0.2), story)


def test_a_model_without_memory_for_large_bodies(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where the system has no such memory left the model serves all the same, and large bodies go through the socket; the log says so."""

    async def story(model: ServedModel) -> None:
        assert model.arena is None
        await model.scale(1, 1)
        model.submit(job := request(b"length:" + b"x" * 3_000_000))
        await until(lambda: job.state is JobState.SETTLED)
        assert client_of(job).body == b"3000000"

    tell(spec(tmp_path), story, arena_size=1 << 62)
    assert "model m: no shared memory for large bodies" in caplog.text


def test_queued_workers_cannot_be_killed_and_are_dropped(tmp_path: Path) -> None:
    """SPAWNING without a process: those beyond the number that load at a time go when nobody wants them any more."""
    (tmp_path / "slow.py").write_text("import signal\nsignal.pause()\n")

    async def story(model: ServedModel) -> None:
        scaling = asyncio.ensure_future(model.scale(MOST_STARTING + 2, MOST_STARTING + 2))
        await until(lambda: len(children()) == MOST_STARTING)
        members = list(model.pool.members)
        assert [member.pid for member in members[MOST_STARTING:]] == [None, None]
        for member in members[:MOST_STARTING]:
            await reaches(member, State.LOADING)
            kill(member)
        with pytest.raises(ArgosyError, match="SIGKILL"):
            await scaling
        await model.scale(0, 0)
        for member in members:
            await reaches(member, State.STOPPED)

    tell(spec(tmp_path, handler="slow:handle"), story)
