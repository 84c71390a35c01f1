"""A served model with real workers in this process: scaling, failures to start, refusals, closing."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from argosy.dataplane.batcher import Policy
from argosy.dataplane.served import ServedModel
from argosy.errors import ArgosyError, ErrorCode
from argosy.messages import JobState
from argosy.supervisor.member import Surroundings
from argosy.supervisor.pool import MOST_STARTING
from argosy.supervisor.process import Reaper, children
from argosy.supervisor.spec import ModelSpec
from argosy.supervisor.states import State
from argosy.testing.server import OBEDIENT
from fakes.dataplane import Client, client_of, request

Story = Callable[[ServedModel], Awaitable[None]]


def spec(folder: Path, **changes: Any) -> ModelSpec:
    """A model with the obedient handler."""
    (folder / "service.py").write_text(OBEDIENT)
    made = ModelSpec(
        name="m", version=None, url="m", directory=folder, handler="service:handle", runtime="python", interpreter=sys.executable, manifest=None,
        stop_timeout_s=5.0)  # fmt: skip
    return replace(made, **changes)


def environment(spec: ModelSpec) -> dict[str, str]:
    """What a worker sees: the handler notes in a file `begun` beside it what it has begun."""
    return {**os.environ, "PYTHONPATH": str(spec.directory), "BEGUN_FILE": str(spec.directory / "begun")}


def tell(given: ModelSpec, story: Story, *, queue_size: int = 100, arena_size: int = 1 << 20) -> list[tuple[str, bytes]]:
    """Run the story with a model on a loop of its own, close it, and see that no process and no descriptor stays; the workers' output."""
    output: list[tuple[str, bytes]] = []
    gc.collect()  # what other tests have left would else be closed in between
    before = len(os.listdir("/proc/self/fd"))

    async def run() -> None:
        loop = asyncio.get_running_loop()
        around = Surroundings(
            loop, Reaper(loop), environment, {"error_detail": "traceback"},
            lambda model, worker, stream, line: output.append((stream, line)), lambda model, line: None, 1 << 20, time.time, lambda: False,
        )  # fmt: skip
        model = ServedModel(given, around, 9000, Policy(1, 0.0), queue_size, arena_size, lambda: None)
        assert (model.min_workers, model.max_workers) == (0, 0)
        try:
            await story(model)
        finally:
            await model.close(0.0)
        assert (model.workers(), model.waiting, model.running, model.is_ready) == ([], 0, 0, False)
        assert (model.min_workers, model.max_workers) == (0, 0)

    asyncio.run(run())
    assert children() == []
    assert len(os.listdir("/proc/self/fd")) == before
    return output


async def until(probe: Callable[[], object]) -> None:
    """Let the loop run until the probe is true."""
    while True:
        if probe():
            return
        await asyncio.sleep(0.002)


def test_a_life(tmp_path: Path) -> None:
    """Scaled up it answers, also large bodies from shared memory; scaled down it goes on; scaled to nothing it refuses."""

    async def story(model: ServedModel) -> None:
        refused = request(b"echo:x")
        refused.admitted_at = 1.0
        model.submit(refused)
        assert refused.admitted_at == 1.0
        assert client_of(refused).error.code is ErrorCode.NO_WORKER
        await model.scale(2, 2)
        assert model.is_ready
        assert [worker.state for worker in model.workers()] == ["IDLE", "IDLE"]
        job = request(b"echo:hello")
        model.submit(job)
        await until(lambda: job.state is JobState.SETTLED)
        assert client_of(job).body == b"hello"
        assert model.arena is not None
        slot = model.arena.take(100_000)
        assert slot is not None
        slot.view[:] = b"length:" + b"z" * 99_993
        large = request(slot.view)
        large.slot = slot
        model.submit(large)
        await until(lambda: large.state is JobState.SETTLED)
        assert client_of(large).body == b"99993"
        assert model.arena.used == 0
        await model.scale(1, 1)
        assert len(model.workers()) == 1
        await model.scale(0, 1)
        assert len(model.workers()) == 1
        await model.scale(0, 0)
        model.submit(late := request(b"echo:x"))
        assert client_of(late).error.code is ErrorCode.NO_WORKER
        assert (model.counters.answered, model.counters.refused) == (2, 2)
        assert "ServedModel m" in repr(model)

    tell(spec(tmp_path), story)


