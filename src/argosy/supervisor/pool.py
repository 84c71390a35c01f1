"""The workers of one model: how many there are, and when they are ready."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Callable

from argosy.supervisor.arena import Arena
from argosy.supervisor.launch import load_frame, worker_launch
from argosy.supervisor.member import Lane, Member, Surroundings
from argosy.supervisor.spec import ModelSpec
from argosy.supervisor.states import Event, State
from argosy.supervisor.template import Template

MOST_STARTING = 8
"""Workers of one model that load for the first time at the same time."""


class Pool:
    """Keeps the wanted number of workers running. `offer` gives a worker that has loaded to the dataplane and returns its lane there."""

    def __init__(
        self,
        spec: ModelSpec,
        around: Surroundings,
        number: int,
        arena: Arena | None,
        offer: Callable[[Member], Lane],
        next_gpu: Callable[[], int | None],
        restarted: Callable[[], None] = lambda: None,
        load_failed: Callable[[], None] = lambda: None,
    ) -> None:
        self.spec = spec
        self.members: list[Member] = []
        """The wanted workers, oldest first. Written by this class only."""
        self._around = around
        self._number = number
        self._arena = arena
        self._offer = offer
        self._next_gpu = next_gpu
        self._restarted = restarted
        self._load_failed = load_failed
        self._told: set[tuple[str, str]] = set()
        self._queued: deque[Member] = deque()
        """Wanted workers that were not started yet."""
        self._starting: set[Member] = set()
        """Those that load for the first time."""
        self._leaving: set[Member] = set()
        self._template = _template(spec, around, arena) if spec.preload else None
        self._empty = asyncio.Event()
        self._empty.set()

    def __repr__(self) -> str:
        return f"<Pool {self.spec.name} {[member.state.value for member in self.members]} leaving={len(self._leaving)}>"

    def resize(self, low: int, high: int) -> list[Member]:
        """Start what is missing to `low` workers, drain the newest beyond `high`; return the ones that are wanted now."""
        while len(self.members) > high:
            member = self.members.pop()
            self._leaving.add(member)
            member.on(Event.DRAIN)
            if member in self._queued:
                self._queued.remove(member)
                self._around.loop.call_soon(member.on, Event.EXITED)
        if not high and self._template is not None:
            self._template.close()  # also while it loads: nobody needs that any more
        if self._template is None and self._should_fork(low):
            self._template = _template(self.spec, self._around, self._arena)
        while len(self.members) < low:
            member = self._make()
            self.members.append(member)
            self._queued.append(member)
            self._empty.clear()
        self._start_some()
        self._rest()
        return list(self.members)

    def _rest(self) -> None:
        """A single worker needs no process beside it that others could be forked from."""
        if self._template is not None and not self.spec.preload and len(self.members) <= 1:
            self._template.rest()

    def _should_fork(self, low: int) -> bool:
        """Whether workers that are missing to `low` are better forked: not the only one, nor any whose limits the forks might exceed together."""
        return low > max(1, len(self.members)) and self._around.reaper.adopts and self.spec.confinement.is_free

    def _start_some(self) -> None:
        """Start queued workers, as many as may load at the same time: starting a thousand at once would hold up the whole server."""
        while self._queued and len(self._starting) < MOST_STARTING:
            member = self._queued.popleft()
            self._starting.add(member)
            member.loaded.add_done_callback(lambda _, member=member: self._has_started(member))  # type: ignore[misc]  # a default binds it
            member.start()

    def _has_started(self, member: Member) -> None:
        self._starting.discard(member)
        self._start_some()

    def _make(self) -> Member:
        worker_id = f"{self._number}-{secrets.token_hex(4)}"
        gpu_id = None if self.spec.preload else self._next_gpu()
        return Member(
            self.spec, self._around, worker_id, gpu_id, self._arena, self._offer, self._freed, self._template,
            self._restarted, self._told, self._load_failed,
        )  # fmt: skip

    def _freed(self, member: Member) -> None:
        self._leaving.discard(member)
        if member in self.members:
            self.members.remove(member)
        self._rest()
        if not self.members and not self._leaving:
            self._empty.set()
            if self._template is not None:
                self._template.close()

    @property
    def is_serving(self) -> bool:
        """Whether some worker has its model loaded."""
        return any(member.state in (State.IDLE, State.BUSY) for member in self.members)

    async def close(self, drain_s: float) -> None:
        """End every worker: what they run may take `drain_s` seconds more, then they are killed. Returns when all have exited."""
        self.resize(0, 0)
        if drain_s > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), drain_s)
        self.kill()
        await self._empty.wait()
        if self._template is not None:
            self._template.close()
            await self._template.gone.wait()

    def kill(self) -> None:
        """Kill every worker now."""
        for member in [*self.members, *self._leaving]:
            member.on(Event.STOP)


def _template(spec: ModelSpec, around: Surroundings, arena: Arena | None) -> Template:
    return Template(
        around.loop,
        around.reaper,
        lambda link, page, fork: worker_launch(spec, around.environment(spec), arena, link, page, fork),
        (lambda: load_frame(spec, around.load_options, None)) if spec.preload else None,
        lambda stream, line: around.output(spec.name, "template", stream, line),
        around.frame_limit,
        spec.startup_timeout_s,
        spec.stop_timeout_s,
        spec.fork_timeout_s,
        around.was_for_memory,
    )
