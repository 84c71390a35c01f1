"""One endpoint: who takes an invocation, and how it goes through the containers there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from argosy.sagemaker.local.client import Answer, ContainerGone, Question, ask
from argosy.sagemaker.local.failures import InvocationFailure, Source, not_ready, too_large, validation_error
from argosy.sagemaker.local.headers import Asked
from argosy.sagemaker.local.pool import Instance, Member, Pool, together
from argosy.sagemaker.local.sessions import NEW, Place, Sessions
from argosy.sagemaker.local.settings import EndpointSettings, Limits
from argosy.sagemaker.local.spread import WeightedSpread

_PATH = "/invocations"
_MOST_MESSAGE = 64 * 1024
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Served:
    """An answer of a container with a status of success; its body is still to be read, by `deadline` of the loop's clock."""

    answer: Answer
    pool: Pool
    source: Source
    deadline: float

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises `InvocationFailure` when it is over `limit` bytes, late or broken off."""
        return await _read(self.answer, self.source, limit, self.deadline)


class Endpoint:
    """Takes invocations. `clock` tells seconds of the epoch, for the end of sessions."""

    def __init__(self, settings: EndpointSettings, pools: Sequence[Pool], limits: Limits, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.pools: Mapping[str, Pool] = {pool.settings.name: pool for pool in pools}
        self._limits = limits
        self._clock = clock
        self._spread = WeightedSpread({variant.name: variant.weight for variant in settings.variants})
        self._sessions = Sessions()

    def __repr__(self) -> str:
        return f"<Endpoint {self.settings.name} {list(self.pools.values())}>"

    async def start(self) -> None:
        """Start all containers. Raises `ArgosyError` LOAD_FAILED."""
        await together(pool.start() for pool in self.pools.values())

    async def stop(self) -> None:
        """Stop all containers."""
        await asyncio.gather(*(pool.stop() for pool in self.pools.values()))

    def hurry(self) -> None:
        """Kill the containers that are being stopped."""
        for pool in self.pools.values():
            for instance in pool.instances:
                for member in instance.members:
                    member.container.hurry()

    def named(self, asked: Asked) -> Pool | None:
        """The component or variant that an invocation names; None when any variant will do. Raises `InvocationFailure` 400."""
        component = asked["inference-component"]
        if self.settings.components:
            if not component:
                raise validation_error(f"Endpoint {self.settings.name} hosts inference components: an inference component name is needed.")
            return self._named(component, "Inference component")
        if component:
            raise validation_error(f"Endpoint {self.settings.name} hosts no inference components.")
        return self._named(asked["target-variant"], "Variant") if asked["target-variant"] else None

    def _any(self) -> Pool:
        """The variant whose turn it is, of those that have a healthy instance; some variant when none has."""
        healthy = [name for name, pool in self.pools.items() if pool.is_healthy]
        return self.pools[self._spread.pick(healthy) or next(iter(self.pools))]

    def _named(self, name: str, what: str) -> Pool:
        found = self.pools.get(name)
        if found is None:
            raise validation_error(f"{what} {name} of endpoint {self.settings.name} not found.")
        return found

    @asynccontextmanager
    async def invocation(self, asked: Asked, body: bytes | Path, timeout_s: float) -> AsyncIterator[Served]:
        """Have it served; the instance counts as busy until the end of the block. Raises `InvocationFailure`."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        session = asked["session-id"]
        place = self._sessions.find(session, self._clock()) if session and session != NEW else None
        pool = self.pools[place.variant] if place is not None else self.named(asked) or self._any()
        limit = self._limits.of(pool.settings)
        if isinstance(body, bytes) and len(body) > limit:
            raise too_large(limit)
        with pool.admitted():
            async with AsyncExitStack() as stack:
                if session and session != NEW:
                    instance = None if place is None else pool.at(place)
                    if instance is None:
                        raise validation_error(f"Session {session} of endpoint {self.settings.name} not found: it is unknown, closed or over.")
                    served = await self._through(stack, pool, instance, asked, body, deadline)
                else:
                    instance, served = await self._anywhere(stack, pool, asked, body, deadline)
                self._note_session(served.answer, Place(pool.settings.name, instance.index, instance.generation))
                yield served

    def _note_session(self, answer: Answer, place: Place) -> None:
        opened, closed = (answer.headers.get(f"x-amzn-sagemaker-{word}-session-id") for word in ("new", "closed"))
        if opened:
            self._sessions.opened(opened, place, self._clock())
        if closed:
            self._sessions.closed(closed)

    async def _anywhere(self, stack: AsyncExitStack, pool: Pool, asked: Asked, body: bytes | Path, deadline: float) -> tuple[Instance, Served]:
        """In some instance; in another one when the first does not even take the connection."""
        tried: set[int] = set()
        while (instance := pool.pick(tried)) is not None:
            tried.add(instance.index)
            try:
                return instance, await self._through(stack, pool, instance, asked, body, deadline)
            except ContainerGone:
                await stack.aclose()
        raise pool.nobody()

    async def _through(
        self, stack: AsyncExitStack, pool: Pool, instance: Instance, asked: Asked, body: bytes | Path, deadline: float
    ) -> Served:
        """Through the containers of an instance. Raises `ContainerGone` when the first one cannot be reached, so that nothing was begun."""
        stack.enter_context(pool.occupied(instance))
        members = instance.chosen(asked["target-container-hostname"], pool.settings.direct, self.settings.name)
        headers = asked.for_container()
        for index, member in enumerate(members):
            answer = await self._one(stack, member, asked["target-model"], headers, body, deadline, is_first=index == 0)
            served = Served(answer, pool, member.source, deadline)
            if index < len(members) - 1:
                body = await served.read(self._limits.of(pool.settings))
                headers = _next_headers(headers, answer)
        stack.callback(answer.close)
        return served

    async def _one(
        self, stack: AsyncExitStack, member: Member, target: str, headers: Sequence[tuple[str, str]], body: bytes | Path, deadline: float,
        *, is_first: bool,
    ) -> Answer:
        """Ask one container. Its answers of failure become failures of the invocation."""
        try:
            path = await self._path(stack, member, target, deadline)
            answer = await _ask(member, Question("POST", path, headers, body), deadline)
            if answer.status == _NOT_FOUND and member.targets is not None and await member.targets.reload(target):
                answer.close()
                answer = await _ask(member, Question("POST", path, headers, body), deadline)
        except ContainerGone as error:
            if error.was_sent or not is_first:
                raise member.source.broken() from error
            raise
        if not 200 <= answer.status < 300:
            raise await _model_error(answer, member.source, deadline)
        return answer

    async def _path(self, stack: AsyncExitStack, member: Member, target: str, deadline: float) -> str:
        """Where to ask a container: a target model is loaded first."""
        if member.targets is None:
            if target:
                raise validation_error(f"Endpoint {self.settings.name} is no multi-model endpoint: it has no target models.")
            return _PATH
        if not target:
            raise validation_error(f"Endpoint {self.settings.name} is a multi-model endpoint: a target model is needed.")
        try:
            async with asyncio.timeout_at(deadline):
                return await stack.enter_async_context(member.targets.use(target))
        except TimeoutError:
            raise not_ready(f"Target model {target} is still being downloaded or loaded; try again.") from None


