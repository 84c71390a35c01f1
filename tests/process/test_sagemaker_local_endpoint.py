"""Containers, target models and endpoints, piece by piece, with containers that do as they are told."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import psutil
import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.local.client import Question, ask
from argosy.sagemaker.local.container import Container, Health
from argosy.sagemaker.local.engine import Recipe
from argosy.sagemaker.local.failures import InvocationFailure, Source
from argosy.sagemaker.local.output import Output
from argosy.sagemaker.local.settings import Watch
from argosy.sagemaker.local.targets import Targets
from argosy.testing.server import is_alive, wait_for
from fakes import sagemaker_container
from fakes.sagemaker_container import StandIn, do, stand_in

WATCH = Watch(ping_every_s=0.02, start_ping_every_s=0.01, stop_s=5.0, backoff_s=(0.01,))
SOURCE = Source("primary", "arn", "log")


STUBBORN = ("import signal", "signal.signal(signal.SIGTERM, signal.SIG_IGN)", "print('ready')", "while True: signal.pause()")


async def until(probe: Callable[[], bool], what: str) -> None:
    """Wait, while the loop goes on, until it is so."""
    await asyncio.to_thread(wait_for, probe, what)


def script(*code: str) -> Recipe:
    """A process of these lines."""
    return Recipe((sys.executable, "-u", "-c", "\n".join(code)), dict(os.environ), None)


# -- one container -----------------------------------------------------------------------------------------------------


def serving(port: int) -> Recipe:
    """The stand-in as a process."""
    return Recipe((sys.executable, sagemaker_container.__file__, str(port)), dict(os.environ), None)


def container(tmp_path: Path, make: Callable[[int], Recipe], startup_s: float = 30.0) -> Container:
    """One that is not started yet."""
    return Container("e/v/0", make, startup_s, WATCH, Output(tmp_path / "log"), lambda pid, remove: None)


def test_a_container_lives(tmp_path: Path) -> None:
    """It is healthy once it is started, comes back on another port when it dies, and is stopped for good."""

    async def run() -> None:
        one = container(tmp_path, serving)
        assert one.health is Health.STARTING
        await one.start()
        assert (one.health, one.generation) == (Health.HEALTHY, 1)
        answer = await ask(one.port, Question("POST", "/invocations", (), do(body="x")))
        assert await answer.read(10) == b"x"
        (process,) = psutil.Process().children()
        process.kill()
        await until(lambda: one.generation == 2 and one.is_healthy, "the second life")
        await one.stop()
        await one.stop()
        assert repr(one).startswith("<Container e/v/0 stopped ")

    asyncio.run(run())
    assert psutil.Process().children() == []


def test_a_container_that_is_hurried_before_its_stop_is_killed_then(tmp_path: Path) -> None:
    """Until it is stopped it goes on serving."""

    async def run() -> None:
        patient = dataclasses.replace(WATCH, stop_s=600.0)
        command = script(*STUBBORN[:2], "import runpy", f"runpy.run_path({sagemaker_container.__file__!r}, run_name='__main__')").command
        output = Output(tmp_path / "log")
        one = Container("e", lambda port: Recipe((*command, str(port)), dict(os.environ), None), 30.0, patient, output, noted)
        await one.start()
        one.hurry()
        assert await (await ask(one.port, Question("POST", "/invocations", (), do(body="x")))).read(10) == b"x"
        await one.stop()

    pids: list[int] = []

    def noted(pid: int, remove: Sequence[str]) -> None:
        pids.append(pid)

    asyncio.run(run())
    assert len(pids) == 1
    assert not is_alive(pids[0])


def test_a_container_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """When its time is over; the message has the time."""

    async def run() -> None:
        one = container(tmp_path, lambda port: script("import signal", "signal.pause()"), 0.1)
        with pytest.raises(ArgosyError, match=r"did not pass the ping health check within 0\.1 s"):
            await one.start()
        await one.stop()

    asyncio.run(run())
    assert psutil.Process().children() == []


def test_a_port_that_was_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    """The container is started again on another one, as often as somebody else is there."""

    async def run() -> list[int]:
        ports: list[int] = []
        thieves: list[asyncio.Server] = []

        def make(port: int) -> Recipe:
            ports.append(port)
            return serving(port) if len(ports) == 2 else script("raise SystemExit(1)")

        async def steal() -> None:
            await until(lambda: bool(ports), "a start")
            thieves.append(await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", ports[0]))

        one = container(tmp_path, make)
        await asyncio.gather(one.start(), steal())
        assert one.port == ports[1]
        await one.stop()
        thieves[0].close()
        return ports

    assert len(asyncio.run(run())) == 2


# -- target models -----------------------------------------------------------------------------------------------------


class Running:
    """What targets need of a container: the stand-in's port."""

    def __init__(self, server: StandIn, tmp_path: Path) -> None:
        self.container = container(tmp_path, serving)
        self.container.port = server.port
        self.brought: list[str] = []
        folder = tmp_path / "models"
        folder.mkdir()
        self.folder = folder
        self.targets = Targets(self.container, SOURCE, folder, str(folder), self.bring)

    def bring(self, target: str, folder: Path) -> None:
        """Make the folder of a model."""
        self.brought.append(target)
        if target == "none":
            raise ArgosyError(ErrorCode.MODEL_NOT_FOUND, "There is none.")
        if target == "broken-s3":
            raise ArgosyError(ErrorCode.DOWNLOAD_FAILED, "S3 is down.")
        folder.mkdir()
        if target == "bad":
            (folder / "refuse").touch()


