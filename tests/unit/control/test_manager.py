"""The control manager: exactly one registration of a name wins, and failures leave nothing behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from argosy.config import Config, Target
from argosy.control.manager import MAX_DRAIN_S, Manager, Outcome
from argosy.control.memory import WORKER_BYTES, Memory
from argosy.control.registration import Interpreters, RegisterRequest
from argosy.dataplane.registry import Registry
from argosy.errors import ArgosyError, ErrorCode
from argosy.store.manifest import Manifest
from argosy.supervisor.spec import ModelSpec
from fakes.serving import FakeModel, FakeStore, manifest, quiet

LOAD_FAILED = ArgosyError(ErrorCode.LOAD_FAILED, "ValueError: no weights", detail="Traceback …")


class World:
    """A manager on fakes. `prepare` changes a model when it is made."""

    def __init__(self, executor: ThreadPoolExecutor, config: Config, prepare: Callable[[FakeModel], object] | None) -> None:
        self.store = FakeStore({f"{name}.mar": manifest(name) for name in "abc"})
        self.models: list[FakeModel] = []
        self.prepare = prepare
        self.executor = executor
        self.interpreters = Interpreters("/usr/bin/python", lambda program: f"/usr/bin/{program}")
        self.manager = Manager(Registry(), config, self.store, self.store.read_manifest, self.make, executor, self.interpreters)

    def make(self, spec: ModelSpec) -> FakeModel:
        model = FakeModel(spec)
        if self.prepare is not None:
            self.prepare(model)
        self.models.append(model)
        return model

    @property
    def names(self) -> list[str]:
        return [model.spec.name for model in self.manager.registry]

    async def failure(self, call: Awaitable[object]) -> ErrorCode:
        with pytest.raises(ArgosyError) as caught:
            await call
        return caught.value.code


def run(story: Callable[[World], Awaitable[None]], config: Config | None = None, prepare: Callable[[FakeModel], object] | None = None) -> World:
    """Tell a story in a world of its own, then close it."""

    async def tell() -> World:
        with ThreadPoolExecutor(2) as executor:
            world = World(executor, config or Config(), prepare)
            await story(world)
            await world.manager.close(0.0)
            return world

    return asyncio.run(tell())


def failing(model: FakeModel) -> None:
    model.failures.append(LOAD_FAILED)


def test_unknown_url_leaves_nothing() -> None:
    """A url that the store does not have is the store's failure; the name stays free."""

    async def story(world: World) -> None:
        assert await world.failure(world.manager.register(RegisterRequest("x.mar", name="a"))) is ErrorCode.MODEL_NOT_FOUND
        assert (await world.manager.register(RegisterRequest("a.mar"))).name == "a"

    run(story)


def test_broken_manifest_gives_the_files_back() -> None:
    """A manifest that cannot be read fails the registration and releases the folder."""

    async def story(world: World) -> None:
        world.store.content["bad.mar"] = ArgosyError(ErrorCode.INVALID_MODEL, "Failed to parse signature.json.")
        assert await world.failure(world.manager.register(RegisterRequest("bad.mar"))) is ErrorCode.INVALID_MODEL
        assert [location.released for location in world.store.locations] == [1]

    run(story)


@pytest.mark.parametrize("bad", [Manifest(), manifest(handler=None), manifest(runtime=None), manifest(name="../x"), manifest(handler="/etc/x:f")])
def test_incomplete_manifest_gives_the_files_back(bad: Manifest) -> None:
    """Whatever is wrong with a manifest: nothing is registered, no model is made, the folder is released."""

    async def story(world: World) -> None:
        world.store.content["bad.mar"] = bad
        assert await world.failure(world.manager.register(RegisterRequest("bad.mar"))) is ErrorCode.INVALID_MODEL
        assert not world.names
        assert not world.models
        assert [location.released for location in world.store.locations] == [1]

    run(story)


