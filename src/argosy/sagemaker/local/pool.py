"""The instances of one variant or inference component: which of them takes an invocation."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from argosy.sagemaker.local.container import Container
from argosy.sagemaker.local.failures import InvocationFailure, Source, throttled, unavailable, validation_error
from argosy.sagemaker.local.sessions import Place
from argosy.sagemaker.local.settings import VariantSettings
from argosy.sagemaker.local.spread import LeastBusy
from argosy.sagemaker.local.targets import Targets


async def together(starts: Iterable[Coroutine[None, None, None]]) -> None:
    """Do all of it at once; when one fails or this is cancelled, the others are cancelled and have ended before that is told."""
    tasks = [asyncio.get_running_loop().create_task(start) for start in starts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Member:
    """One container of an instance, with what failures of it refer to, and its target models if it has such."""

    hostname: str
    container: Container
    source: Source
    targets: Targets | None = None


class Instance:
    """One instance: its containers, in the order of a pipeline."""

    def __init__(self, index: int, members: Sequence[Member]) -> None:
        self.index = index
        self.members = tuple(members)
        self.running = 0
        """Invocations. Written by `Pool`."""

    def __repr__(self) -> str:
        return f"<Instance {self.index} {self.running} running {[member.container.health.value for member in self.members]}>"

    @property
    def is_healthy(self) -> bool:
        """Whether all its containers are."""
        return all(member.container.is_healthy for member in self.members)

    @property
    def generation(self) -> int:
        """Grows with every start of a container."""
        return sum(member.container.generation for member in self.members)

    async def start(self) -> None:
        """Start all containers. Raises `ArgosyError` LOAD_FAILED."""
        await together(member.container.start() for member in self.members)

    async def stop(self) -> None:
        """Stop all containers, the first of a pipeline first."""
        for member in self.members:
            if member.targets is not None:
                await member.targets.close()
        await asyncio.gather(*(member.container.stop() for member in self.members))

    def chosen(self, hostname: str, direct: bool, endpoint: str) -> Sequence[Member]:
        """The containers that take an invocation, one after the other. Raises `InvocationFailure` 400."""
        if not direct:
            if hostname:
                raise validation_error(f"Endpoint {endpoint} is not configured for direct invocation of containers.")
            return self.members
        found = [member for member in self.members if member.hostname == hostname]
        if not hostname:
            raise validation_error(f"Endpoint {endpoint} is invoked directly: a target container hostname is needed.")
        if not found:
            raise validation_error(f"Container {hostname} of endpoint {endpoint} not found.")
        return found


class Pool:
    """All instances of a variant."""

    def __init__(self, settings: VariantSettings, instances: Sequence[Instance]) -> None:
        self.settings = settings
        self.instances = tuple(instances)
        self._spread = LeastBusy()

    def __repr__(self) -> str:
        return f"<Pool {self.settings.name} {list(self.instances)}>"

    @property
    def is_healthy(self) -> bool:
        """Whether some instance is."""
        return any(instance.is_healthy for instance in self.instances)

    @property
    def running(self) -> int:
        """Invocations in all instances."""
        return sum(instance.running for instance in self.instances)

    async def start(self) -> None:
        """Start all instances. Raises `ArgosyError` LOAD_FAILED."""
        await together(instance.start() for instance in self.instances)

    async def stop(self) -> None:
        """Stop all instances."""
        await asyncio.gather(*(instance.stop() for instance in self.instances))

    def pick(self, tried: Collection[int] = ()) -> Instance | None:
        """A healthy instance that was not tried yet: the least busy one. None when there is none."""
        chosen = self._spread.pick({one.index: one.running for one in self.instances if one.is_healthy and one.index not in tried})
        return None if chosen is None else self.instances[chosen]

    def at(self, place: Place) -> Instance | None:
        """The instance in which a session lives; None when it has been started again since."""
        found = self.instances[place.instance] if place.instance < len(self.instances) else None
        return found if found is not None and found.is_healthy and found.generation == place.generation else None

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Raises `InvocationFailure` 429 when the variant is serverless and runs as many invocations as it may."""
        serverless = self.settings.serverless
        if serverless is not None and self.running >= serverless.max_concurrency:
            raise throttled(f"Variant {self.settings.name} runs {serverless.max_concurrency} invocations already.")
        yield

    @contextmanager
    def occupied(self, instance: Instance) -> Iterator[None]:
        """Count an invocation."""
        instance.running += 1
        try:
            yield
        finally:
            instance.running -= 1

    def nobody(self) -> InvocationFailure:
        """No instance can be asked."""
        return unavailable(f"No instance of {self.settings.name} is healthy; try again.")
