"""Keeps one container running: starts it, asks for its health, and starts it again when it ends or falls ill."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
from collections.abc import Callable, Sequence

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.local.child import Child
from argosy.sagemaker.local.client import ContainerGone, Question, ask
from argosy.sagemaker.local.engine import Recipe, free_port, is_taken
from argosy.sagemaker.local.output import Output
from argosy.sagemaker.local.settings import Watch

_log = logging.getLogger("argosy.sagemaker")
_MOST_PORTS = 3
_PING = Question("GET", "/ping")


class Health(enum.Enum):
    """How a container is. Written by `Container` only."""

    STARTING = "starting"
    HEALTHY = "healthy"
    ILL = "ill"
    """It has ended, or does not answer; it will be started again."""
    STOPPED = "stopped"


class Container:
    """One container of an instance. `make` gives the recipe for a start on a port; `note` is told of each start: pid, command that removes it."""

    def __init__(
        self, label: str, make: Callable[[int], Recipe], startup_s: float, watch: Watch, output: Output, note: Callable[[int, Sequence[str]], None],
    ) -> None:
        self.label = label
        self.output = output
        self.health = Health.STARTING
        self.port = 0
        self.generation = 0
        """Grows with every start: what was known of an earlier one, such as its sessions, is void."""
        self._make = make
        self._startup_s = startup_s
        self._watch = watch
        self._note = note
        self._has_to_hurry = False
        self._child: Child | None = None
        self._keeper: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Container {self.label} {self.health.value} port {self.port} generation {self.generation}>"

    @property
    def is_healthy(self) -> bool:
        """Whether it can be asked."""
        return self.health is Health.HEALTHY

    async def start(self) -> None:
        """Start it for the first time, and keep it from then on. Raises `ArgosyError` LOAD_FAILED with what it printed last."""
        await self._launch()
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self) -> None:
        """End it. Calling it again does nothing."""
        self.health = Health.STOPPED
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        await self._end()
        self.output.close()

    def hurry(self) -> None:
        """Kill it when it is to be stopped, also if that takes place already."""
        self._has_to_hurry = True
        if self._child is not None and self.health is Health.STOPPED:
            self._child.hurry()

    async def _end(self) -> None:
        if self._child is not None:
            if self._has_to_hurry:
                self._child.hurry()
            await self._child.end(self._watch.stop_s)
            self._child = None

    async def _launch(self) -> None:
        """Start it and wait until it is healthy, on another port if somebody was faster to take the first one. Raises `ArgosyError` LOAD_FAILED."""
        for _ in range(_MOST_PORTS - 1):
            try:
                return await self._launch_on(free_port())
            except ArgosyError:
                if self._child is None or not self._child.exited.is_set() or not is_taken(self.port):
                    raise
                await self._end()
        return await self._launch_on(free_port())

    async def _launch_on(self, port: int) -> None:
        self.port = port
        self.generation += 1
        self.output.forget_tail()
        recipe = self._make(self.port)
        child = self._child = Child(recipe, self.output.write)
        self._note(child.pid, recipe.remove)
        try:
            async with asyncio.timeout(self._startup_s):
                while not child.exited.is_set() and not await self._ping():
                    await _either(child.exited, self._watch.start_ping_every_s)
        except TimeoutError:
            raise self._failed(f"did not pass the ping health check within {self._startup_s:g} s") from None
        if child.exited.is_set():
            raise self._failed(f"ended with status {child.status} before it passed the ping health check")
        self.health = Health.HEALTHY

    def _failed(self, what: str) -> ArgosyError:
        return ArgosyError(ErrorCode.LOAD_FAILED, f"container {self.label} {what}", detail=self.output.tail)

    async def _ping(self) -> bool:
        try:
            async with asyncio.timeout(self._watch.ping_timeout_s):
                answer = await ask(self.port, _PING)
        except (ContainerGone, TimeoutError):
            return False
        answer.close()
        return answer.status == 200

    async def _keep(self) -> None:
        """Until it is cancelled: whenever the container breaks, end what is left of it and start it again, after a pause that grows."""
        failures = 0
        while True:
            if self.is_healthy:
                reason = await self._until_broken()
                _log.warning("container %s %s; it is started again", self.label, reason)
                self.health = Health.ILL
                failures = 0
            await self._end()
            await asyncio.sleep(self._watch.backoff_s[min(failures, len(self._watch.backoff_s) - 1)])
            try:
                await self._launch()
                _log.info("container %s is healthy again", self.label)
            except ArgosyError as error:
                failures += 1
                _log.warning("%s", error.message)

    async def _until_broken(self) -> str:
        """Why it is broken."""
        child = self._child
        assert child is not None
        failed = 0
        while failed < self._watch.ping_failures:
            if await _either(child.exited, self._watch.ping_every_s):
                return f"ended with status {child.status}"
            failed = 0 if await self._ping() else failed + 1
        return f"failed {failed} pings in a row"


async def _either(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event, at most so many seconds; whether it came."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()