@pytest.mark.parametrize("name", ["../../evil", "a/b", "..", "a\n2026", "a\0b", "x" * 129, ".hidden", "-dash", "a b"])
def test_unsafe_name_is_refused_before_any_file_is_touched(name: str) -> None:
    """A name that is not safe in paths, urls and logs never reaches the store."""

    async def story(world: World) -> None:
        assert await world.failure(world.manager.register(RegisterRequest("a.mar", name=name))) is ErrorCode.INVALID_MODEL
        assert not world.store.locations

    run(story)


@pytest.mark.parametrize("code", [ErrorCode.LOAD_FAILED, ErrorCode.OUT_OF_MEMORY])
def test_failed_load_leaves_no_trace(code: ErrorCode) -> None:
    """A synchronous registration whose worker cannot load unregisters the model, closes it and releases the files; the cause is the handler's."""

    def prepare(model: FakeModel) -> None:
        model.failures.append(ArgosyError(code, "ValueError: no weights", detail="Traceback …"))

    async def story(world: World) -> None:
        with pytest.raises(ArgosyError) as caught:
            await world.manager.register(RegisterRequest("a.mar", initial_workers=1))
        assert (caught.value.code, caught.value.message, caught.value.detail) == (code, "Failed to start workers", "Traceback …")
        assert isinstance(caught.value.__cause__, ArgosyError)
        assert caught.value.__cause__.message == "ValueError: no weights"
        assert not world.names
        assert world.models[0].closed_with == [0.0]
        assert world.store.locations[0].released == 1

    run(story, prepare=prepare)


def test_a_model_that_does_not_fit_leaves_no_trace() -> None:
    """Refused before a worker starts while another one loads into the memory that is left; what a finished one took is no longer promised."""
    gate, made = asyncio.Event(), asyncio.Event()

    def prepare(model: FakeModel) -> None:
        model.gate = gate
        made.set()

    async def story(world: World) -> None:
        memory = Memory(1.0, lambda: int(1.5 * WORKER_BYTES))
        store = world.store
        world.manager = manager = Manager(
            Registry(), Config(multi_model=True), store, store.read_manifest, world.make, world.executor, world.interpreters, memory)
        first = asyncio.create_task(manager.register(RegisterRequest("a.mar")))
        await made.wait()
        await world.models[0].entered.wait()
        assert await world.failure(manager.register(RegisterRequest("b.mar"))) is ErrorCode.OUT_OF_MEMORY
        assert world.names == ["a"]
        assert (world.models[1].min_workers, world.models[1].closed_with) == (0, [0.0])
        assert [location.released for location in store.locations] == [0, 1]
        gate.set()
        assert (await first).outcome is Outcome.STARTED
        assert (await manager.register(RegisterRequest("b.mar"))).outcome is Outcome.STARTED

    run(story, prepare=prepare)


def test_registration_that_is_overtaken_says_so() -> None:
    """Workers that another call took away before they had loaded make a conflict, not a failure of the model."""

    def prepare(model: FakeModel) -> None:
        model.failures.append(ArgosyError(ErrorCode.CANCELLED, "stopped before it had loaded"))

    async def story(world: World) -> None:
        assert await world.failure(world.manager.register(RegisterRequest("a.mar", initial_workers=1))) is ErrorCode.CONFLICT
        assert not world.names

    run(story, prepare=prepare)


def test_cancelled_registration_leaves_no_trace() -> None:
    """Whoever waits for the workers and goes away leaves no model behind."""

    entered = asyncio.Event()

    def prepare(model: FakeModel) -> None:
        model.entered, model.gate = entered, asyncio.Event()

    async def story(world: World) -> None:
        call = asyncio.ensure_future(world.manager.register(RegisterRequest("a.mar", initial_workers=1)))
        await entered.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert not world.names
        assert world.store.locations[0].released == 1

    run(story, prepare=prepare)