def test_refusals_give_memory_back(tmp_path: Path) -> None:
    """A full queue refuses; the slot of the refused body is free at once."""

    async def story(model: ServedModel) -> None:
        await model.scale(1, 1)
        held = [request(b"sleep:0.2") for _ in range(4)]
        for job in held:
            model.submit(job)
        assert model.arena is not None
        slot = model.arena.take(10)
        late = request(b"x")
        late.slot = slot
        model.submit(late)
        assert client_of(late).error.code is ErrorCode.NO_WORKER
        assert model.arena.used == 0
        model.cancel(held[3])
        await until(lambda: all(job.state is JobState.SETTLED for job in held))
        assert client_of(held[3]).outcomes == []

    tell(spec(tmp_path), story, queue_size=4)


def test_a_deadline_of_a_waiting_job(tmp_path: Path) -> None:
    """It is failed when its time is over, although no worker has come."""

    async def story(model: ServedModel) -> None:
        scaling = asyncio.ensure_future(model.scale(1, 1))
        await until(lambda: model.workers())
        job = request(b"echo:x", deadline=asyncio.get_running_loop().time() + 0.01)
        model.submit(job)
        await until(lambda: job.state is JobState.SETTLED)
        assert client_of(job).error.code is ErrorCode.DEADLINE_EXCEEDED
        scaling.cancel()

    (tmp_path / "slow.py").write_text("import time\ntime.sleep(1000)\n")
    tell(spec(tmp_path, handler="slow:handle"), story, arena_size=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"interpreter": "/no/such/python"}, "cannot start /no/such/python"),
        ({"handler": "missing:handle"}, "missing"),
        ({"handler": "slow:handle", "startup_timeout_s": 0.5}, "startup_timeout_s"),
    ],
)
def test_failures_to_start(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    """`scale` raises the reason and the workers go on trying until the model is closed."""
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(1000)\n")

    async def story(model: ServedModel) -> None:
        with pytest.raises(ArgosyError, match=message) as caught:
            await model.scale(1, 1)
        assert caught.value.code is ErrorCode.LOAD_FAILED
        await until(lambda: model.workers()[0].restarts > 0)
        assert message in (model.workers()[0].last_error or "")
        assert model.counters.restarts >= 1
        model.submit(late := request(b"echo:x"))
        assert client_of(late).error.code is ErrorCode.NO_WORKER

    tell(spec(tmp_path, **changes), story)


def test_the_first_failure_ends_the_wait(tmp_path: Path) -> None:
    """Of two workers one fails while the other still loads: `scale` does not wait for that one."""
    code = "import time\ntry:\n    open('flag', 'x').close()\nexcept FileExistsError:\n    time.sleep(1000)\nraise RuntimeError('the first')\n"
    (tmp_path / "mixed.py").write_text(code)

    async def story(model: ServedModel) -> None:
        with pytest.raises(ArgosyError, match="the first"):
            await model.scale(2, 2)

    tell(spec(tmp_path, handler="mixed:handle"), story)


def test_closing_answers_what_runs(tmp_path: Path) -> None:
    """Jobs that were accepted are answered before the workers end; jobs that come later, and scaling, are refused."""

    async def story(model: ServedModel) -> None:
        await model.scale(1, 1)
        jobs = [request(b"sleep:0.1"), request(b"echo:last")]
        for job in jobs:
            model.submit(job)
        closing = asyncio.ensure_future(model.close(10.0))
        await asyncio.sleep(0)
        model.submit(late := request(b"echo:x"))
        assert client_of(late).error.code is ErrorCode.NO_WORKER
        with pytest.raises(ArgosyError, match="being unregistered"):
            await model.scale(2, 2)
        assert "closing" in repr(model)
        await closing
        assert [client_of(job).body for job in jobs] == [b"0.1", b"last"]

    tell(spec(tmp_path), story)


def test_closing_does_not_wait_for_ever(tmp_path: Path) -> None:
    """What runs longer than the time given fails, what waits is refused."""

    async def story(model: ServedModel) -> None:
        await model.scale(1, 1)
        running, waiting = request(b"spin"), request(b"echo:x")
        model.submit(running)
        await until((tmp_path / "begun").exists)
        model.submit(waiting)
        await model.close(0.2)
        assert client_of(running).error.code is ErrorCode.WORKER_DIED
        assert client_of(waiting).error.code is ErrorCode.DRAINING

    tell(spec(tmp_path), story)


def test_a_worker_that_is_stopped_before_it_has_loaded(tmp_path: Path) -> None:
    """Whoever waits for it is told."""
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(1000)\n")

    async def story(model: ServedModel) -> None:
        scaling = asyncio.ensure_future(model.scale(1, 1))
        await until(lambda: model.workers() and model.workers()[0].state == State.LOADING.value)
        await model.close(0.0)
        with pytest.raises(ArgosyError, match="stopped before it had loaded"):
            await scaling

    tell(spec(tmp_path, handler="slow:handle"), story)


def test_closing_again_hurries(tmp_path: Path) -> None:
    """Who closes without patience does not wait for the patience of who closed before."""

    async def story(model: ServedModel) -> None:
        await model.scale(1, 1)
        model.submit(running := request(b"spin"))
        await until((tmp_path / "begun").exists)
        patient = asyncio.ensure_future(model.close(1e6))
        await asyncio.sleep(0)
        await model.close(0.0)
        await patient
        # the job was sent; whether the worker had begun it when it was killed is chance
        assert client_of(running).error.code in (ErrorCode.WORKER_DIED, ErrorCode.DRAINING)

    tell(spec(tmp_path), story)


def test_a_preload_that_never_ends_does_not_hold_up_the_close(tmp_path: Path) -> None:
    """Closing, or scaling to nothing, ends the load that nobody needs; whoever waits for it is told."""
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(1000)\n")

    async def story(model: ServedModel) -> None:
        ends: list[Callable[[], Coroutine[Any, Any, None]]] = [lambda: model.scale(0, 0), lambda: model.close(1e6)]
        for end in ends:
            scaling = asyncio.ensure_future(model.scale(1, 1))
            await until(children)
            await end()
            with pytest.raises(ArgosyError, match="stopped before it had loaded"):
                await scaling

    tell(spec(tmp_path, handler="slow:handle", preload=True), story)


def test_a_preload_that_failed_and_does_not_end_is_ended(tmp_path: Path) -> None:
    """A thread that the module started and forgot keeps the process alive, not the registration."""
    lines = "import threading\nthreading.Thread(target=threading.Event().wait).start()\nraise RuntimeError('no weights')\n"
    (tmp_path / "stuck.py").write_text(lines)

    async def story(model: ServedModel) -> None:
        with pytest.raises(ArgosyError, match="no weights"):
            await model.scale(1, 1)

    tell(spec(tmp_path, handler="stuck:handle", preload=True, stop_timeout_s=0.2), story)


def test_a_model_that_cannot_load_refuses_after_scaling_too(tmp_path: Path) -> None:
    """Scaling workers of which none could load does not make requests wait for them."""
    (tmp_path / "broken.py").write_text("raise RuntimeError('no weights')\n")

    async def story(model: ServedModel) -> None:
        for _ in range(2):
            with pytest.raises(ArgosyError, match="no weights"):
                await model.scale(1, 1)
            model.submit(job := request(b"echo:x"))
            assert "could not be loaded" in client_of(job).error.message

    tell(spec(tmp_path, handler="broken:handle"), story)


def test_a_client_that_raises_is_alone(tmp_path: Path) -> None:
    """Its answer is lost and logged; the next one comes."""

    async def story(model: ServedModel) -> None:
        await model.scale(1, 1)
        for client in (Client(broken=True), Client()):
            job = request(b"echo:x", client=client)
            model.submit(job)
            await until(lambda job=job: job.state is JobState.SETTLED)  # type: ignore[misc]  # mypy cannot infer it
        assert model.counters.answered == 2

    tell(spec(tmp_path), story)


def test_many_workers_start_a_few_at_a_time(tmp_path: Path) -> None:
    """The others follow as these load; closing does not start, or wait for, what was not started."""
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(1000)\n")

    async def story(model: ServedModel) -> None:
        scaling = asyncio.ensure_future(model.scale(40, 40))
        await until(children)
        assert len(model.workers()) == 40
        assert len(children()) == MOST_STARTING
        await model.close(0.0)
        with pytest.raises(ArgosyError, match="stopped before it had loaded"):
            await scaling

    tell(spec(tmp_path, handler="slow:handle"), story)


def test_all_of_many_workers_start_in_the_end(tmp_path: Path) -> None:
    """Each that has loaded, or failed, makes room for the next."""
    (tmp_path / "quick.py").write_text("def handle(data, context):\n    return None\n")

    async def story(model: ServedModel) -> None:
        await model.scale(MOST_STARTING + 3, MOST_STARTING + 3)
        assert [worker.state for worker in model.workers()] == ["IDLE"] * (MOST_STARTING + 3)

    tell(spec(tmp_path, handler="quick:handle"), story)
