"""Which instance takes an invocation, and that what starts together ends together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from argosy.sagemaker.local.container import Container, Health
from argosy.sagemaker.local.engine import Recipe
from argosy.sagemaker.local.failures import InvocationFailure, Source
from argosy.sagemaker.local.output import Output
from argosy.sagemaker.local.pool import Instance, Member, Pool, together
from argosy.sagemaker.local.sessions import Place
from argosy.sagemaker.local.settings import ContainerSettings, Serverless, VariantSettings, Watch

SETTINGS = VariantSettings("v", (ContainerSettings("model"),))


@pytest.fixture
def log(tmp_path: Path) -> Output:
    """Where containers print."""
    return Output(tmp_path / "log")


def instance(log: Output, index: int, health: Sequence[Health] = (Health.HEALTHY,)) -> Instance:
    """One with containers in these states, none of which is a process."""
    members = []
    for number, state in enumerate(health, 1):
        container = Container(f"e/v/{index}/{number}", _never, 1.0, Watch(), log, lambda pid, remove: None)
        container.health, container.generation = state, 1
        members.append(Member(f"container-{number}", container, Source("primary", "arn", "log")))
    return Instance(index, members)


def _never(port: int) -> Recipe:
    raise AssertionError(port)


# -- starting together -------------------------------------------------------------------------------------------------


def test_when_one_fails_the_others_have_ended_before_that_is_told() -> None:
    """They are cancelled and waited for, also when they take their time to clean up, or fail at that."""
    ended = []

    async def waits(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(name)
            raise OSError(name)

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        asyncio.run(together([waits("a"), fails(), waits("b")]))
    assert sorted(ended) == ["a", "b"]


def test_who_is_cancelled_leaves_nothing_running() -> None:
    """The same when nobody waits for them any more."""
    ended = []

    async def waits(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async def run() -> None:
        starting = asyncio.create_task(together([waits("a"), waits("b")]))
        await asyncio.sleep(0.01)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert sorted(ended) == ["a", "b"]

    asyncio.run(run())


def test_when_all_go_well_nothing_is_told() -> None:
    """Nor when there is nothing to do."""

    async def goes_well() -> None:
        await asyncio.sleep(0)

    asyncio.run(together([goes_well(), goes_well()]))
    asyncio.run(together([]))


# -- instances ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ill", [Health.STARTING, Health.ILL, Health.STOPPED])
def test_an_instance_is_as_healthy_as_its_illest_container(log: Output, ill: Health) -> None:
    """A pipeline needs all of them."""
    assert instance(log, 0, (Health.HEALTHY, Health.HEALTHY)).is_healthy
    assert not instance(log, 0, (Health.HEALTHY, ill)).is_healthy


def test_only_healthy_instances_are_picked_the_least_busy_first(log: Output) -> None:
    """And none twice for one invocation."""
    pool = Pool(SETTINGS, [instance(log, 0, (Health.ILL,)), instance(log, 1), instance(log, 2)])
    with pool.occupied(pool.instances[1]):
        first = pool.pick()
        assert first is pool.instances[2]
        assert pool.pick({2}) is pool.instances[1]
        assert pool.pick({1, 2}) is None
        assert (pool.running, pool.is_healthy) == (1, True)
    assert pool.running == 0


def test_when_nobody_is_healthy_the_client_may_try_again(log: Output) -> None:
    """503, with the name of the variant."""
    pool = Pool(SETTINGS, [instance(log, 0, (Health.ILL,))])
    assert pool.pick() is None
    assert not pool.is_healthy
    failure = pool.nobody()
    assert (failure.status, failure.kind, failure.message) == (503, "ServiceUnavailable", "No instance of v is healthy; try again.")


def test_an_invocation_that_fails_is_not_counted_any_more(log: Output) -> None:
    """However it ends."""
    pool = Pool(SETTINGS, [instance(log, 0)])
    with pytest.raises(ValueError, match="boom"), pool.occupied(pool.instances[0]):
        raise ValueError("boom")
    assert pool.running == 0


def test_a_serverless_variant_admits_so_many(log: Output) -> None:
    """What is over is throttled, and nothing is counted by that; others admit all."""
    pool = Pool(VariantSettings("v", SETTINGS.containers, serverless=Serverless(max_concurrency=1)), [instance(log, 0)])
    with pool.admitted(), pool.occupied(pool.instances[0]):
        with pytest.raises(InvocationFailure, match="Variant v runs 1 invocations already") as caught, pool.admitted():
            pass
        assert (caught.value.status, caught.value.kind) == (429, "ThrottlingException")
    with pool.admitted():
        assert pool.running == 0
    unlimited = Pool(SETTINGS, [instance(log, 0)])
    with unlimited.occupied(unlimited.instances[0]), unlimited.admitted():
        assert unlimited.running == 1


# -- sessions and containers of one's choice ----------------------------------------------------------------------------


def test_a_session_is_found_where_it_lives_and_nowhere_else(log: Output) -> None:
    """Not in an instance that is ill or was started again, nor in one that there never was."""
    pool = Pool(SETTINGS, [instance(log, 0, (Health.HEALTHY, Health.HEALTHY)), instance(log, 1, (Health.ILL,))])
    assert pool.at(Place("v", 0, pool.instances[0].generation)) is pool.instances[0]
    assert pool.at(Place("v", 1, pool.instances[1].generation)) is None
    assert pool.at(Place("v", 7, 1)) is None
    known = Place("v", 0, pool.instances[0].generation)
    pool.instances[0].members[1].container.generation += 1
    assert pool.at(known) is None


def test_a_pipeline_is_asked_as_a_whole(log: Output) -> None:
    """Unless the endpoint says that its containers are invoked directly."""
    one = instance(log, 0, (Health.HEALTHY, Health.HEALTHY))
    assert one.chosen("", False, "e") == one.members
    with pytest.raises(InvocationFailure, match="Endpoint e is not configured for direct invocation") as caught:
        one.chosen("container-1", False, "e")
    assert caught.value.status == 400


def test_a_container_that_is_invoked_directly_is_named(log: Output) -> None:
    """And must be there."""
    one = instance(log, 0, (Health.HEALTHY, Health.HEALTHY))
    assert [member.hostname for member in one.chosen("container-2", True, "e")] == ["container-2"]
    with pytest.raises(InvocationFailure, match="a target container hostname is needed"):
        one.chosen("", True, "e")
    with pytest.raises(InvocationFailure, match="Container other of endpoint e not found"):
        one.chosen("other", True, "e")


def test_what_they_are_is_told_in_a_line(log: Output) -> None:
    """With the state of each container."""
    pool = Pool(SETTINGS, [instance(log, 0, (Health.HEALTHY, Health.ILL))])
    assert repr(pool) == "<Pool v [<Instance 0 0 running ['healthy', 'ill']>]>"
