"""Stand-ins for what the control manager and the protocols build on: models, locations and a model store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argosy.dataplane.model import Counters, WorkerInfo
from argosy.errors import ArgosyError, ErrorCode
from argosy.messages import Request
from argosy.store.manifest import Manifest
from argosy.supervisor.spec import ModelSpec


def spec(name: str = "m", *, startup: bool = False, version: str | None = None) -> ModelSpec:
    """A registered model."""
    return ModelSpec(
        name=name, version=version, url=f"{name}.mar", directory=Path("/models") / name, handler="service:handle", runtime="python",
        interpreter="python", manifest=None, loaded_at_startup=startup)  # fmt: skip


def worker(state: str = "IDLE", *, pid: int | None = 7, last_error: str | None = None, gpu_id: int | None = None) -> WorkerInfo:
    """One worker as a model shows it."""
    return WorkerInfo("9000-ab03d264", pid, state, 1_795_341_028.495, gpu_id, 0, last_error)


class FakeModel:
    """A model whose workers are what a test says. `failures` are raised by the next calls of `scale`; `gate` holds them up."""

    def __init__(self, given: ModelSpec) -> None:
        self.spec = given
        self.counters = Counters()
        self.style: Mapping[str, Any] = {}
        self.min_workers = 0
        self.max_workers = 0
        self.waiting = 0
        self.running = 0
        self.infos: list[WorkerInfo] = []
        self.failures: list[ArgosyError] = []
        self.entered = asyncio.Event()
        """Set by the first call of `scale`."""
        self.gate: asyncio.Event | None = None
        self.close_gate: asyncio.Event | None = None
        self.close_failure: Exception | None = None
        self.closed_with: list[float] = []

    def workers(self) -> list[WorkerInfo]:
        """What the test put there."""
        return self.infos

    async def scale(self, min_workers: int, max_workers: int) -> None:
        """Remember the limits, pass the gate, fail if told to."""
        self.min_workers, self.max_workers = min_workers, max_workers
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.infos = [worker() for _ in range(min_workers)]

    async def close(self, drain_s: float) -> None:
        """Remember the time limit, pass the gate."""
        self.closed_with.append(drain_s)
        if self.close_gate is not None:
            await self.close_gate.wait()
        if self.close_failure is not None:
            raise self.close_failure

    def submit(self, request: Request) -> None:
        """Refuse."""
        request.sink.fail(ArgosyError(ErrorCode.NO_WORKER, "no worker"))


class FakeLocation:
    """A folder that counts how often it was given back."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.released = 0

    def release(self) -> None:
        """Count."""
        self.released += 1


@dataclass
class FakeStore:
    """A model store in memory: url → manifest, or the failure that locating it raises."""

    content: dict[str, Manifest | ArgosyError] = field(default_factory=dict)
    locations: list[FakeLocation] = field(default_factory=list)
    trusted: list[bool] = field(default_factory=list)
    before: Callable[[], object] | None = None
    """Called by `locate` first; blocks the thread if it does."""

    def locate(self, url: str, *, trusted: bool = False) -> FakeLocation:
        """A folder named after the url."""
        if self.before is not None:
            self.before()
        self.trusted.append(trusted)
        found = self.content.get(url)
        if found is None:
            raise ArgosyError(ErrorCode.MODEL_NOT_FOUND, f"Model not found in model store: {url}")
        location = FakeLocation(Path("/models") / url)
        self.locations.append(location)
        return location

    def read_manifest(self, directory: Path) -> Manifest:
        """What the test put under the url."""
        found = self.content[str(directory.relative_to("/models"))]
        if isinstance(found, ArgosyError):
            raise found
        return found


def manifest(name: str | None = "m", handler: str | None = "service:handle", runtime: str | None = "python") -> Manifest:
    """A manifest with the usual entries."""
    return Manifest(model_name=name, handler=handler, runtime=runtime, raw={"model": {"modelName": name}})


async def quiet() -> None:
    """Wait until every other task of this loop has ended."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)