def _next_headers(headers: Sequence[tuple[str, str]], answer: Answer) -> list[tuple[str, str]]:
    """What the next container of a pipeline gets: the type of what it gets, and otherwise what the first one got."""
    kept = [(name, value) for name, value in headers if name != "Content-Type"]
    return [("Content-Type", answer.headers["content-type"]), *kept] if "content-type" in answer.headers else kept


async def _ask(member: Member, question: Question, deadline: float) -> Answer:
    try:
        async with asyncio.timeout_at(deadline):
            return await ask(member.container.port, question)
    except TimeoutError:
        raise member.source.timed_out() from None


async def _read(answer: Answer, source: Source, limit: int, deadline: float) -> bytes:
    try:
        async with asyncio.timeout_at(deadline):
            body = await answer.read(limit)
    except TimeoutError:
        raise source.timed_out() from None
    except ContainerGone as error:
        raise source.broken() from error
    if body is None:
        raise source.answer_too_long(limit)
    return body


async def _model_error(answer: Answer, source: Source, deadline: float) -> InvocationFailure:
    """What the container said with its status of failure; of a long text the beginning."""
    said = bytearray()
    try:
        async with asyncio.timeout_at(deadline):
            async for piece in answer.chunks():
                said += piece
                if len(said) >= _MOST_MESSAGE:
                    break
    except (TimeoutError, ContainerGone):
        pass  # the status is the news
    answer.close()
    return source.model_error(answer.status, bytes(said[:_MOST_MESSAGE]).decode("utf-8", "replace"))
