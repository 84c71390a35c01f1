"""The registry's only writer: registers, scales, describes and unregisters models, and leaves nothing behind when that fails."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from argosy.config import Config, Target
from argosy.control.memory import Memory
from argosy.control.registration import Interpreters, RegisterRequest, check_request, make_spec
from argosy.control.startup import Startup
from argosy.dataplane.model import Model
from argosy.dataplane.registry import Registry
from argosy.errors import ArgosyError, ErrorCode
from argosy.store.manifest import Manifest
from argosy.store.repository import default_name
from argosy.supervisor.spec import ModelSpec

_LOG = logging.getLogger(__name__)
T = TypeVar("T")

MAX_PAGE = 100
MAX_DRAIN_S = 15.0
"""Unregistering waits no longer than this for running jobs: whoever called it, and a load balancer in between, waits too."""
NOT_STARTED = "Failed to start workers"
_LOAD_FAILURES = frozenset({ErrorCode.LOAD_FAILED, ErrorCode.OUT_OF_MEMORY, ErrorCode.WORKER_DIED})
_ALREADY_KNOWN = _LOAD_FAILURES | {ErrorCode.CANCELLED}
"""Failures that the supervisor has logged, or that another call wanted."""


class Location(Protocol):
    """The folder of a model for as long as it is registered."""

    @property
    def directory(self) -> Path:
        """Where the files are."""

    def release(self) -> None:
        """Give the folder back; it goes when it is a copy that nobody uses any more. Blocks. Calling it again does nothing."""


class Repository(Protocol):
    """Where model files come from. Its functions block and are called on the executor only."""

    def locate(self, url: str, *, trusted: bool = False) -> Location:
        """The folder of a model. `trusted` when the operator named it. Raises `ArgosyError`."""


class Outcome(enum.Enum):
    """How far a call came."""

    REGISTERED = "registered"
    """Done; no workers were wanted."""
    STARTED = "started"
    """All wanted workers are loaded."""
    STARTING = "starting"
    """Workers are on their way; nobody waits for them."""


@dataclass(frozen=True, slots=True)
class Registered:
    """The result of a registration."""

    name: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the registered models, sorted by name."""

    models: Sequence[Model]
    next_offset: int | None
    """Where the next page starts; None when this one goes beyond the last model."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """The files of a model that is about to be registered."""

    location: Location
    manifest: Manifest


@dataclass(slots=True, eq=False)
class _Entry:
    """A registered model and what must be given back when it goes. Only the manager changes it."""

    model: Model
    location: Location
    closing: asyncio.Task[None] | None = None


class Manager:
    """Registers, scales, describes and unregisters models. All methods belong to one event loop."""

    def __init__(
        self,
        registry: Registry,
        config: Config,
        repository: Repository,
        read_manifest: Callable[[Path], Manifest],
        make_model: Callable[[ModelSpec], Model],
        executor: Executor,
        interpreters: Interpreters,
        memory: Memory | None = None,
    ) -> None:
        """With `memory`, registrations that wait for their workers are refused when their models do not fit into it."""
        self.registry = registry
        self.startup = Startup()
        self._config = config
        self._repository = repository
        self._read_manifest = read_manifest
        self._make_model = make_model
        self._executor = executor
        self._interpreters = interpreters
        self._memory = memory
        self._entries: dict[str, _Entry] = {}
        self._reserved: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        return f"<Manager {len(self._entries)} models, {len(self._reserved)} being registered, {len(self._tasks)} tasks>"

    # registering

    async def register(self, request: RegisterRequest) -> Registered:
        """Make a model known and start its workers.

        A synchronous call returns when all of them are loaded. When it fails, or is cancelled, nothing of the model stays. An asynchronous one
        leaves workers that fail to load trying again. Raises `ArgosyError`: what the store and `make_spec` raise, CONFLICT when the name is taken,
        LOAD_FAILED or OUT_OF_MEMORY whose cause is what the handler said.
        """
        check_request(request)
        wanted = self._default_workers if request.initial_workers is None else request.initial_workers
        self._check_workers(wanted)
        entry = await self._register_files(request)
        name = entry.model.spec.name
        if wanted <= 0:
            return Registered(name, Outcome.REGISTERED)
        if not request.synchronous:
            self._spawn(self._start(entry, wanted, wanted))
            return Registered(name, Outcome.STARTING)
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(self._surely, self._dismantle, entry, 0.0)
            await self._load_at_once(entry, wanted)
            undo.pop_all()
        return Registered(name, Outcome.STARTED)

    async def load_at_startup(self, targets: Iterable[Target], workers: int) -> None:
        """Register what the operator names, in order, each with so many workers. Returns when all are registered, not when they are loaded.

        A target that cannot be registered is logged, remembered in `startup.failed` and skipped.
        """
        listed = list(targets)
        self.startup.begin(map(str, listed))
        openings = [self._spawn(self._open(target.url_or_path, trusted=True)) for target in listed]
        for target, opening in zip(listed, openings, strict=True):
            await self._load_target(target, opening, workers)

    async def loaded_at_startup(self) -> None:
        """Returns when every model that `load_at_startup` registered has loaded, or failed to load, for the first time."""
        await self.startup.over()

    # the others

    async def scale(self, name: str, min_workers: int, max_workers: int, *, synchronous: bool) -> Outcome:
        """Change the number of workers.

        Raises `ArgosyError`: INVALID_REQUEST, MODEL_NOT_FOUND, CONFLICT while the model is being unregistered and, when synchronous, LOAD_FAILED or
        OUT_OF_MEMORY; then nothing is undone and the workers keep trying.
        """
        if min_workers < 0 or max_workers < 0:
            raise ArgosyError(ErrorCode.INVALID_REQUEST, "min_worker and max_worker cannot be negative.")
        if max_workers < min_workers:
            raise ArgosyError(ErrorCode.INVALID_REQUEST, "max_worker cannot be less than min_worker.")
        self._check_workers(min_workers)
        entry = self._entry(name)
        if entry.closing is not None:
            raise ArgosyError(ErrorCode.CONFLICT, f"Model {name} is being unregistered.")
        if not synchronous:
            self._spawn(self._start(entry, min_workers, max_workers))
            return Outcome.STARTING
        await _scaled(entry.model, min_workers, max_workers)
        return Outcome.STARTED

    async def unregister(self, name: str) -> None:
        """Let a model finish what it has accepted, end its workers and forget it.

        Raises `ArgosyError` MODEL_NOT_FOUND, or TIMED_OUT when that takes longer than `unregister_model_timeout`; it then goes on, and the model
        stays listed until the call is repeated.
        """
        entry = self._entry(name)
        limit = self._config.unregister_timeout_s
        closing = self._close(entry, min(self._config.drain_timeout_s, limit, MAX_DRAIN_S))
        await asyncio.wait({closing}, timeout=limit)
        if not closing.done():
            raise ArgosyError(ErrorCode.TIMED_OUT, f"Timed out while cleaning resources: {name}")
        await asyncio.shield(self._spawn(self._forget(entry)))

    def describe(self, name: str) -> Model:
        """The model of that name. Raises `ArgosyError` MODEL_NOT_FOUND."""
        return self.registry.get(name)

    def is_closing(self, name: str) -> bool:
        """Whether the model is being unregistered."""
        entry = self._entries.get(name)
        return entry is not None and entry.closing is not None

    def list(self, limit: int = MAX_PAGE, offset: int = 0) -> Page:
        """Models sorted by name, at most 100 of them. A page that ends exactly at the last model still names a next one, which is empty."""
        size = limit if 0 <= limit <= MAX_PAGE else MAX_PAGE
        first = max(offset, 0)
        models = [*self.registry][first : first + size]
        return Page(models, first + size if first + size <= len(self.registry) else None)

    async def close(self, drain_s: float) -> None:
        """Unregister everything at once, with at most `drain_s` seconds for what was accepted, and end all tasks."""
        entries = list(self._entries.values())
        if drain_s <= 0:  # also those that are being closed already, with more time
            await asyncio.gather(*(entry.model.close(0.0) for entry in entries if entry.closing is not None))
        await asyncio.gather(*(self._dismantle(entry, drain_s) for entry in entries))
        while self._tasks:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # steps

    async def _register_files(self, request: RegisterRequest) -> _Entry:
        """From the url to a registered model without workers.

        A name that is known before the archive is read is held meanwhile, so that of two registrations one fails before it downloads anything.
        """
        name = request.name or ""
        self._check_free(name)
        if name:
            self._reserved.add(name)
        try:
            opened = await self._open(request.url, trusted=False)
        finally:
            self._reserved.discard(name)
        return await self._add_or_release(request, opened)

    @property
    def _default_workers(self) -> int:
        """Workers of registrations that do not say."""
        return max(self._config.default_workers_per_model, 1 if self._config.multi_model else 0)

    async def _load_at_once(self, entry: _Entry, workers: int) -> None:
        if self._memory is None:
            await _scaled(entry.model, workers, workers)
            return
        spec = entry.model.spec
        need = await self._run(self._memory.measure, spec.directory, 1 if spec.preload else workers)
        with self._memory.reserved(spec.name, need):
            await _scaled(entry.model, workers, workers)

    async def _load_target(self, target: Target, opening: asyncio.Task[_Opened], workers: int) -> None:
        request = RegisterRequest(target.url_or_path, name=target.name, handler=target.handler)
        try:
            entry = await self._add_or_release(request, await opening, startup_name=default_name(target.url_or_path))
        except ArgosyError as error:
            _LOG.error("Failed to load model: %s: %s", target, "\n".join(filter(None, (error.message, error.detail))))
            self.startup.end(str(target), error)
            return
        self._spawn(self._first_load(target, entry, workers))

    async def _first_load(self, target: Target, entry: _Entry, workers: int) -> None:
        try:
            await self._start(entry, workers, workers)
        finally:
            self.startup.end(str(target))

    async def _add_or_release(self, request: RegisterRequest, opened: _Opened, startup_name: str | None = None) -> _Entry:
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(self._surely, self._run, opened.location.release)
            entry = self._add(request, opened, startup_name)
            undo.pop_all()
        return entry

    def _add(self, request: RegisterRequest, opened: _Opened, startup_name: str | None) -> _Entry:
        """Make the model known, without an await: of two registrations of one name exactly one gets here first."""
        spec = make_spec(request, opened.manifest, opened.location.directory, self._config, self._interpreters, startup_name)
        self._check_free(spec.name)
        entry = _Entry(self._make_model(spec), opened.location)
        self.registry.add(entry.model)
        self._entries[spec.name] = entry
        return entry

    def _check_workers(self, wanted: int) -> None:
        limit = self._config.max_workers_per_model
        if wanted > limit:
            raise ArgosyError(ErrorCode.INVALID_REQUEST, f"{wanted} workers are more than the {limit} that max_workers_per_model allows.")

    def _check_free(self, name: str) -> None:
        if name in self.registry or name in self._reserved:
            raise ArgosyError(ErrorCode.CONFLICT, f"Model {name} is already registered.")

    def _entry(self, name: str) -> _Entry:
        entry = self._entries.get(name)
        if entry is None:
            raise ArgosyError(ErrorCode.MODEL_NOT_FOUND, f"Model not found: {name}")
        return entry

    async def _start(self, entry: _Entry, min_workers: int, max_workers: int) -> None:
        """Scale while nobody waits: workers that cannot load keep trying."""
        try:
            await entry.model.scale(min_workers, max_workers)
        except ArgosyError as error:
            if error.code not in _ALREADY_KNOWN:
                _LOG.warning("Model %s: %s", entry.model.spec.name, error.message)

    def _close(self, entry: _Entry, drain_s: float) -> asyncio.Task[None]:
        """The one task that closes the model; the first caller's time limit counts."""
        if entry.closing is None:
            entry.closing = self._spawn(entry.model.close(drain_s))
        return entry.closing

    async def _dismantle(self, entry: _Entry, drain_s: float) -> None:
        await asyncio.wait({self._close(entry, drain_s)})
        await self._forget(entry)

    async def _forget(self, entry: _Entry) -> None:
        """The model is closed: take it out of the registry and give its files back. Nothing if somebody else did."""
        name = entry.model.spec.name
        failure = entry.closing.exception() if entry.closing is not None else None
        if self._entries.get(name) is entry:
            if failure is not None:
                _LOG.error("Model %s was not closed properly", name, exc_info=failure)
            del self._entries[name]
            self.registry.remove(name)
            await self._run(entry.location.release)

    async def _open(self, url: str, trusted: bool) -> _Opened:
        """The files and manifest of a model. When the caller goes away meanwhile, they are given back as soon as they are there."""
        opening = self._spawn(self._run(self._locate, url, trusted))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            self._spawn(self._give_back(opening))
            raise

    def _locate(self, url: str, trusted: bool) -> _Opened:
        """On the executor."""
        location = self._repository.locate(url, trusted=trusted)
        with contextlib.ExitStack() as undo:
            undo.callback(location.release)
            opened = _Opened(location, self._read_manifest(location.directory))
            undo.pop_all()
        return opened

    async def _give_back(self, opening: asyncio.Task[_Opened]) -> None:
        await asyncio.wait({opening})
        if not opening.cancelled() and opening.exception() is None:
            await self._run(opening.result().location.release)

    async def _run(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    async def _surely(self, function: Callable[..., Coroutine[Any, Any, object]], *arguments: object) -> None:
        """Call it in a task of its own, which goes on when this call is cancelled."""
        await asyncio.shield(self._spawn(function(*arguments)))

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that we keep until it ends, whoever waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _scaled(model: Model, min_workers: int, max_workers: int) -> None:
    """Scale and wait.

    Failures to load say so in one text; what the handler said is their cause. CONFLICT when somebody else has taken the workers away meanwhile.
    """
    try:
        await model.scale(min_workers, max_workers)
    except ArgosyError as error:
        if error.code is ErrorCode.CANCELLED:
            message = f"Another call scaled or unregistered model {model.spec.name} before its workers had loaded."
            raise ArgosyError(ErrorCode.CONFLICT, message) from error
        if error.code not in _LOAD_FAILURES:
            raise
        raise ArgosyError(error.code, NOT_STARTED, detail=error.detail) from error