def test_cancelled_download_is_given_back() -> None:
    """A registration that is cancelled while its files are fetched releases them as soon as they are there."""
    started, proceed = threading.Event(), threading.Event()

    def before() -> None:
        started.set()
        proceed.wait()

    async def story(world: World) -> None:
        world.store.before = before
        call = asyncio.ensure_future(world.manager.register(RegisterRequest("a.mar")))
        await asyncio.get_running_loop().run_in_executor(None, started.wait)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        proceed.set()
        await quiet()
        assert world.store.locations[0].released == 1
        assert not world.names

    run(story)


def test_cancelled_download_may_fail() -> None:
    """A registration that is cancelled while its files cannot be fetched has nothing to give back."""
    started, proceed = threading.Event(), threading.Event()

    def before() -> None:
        started.set()
        proceed.wait()

    async def story(world: World) -> None:
        world.store.before = before
        call = asyncio.ensure_future(world.manager.register(RegisterRequest("nosuch.mar")))
        await asyncio.get_running_loop().run_in_executor(None, started.wait)
        call.cancel()
        proceed.set()
        with pytest.raises(asyncio.CancelledError):
            await call
        await quiet()
        assert not world.store.locations

    run(story)


def test_one_of_two_registrations_wins() -> None:
    """Of many concurrent registrations of one name exactly one succeeds; the losers fetch nothing or give it back."""

    async def story(world: World) -> None:
        calls = [world.manager.register(RegisterRequest("a.mar", name=name)) for name in ("a", "a", None, None)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        codes = [result.code for result in results if isinstance(result, ArgosyError)]
        assert codes == [ErrorCode.CONFLICT] * 3
        assert world.names == ["a"]
        assert len(world.models) == 1
        assert sum(location.released for location in world.store.locations) == len(world.store.locations) - 1

    run(story)


def test_registration_without_workers_starts_none() -> None:
    """No workers wanted, none started."""

    async def story(world: World) -> None:
        done = await world.manager.register(RegisterRequest("a.mar", initial_workers=-2))
        assert done.outcome is Outcome.REGISTERED
        assert world.models[0].max_workers == 0

    run(story)


def test_registration_takes_the_configured_workers() -> None:
    """`default_workers_per_model` is what a registration gets that does not say."""

    async def story(world: World) -> None:
        assert (await world.manager.register(RegisterRequest("a.mar"))).outcome is Outcome.STARTED
        assert world.models[0].min_workers == 3

    run(story, Config(default_workers_per_model=3))


def test_asynchronous_registration_keeps_a_model_that_fails() -> None:
    """Nobody waits, so the workers keep trying and the model stays."""

    async def story(world: World) -> None:
        done = await world.manager.register(RegisterRequest("a.mar", initial_workers=1, synchronous=False))
        assert done.outcome is Outcome.STARTING
        await quiet()
        assert not world.models[0].failures
        assert world.names == ["a"]
        assert not world.models[0].closed_with

    run(story, prepare=failing)


@pytest.mark.parametrize("limits", [(-1, 1), (1, -1), (3, 2)])
def test_wrong_limits_are_refused_before_the_model_is_looked_up(limits: tuple[int, int]) -> None:
    """Negative numbers and a maximum below the minimum are the caller's fault, even for unknown models."""

    async def story(world: World) -> None:
        assert await world.failure(world.manager.scale("nosuch", *limits, synchronous=True)) is ErrorCode.INVALID_REQUEST

    run(story)


def test_scaling_follows_the_workers() -> None:
    """A synchronous call waits and tells failures, which undo nothing; an asynchronous one returns at once."""

    async def story(world: World) -> None:
        await world.manager.register(RegisterRequest("a.mar"))
        model = world.models[0]
        assert await world.manager.scale("a", 2, 4, synchronous=True) is Outcome.STARTED
        model.failures.append(LOAD_FAILED)
        assert await world.failure(world.manager.scale("a", 3, 3, synchronous=True)) is ErrorCode.LOAD_FAILED
        assert (model.min_workers, world.names) == (3, ["a"])
        model.failures.append(ArgosyError(ErrorCode.DRAINING, "going away"))
        assert await world.failure(world.manager.scale("a", 3, 3, synchronous=True)) is ErrorCode.DRAINING
        model.failures.append(ArgosyError(ErrorCode.DRAINING, "going away"))
        assert await world.manager.scale("a", 1, 1, synchronous=False) is Outcome.STARTING

    run(story)


def test_unknown_models_cannot_be_scaled_described_or_unregistered() -> None:
    """All three say that there is no such model."""

    async def story(world: World) -> None:
        assert await world.failure(world.manager.scale("x", 1, 1, synchronous=True)) is ErrorCode.MODEL_NOT_FOUND
        assert await world.failure(world.manager.unregister("x")) is ErrorCode.MODEL_NOT_FOUND
        with pytest.raises(ArgosyError, match="Model not found: x"):
            world.manager.describe("x")

    run(story)


def test_unregister_drains_and_forgets() -> None:
    """The model is closed with the smallest of the time limits, then it is gone and its files are released, once, whoever else asks."""

    async def story(world: World) -> None:
        await world.manager.register(RegisterRequest("a.mar"))
        await asyncio.gather(world.manager.unregister("a"), world.manager.unregister("a"))
        assert world.models[0].closed_with == [MAX_DRAIN_S]
        assert not world.names
        assert world.store.locations[0].released == 1

    run(story)


def test_unregister_out_of_time_is_repeated() -> None:
    """A model that does not end in time stays listed, cannot be scaled, and is gone after a repeated call."""

    async def story(world: World) -> None:
        await world.manager.register(RegisterRequest("a.mar"))
        gate = world.models[0].close_gate = asyncio.Event()
        assert await world.failure(world.manager.unregister("a")) is ErrorCode.TIMED_OUT
        assert world.names == ["a"]
        assert world.manager.is_closing("a")
        assert await world.failure(world.manager.scale("a", 1, 1, synchronous=True)) is ErrorCode.CONFLICT
        gate.set()
        await quiet()
        await world.manager.unregister("a")
        assert not world.names
        assert world.models[0].closed_with == [0.0]

    run(story, Config(unregister_model_timeout=0))


def test_model_that_fails_to_close_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    """A bug in closing does not keep the name taken; it is logged."""

    async def story(world: World) -> None:
        await world.manager.register(RegisterRequest("a.mar"))
        world.models[0].close_failure = OSError("no")
        await world.manager.unregister("a")
        assert not world.names

    run(story)
    assert "Model a was not closed properly" in caplog.text


def test_pages_are_cut_as_ever() -> None:
    """Limits above 100 or below 0 mean 100, offsets below 0 mean 0, and a page that ends at the last model names a next one."""

    async def story(world: World) -> None:
        for name in "cab":
            await world.manager.register(RegisterRequest(f"{name}.mar"))

        def page(limit: int, offset: int) -> tuple[str, int | None]:
            found = world.manager.list(limit, offset)
            return "".join(model.spec.name for model in found.models), found.next_offset

        assert page(100, 0) == ("abc", None)
        assert page(2, 0) == ("ab", 2)
        assert page(2, 1) == ("bc", 3)
        assert page(2, 2) == ("c", None)
        assert page(0, 0) == ("", 0)
        assert page(-1, -5) == ("abc", None)
        assert page(101, 9) == ("", None)

    run(story)


def test_start_skips_what_cannot_be_registered(caplog: pytest.LogCaptureFixture) -> None:
    """Missing files, doubled names and bad names are logged and remembered; everything else is served, trusted, and marked as of the start."""

    async def story(world: World) -> None:
        world.store.content["no name-1.2.mar"] = manifest(name=None)
        targets = [Target(None, "a.mar"), Target("a", "b.mar"), Target(None, "x.mar"), Target("../x", "c.mar"), Target(None, "no name-1.2.mar")]
        await world.manager.load_at_startup(targets, 2)
        assert world.names == ["a", "no_name_1_2"]
        assert set(world.manager.startup.failed) == {"a=b.mar", "x.mar", "../x=c.mar"}
        assert world.store.trusted == [True] * 5
        assert all(model.spec.loaded_at_startup for model in world.models)
        assert [location.released for location in world.store.locations] == [0, 1, 1, 0]
        await quiet()
        assert not world.manager.startup.pending
        assert [model.min_workers for model in world.models] == [2, 2]

    run(story)
    assert "Failed to load model: x.mar: Model not found in model store: x.mar" in caplog.text


def test_the_log_of_a_start_has_the_whole_reason(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever looks there sees why a download failed, not only that it did."""

    async def story(world: World) -> None:
        def refused() -> None:
            raise ArgosyError(ErrorCode.DOWNLOAD_FAILED, "Failed to download model from: http://h/m", detail="Connection refused")

        world.store.before = refused
        await world.manager.load_at_startup([Target(None, "http://h/m")], 1)
        assert world.manager.startup.failed["http://h/m"].detail == "Connection refused"

    run(story)
    assert caplog.messages == ["Failed to load model: http://h/m: Failed to download model from: http://h/m\nConnection refused"]


def test_end_of_the_start_can_be_waited_for() -> None:
    """It has come when each model has loaded, or failed to load, once."""

    async def story(world: World) -> None:
        await world.manager.load_at_startup([Target(None, "a.mar"), Target(None, "b.mar")], 1)
        await world.manager.loaded_at_startup()
        assert not world.manager.startup.pending

    run(story)


def test_failure_that_nobody_waits_for_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What an asynchronous call cannot do is in the log, unless the supervisor has put it there already."""

    async def story(world: World) -> None:
        await world.manager.register(RegisterRequest("a.mar"))
        for failure in (LOAD_FAILED, ArgosyError(ErrorCode.INTERNAL, "no more processes")):
            world.models[0].failures.append(failure)
            await world.manager.scale("a", 1, 1, synchronous=False)
            await quiet()

    run(story)
    assert [record.getMessage() for record in caplog.records] == ["Model a: no more processes"]


def test_start_is_pending_until_the_first_load_has_ended() -> None:
    """A start-up model counts as loading until its workers are loaded or the first of them has failed."""

    def prepare(model: FakeModel) -> None:
        model.gate = asyncio.Event()
        failing(model)

    async def story(world: World) -> None:
        await world.manager.load_at_startup([Target(None, "a.mar")], 1)
        assert world.manager.startup.pending == {"a.mar"}
        gate = world.models[0].gate
        assert gate is not None
        gate.set()
        await quiet()
        assert not world.manager.startup.pending
        assert world.names == ["a"]

    run(story, prepare=prepare)


def test_closing_ends_everything() -> None:
    """At the end all models are closed with the time that is left, their files are released, and no task runs on."""

    def prepare(model: FakeModel) -> None:
        model.gate = asyncio.Event()

    async def story(world: World) -> None:
        await world.manager.load_at_startup([Target(None, "a.mar"), Target(None, "b.mar")], 1)
        await world.manager.close(4.0)
        assert repr(world.manager) == "<Manager 0 models, 0 being registered, 0 tasks>"
        assert [model.closed_with for model in world.models] == [[4.0], [4.0]]
        assert [location.released for location in world.store.locations] == [1, 1]

    run(story, prepare=prepare)


def test_more_workers_than_allowed_are_refused_before_anything_is_touched() -> None:
    """A mistyped number must not start a hundred thousand processes."""

    async def story(world: World) -> None:
        with pytest.raises(ArgosyError, match="100000 workers are more than the 1024 that max_workers_per_model allows"):
            await world.manager.register(RegisterRequest("a.mar", name="a", initial_workers=100_000))
        assert world.names == []
        await world.manager.register(RegisterRequest("a.mar", name="a", initial_workers=0))
        with pytest.raises(ArgosyError, match="max_workers_per_model"):
            await world.manager.scale("a", 1025, 1025, synchronous=True)

    run(story)
