"""The target models of one multi-model container: brought to its folder, loaded when they are asked for, unloaded when memory is short."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.local.client import Question, ask
from argosy.sagemaker.local.container import Container
from argosy.sagemaker.local.failures import Source, dependency_failed, validation_error

_log = logging.getLogger("argosy.sagemaker")
_LOADED = frozenset({200, 409})
_NO_MEMORY = 507
_MOST_ANSWER = 64 * 1024
_BAD_TARGETS = frozenset({ErrorCode.MODEL_NOT_FOUND, ErrorCode.INVALID_REQUEST, ErrorCode.INVALID_MODEL})


@dataclass(slots=True)
class Target:
    """A target model that is loaded or being loaded. Written by `Targets` only."""

    name: str
    """What the container calls it: an opaque hash."""
    ready: asyncio.Task[None] | None = None
    users: int = 0
    has_conflict: bool = field(default=False)
    """The container said that it had it already."""


class Targets:
    """`bring` fills a folder with a target model and blocks. `inside` is what the container calls `folder`."""

    def __init__(self, container: Container, source: Source, folder: Path, inside: str, bring: Callable[[str, Path], None]) -> None:
        self._container = container
        self._source = source
        self._folder = folder
        self._inside = inside
        self._bring = bring
        self._loaded: dict[str, Target] = {}
        """By target; the one that was used last is the last one."""
        self._generation = 0
        self._released = asyncio.Condition()

    def __repr__(self) -> str:
        return f"<Targets {list(self._loaded)}>"

    @asynccontextmanager
    async def use(self, target: str) -> AsyncIterator[str]:
        """The path to invoke the target model at, which stays loaded meanwhile. Raises `InvocationFailure`, `ContainerGone`.

        Who gives up waiting does not stop the loading: a later request finds it further on.
        """
        self._check_generation()
        entry = self._loaded.pop(target, None) or Target(hashlib.sha256(target.encode()).hexdigest()[:32])
        self._loaded[target] = entry
        if entry.ready is None or (entry.ready.done() and (entry.ready.cancelled() or entry.ready.exception() is not None)):
            entry.ready = asyncio.get_running_loop().create_task(self._load(target, entry))
            entry.ready.add_done_callback(lambda task: task.cancelled() or task.exception())
        entry.users += 1
        try:
            await asyncio.shield(entry.ready)
            yield f"/models/{entry.name}/invoke"
        finally:
            entry.users -= 1
            async with self._released:
                self._released.notify_all()

    async def reload(self, target: str) -> bool:
        """The container says that it does not have the model: load it again. False when it has it, so that the model itself said so."""
        entry = self._loaded.get(target)
        if entry is None:
            return False
        entry.ready = asyncio.get_running_loop().create_task(self._load(target, entry))
        await asyncio.shield(entry.ready)
        return not entry.has_conflict

    async def close(self) -> None:
        """Stop loading."""
        tasks = [entry.ready for entry in self._loaded.values() if entry.ready is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _check_generation(self) -> None:
        """A container that was started again has nothing loaded."""
        if self._generation != self._container.generation:
            self._generation = self._container.generation
            self._loaded = {}

    async def _load(self, target: str, entry: Target) -> None:
        folder = self._folder / entry.name / "model"
        with contextlib.ExitStack() as undo:
            undo.callback(self._forget, target, entry)
            if not await asyncio.to_thread(folder.is_dir):
                await asyncio.to_thread(self._fill, target, folder)
            await self._register(target, entry)
            undo.pop_all()

    def _forget(self, target: str, entry: Target) -> None:
        if self._loaded.get(target) is entry:
            del self._loaded[target]

    def _fill(self, target: str, folder: Path) -> None:
        try:
            folder.parent.mkdir(mode=0o755, exist_ok=True)
            self._bring(target, folder)
        except ArgosyError as error:
            shutil.rmtree(folder.parent, ignore_errors=True)
            if error.code in _BAD_TARGETS:
                raise validation_error(f"Failed to download model data for target model {target}. {error.message}") from error
            raise dependency_failed(error.message) from error

    async def _register(self, target: str, entry: Target) -> None:
        """Have the container load it; when it has no memory, unload what was used least lately, and wait for what is in use."""
        order = json.dumps({"model_name": entry.name, "url": f"{self._inside}/{entry.name}/model"}).encode()
        while True:
            status, said = await self._ask(Question("POST", "/models", (("Content-Type", "application/json"),), order))
            if status != _NO_MEMORY:
                break
            await self._make_room(target, said)
        entry.has_conflict = status == 409
        if status not in _LOADED:
            raise self._source.model_error(status, said)
        _log.info("%s loaded target model %s as %s", self._container.label, target, entry.name)

    async def _make_room(self, target: str, said: str) -> None:
        """Unload one other model that nobody uses. Raises `InvocationFailure` when there is no other."""
        async with self._released:
            while True:
                others = [name for name, entry in self._loaded.items() if name != target and entry.ready is not None and entry.ready.done()]
                if not others:
                    raise self._source.model_error(_NO_MEMORY, said)
                idle = next((name for name in others if not self._loaded[name].users), None)
                if idle is not None:
                    break
                await self._released.wait()
            entry = self._loaded.pop(idle)
        await self._unload(idle, entry)

    async def _unload(self, target: str, entry: Target) -> None:
        status, said = await self._ask(Question("DELETE", f"/models/{entry.name}"))
        if status not in (200, 404):
            raise self._source.model_error(status, said)
        _log.info("%s unloaded target model %s", self._container.label, target)
        if target not in self._loaded:
            await asyncio.to_thread(shutil.rmtree, self._folder / entry.name, ignore_errors=True)

    async def _ask(self, question: Question) -> tuple[int, str]:
        answer = await ask(self._container.port, question)
        with contextlib.closing(answer):
            body = await answer.read(_MOST_ANSWER)
        return answer.status, (body or b"").decode("utf-8", "replace")