def with_targets(tmp_path: Path, work: Callable[[Running, StandIn], Awaitable[None]], most_models: int = 2) -> None:
    """Do something with the target models of a stand-in."""

    async def run(server: StandIn) -> None:
        running = Running(server, tmp_path)
        await work(running, server)
        await running.targets.close()
        running.container.output.close()

    with stand_in(most_models) as server:
        asyncio.run(run(server))


def test_a_model_is_loaded_once_for_all_who_ask_at_once(tmp_path: Path) -> None:
    """One fetch, one load."""

    async def work(running: Running, server: StandIn) -> None:
        async def use() -> str:
            async with running.targets.use("a") as path:
                return path

        paths = await asyncio.gather(*(use() for _ in range(5)))
        assert len(set(paths)) == 1
        assert (running.brought, len(server.calls)) == (["a"], 1)

    with_targets(tmp_path, work)


def test_a_model_in_use_is_not_unloaded(tmp_path: Path) -> None:
    """Who needs its place waits until it is done with; what is on disk goes with it."""

    async def work(running: Running, server: StandIn) -> None:
        async with running.targets.use("a") as first:
            waiting = asyncio.create_task(_use(running, "b"))
            await until(lambda: len(server.calls) == 2, "a refusal")
            assert not waiting.done()
            assert first.split("/")[2] in server.models
        await waiting
        assert first.split("/")[2] not in server.models
        assert len(list(running.folder.iterdir())) == 1

    with_targets(tmp_path, work, most_models=1)


async def _use(running: Running, target: str) -> str:
    async with running.targets.use(target) as path:
        return path


def test_one_model_that_is_too_large_is_told(tmp_path: Path) -> None:
    """There is nothing to unload for it."""

    async def work(running: Running, server: StandIn) -> None:
        with pytest.raises(InvocationFailure, match="no memory") as caught:
            await _use(running, "a")
        assert caught.value.more["OriginalStatusCode"] == 507

    with_targets(tmp_path, work, most_models=0)


@pytest.mark.parametrize(("target", "status", "kind"), [("none", 400, "ValidationError"), ("broken-s3", 530, "InternalDependencyException"),
                                                        ("bad", 424, "ModelError")])  # fmt: skip
def test_a_model_that_cannot_be_loaded(tmp_path: Path, target: str, status: int, kind: str) -> None:
    """Is told by whose fault it is, and tried again when it is asked for again."""

    async def work(running: Running, server: StandIn) -> None:
        for _ in range(2):
            with pytest.raises(InvocationFailure) as caught:
                await _use(running, target)
            assert (caught.value.status, caught.value.kind) == (status, kind)
        assert running.brought.count(target) == (1 if target == "bad" else 2)

    with_targets(tmp_path, work)


def test_a_model_that_the_container_forgot_is_loaded_again(tmp_path: Path) -> None:
    """A 404 of the model itself is not taken for that."""

    async def work(running: Running, server: StandIn) -> None:
        name = (await _use(running, "a")).split("/")[2]
        assert not await running.targets.reload("a")
        server.models.clear()
        assert await running.targets.reload("a")
        assert name in server.models
        assert not await running.targets.reload("never-used")

    with_targets(tmp_path, work)


def test_a_container_that_was_started_again_has_nothing_loaded(tmp_path: Path) -> None:
    """Its models are loaded again, from the disk where they still are."""

    async def work(running: Running, server: StandIn) -> None:
        await _use(running, "a")
        server.models.clear()
        running.container.generation += 1
        name = (await _use(running, "a")).split("/")[2]
        assert name in server.models
        assert running.brought == ["a"]

    with_targets(tmp_path, work)


def test_who_gives_up_waiting_leaves_the_loading_going(tmp_path: Path) -> None:
    """The next request finds the model loaded."""

    async def work(running: Running, server: StandIn) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await _use(running, "a")
        await _use(running, "a")
        assert running.brought == ["a"]
        assert len(server.calls) == 1

    with_targets(tmp_path, work)
