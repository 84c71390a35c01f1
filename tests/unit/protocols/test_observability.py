"""Health, readiness and metrics: what they say in which state."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable

import pytest

from argosy.control.startup import Startup
from argosy.dataplane.registry import Registry
from argosy.errors import ArgosyError, ErrorCode
from argosy.metrics.exposition import CONTENT_TYPE, Exposition
from argosy.metrics.host import Host
from argosy.protocols.endpoint import HttpReply, HttpRequest
from argosy.protocols.observability import Observability, model_figures
from fakes.serving import FakeModel, spec, worker

GET = HttpRequest("GET", "/", "", {}, b"", "id")


def model(name: str, wanted: int, *states: str, startup: bool = False) -> FakeModel:
    """A model with workers in these states."""
    made = FakeModel(spec(name, startup=startup))
    made.min_workers = wanted
    made.infos = [worker(state) for state in states]
    return made


def observed(*models: FakeModel, pending: str = "", failed: str = "", always_200: bool = False, draining: bool = False) -> Observability:
    registry = Registry()
    for each in models:
        registry.add(each)
    startup = Startup()
    startup.begin(pending.split())
    for target in failed.split():
        startup.end(target, ArgosyError(ErrorCode.MODEL_NOT_FOUND, "no such file", detail="of the operator's"))
    exposition = Exposition(lambda: model_figures(registry), dict, Host(), "1")
    return Observability(registry, startup, exposition, ping_always_200=always_200, is_draining=lambda: draining, patience_s=0.0)


def ping(observability: Observability) -> HttpReply:
    """The reply, waited for if needed."""
    reply = observability.ping(GET)
    return reply if isinstance(reply, HttpReply) else asyncio.run(_await(reply))


async def _await(reply: Awaitable[HttpReply]) -> HttpReply:
    return await reply


def said(reply: HttpReply) -> tuple[int, str]:
    return reply.status, json.loads(reply.body)["status"]


@pytest.mark.parametrize(("models", "word"), [
    ([], "Healthy"), ([model("a", 0)], "Healthy"), ([model("a", 2, "IDLE", "BUSY")], "Healthy"), ([model("a", 1, "LOADING")], "Healthy"),
    ([model("a", 2, "IDLE", "BACKOFF")], "Partial Healthy"), ([model("a", 1, "BACKOFF")], "Unhealthy"),
    ([model("a", 1, "IDLE"), model("b", 1, "BACKOFF")], "Partial Healthy"), ([model("a", 1, "BACKOFF"), model("b", 0)], "Unhealthy"),
])  # fmt: skip
def test_ping_counts_the_wanted_workers(models: list[FakeModel], word: str) -> None:
    """Models registered later never take the server out: 200, with the old words for all, some and none."""
    assert said(ping(observed(*models))) == (200, word)


@pytest.mark.parametrize(("models", "pending", "failed", "reason"), [
    ([model("a", 1, "LOADING", startup=True)], "a", "", "still loading: a"),
    ([model("a", 1, "LOADING", startup=True)], "a=store/a.mar", "", "still loading: a"),
    ([model("a", 1, "IDLE", startup=True), model("b", 1, "LOADING", startup=True)], "b", "", "still loading: b"),
    ([model("a", 1, "BACKOFF", startup=True), model("b", 1, "IDLE")], "", "", "None of the models of the start can serve"),
    ([], "", "x.mar", "could be registered"),
])  # fmt: skip
def test_ping_takes_the_server_out(models: list[FakeModel], pending: str, failed: str, reason: str) -> None:
    """503 with the reason while the start is not over, and when it left nothing that serves; the policy `mms` says 200 all the same."""
    reply = ping(observed(*models, pending=pending, failed=failed))
    assert said(reply) == (503, "Unhealthy")
    assert reason in json.loads(reply.body)["reason"]
    assert dict(reply.headers)["Retry-After"] == "1"
    assert ping(observed(*models, pending=pending, failed=failed, always_200=True)).status == 200


@pytest.mark.parametrize(("models", "failed"), [
    ([model("a", 1, "IDLE", startup=True), model("b", 1, "BACKOFF", startup=True)], ""), ([model("a", 1, "IDLE", startup=True)], "x.mar"),
    ([model("a", 0, startup=True)], ""), ([model("a", 1, "BUSY")], "x.mar"),
])  # fmt: skip
def test_one_broken_model_does_not_take_the_server_out(models: list[FakeModel], failed: str) -> None:
    """As long as something serves, or nothing is wanted, requests may come."""
    assert ping(observed(*models, failed=failed)).status == 200


def test_further_attempts_to_load_do_not_look_healthy() -> None:
    """A worker that failed counts as down until it has loaded, whatever it does meanwhile."""
    broken = model("a", 1)
    for state in ("BACKOFF", "SPAWNING", "LOADING"):
        broken.infos = [worker(state, last_error="no weights")]
        assert said(ping(observed(broken))) == (200, "Unhealthy")


def test_ping_waits_a_moment_for_the_start() -> None:
    """Asked while quick models still load, it answers as soon as they have loaded, with 200."""
    registry, startup = Registry(), Startup()
    registry.add(model("a", 1, "IDLE", startup=True))
    startup.begin(["a"])
    exposition = Exposition(tuple, dict, Host(), "1")
    observability = Observability(registry, startup, exposition, ping_always_200=False, is_draining=lambda: False, patience_s=60.0)

    async def story() -> HttpReply:
        reply = observability.ping(GET)
        assert not isinstance(reply, HttpReply)
        asked = asyncio.ensure_future(reply)
        await asyncio.sleep(0)
        startup.end("a")
        return await asked

    assert said(asyncio.run(story())) == (200, "Healthy")
    assert repr(startup) == "<Startup 0 loading, 0 failed>"


def test_liveness_is_unconditional() -> None:
    """Whoever can answer lives."""
    assert said(observed(model("a", 1, "BACKOFF", startup=True), pending="a", draining=True).livez(GET)) == (200, "alive")


def test_readiness_is_strict() -> None:
    """Everything that is missing is listed; without any of it the server is ready."""
    reply = observed(model("a", 2, "IDLE", "LOADING"), pending="b", failed="x.mar", draining=True).readyz(GET)
    assert said(reply) == (503, "not ready")
    assert json.loads(reply.body)["reasons"] == [
        "the server is shutting down", "b is still loading", "x.mar could not be registered: no such file", "model a has 1 of 2 workers",
    ]  # fmt: skip
    assert said(observed(model("a", 1, "IDLE")).readyz(GET)) == (200, "ready")


def test_metrics_show_the_counters() -> None:
    """The counters of the registry are what a scrape gets."""
    one = model("a", 1, "IDLE", "BACKOFF")
    one.counters.answered, one.counters.handler_us, one.counters.queue_us, one.waiting = 3, 1_500_000, 250_000, 2
    reply = observed(one).metrics(GET)
    assert reply.content_type == CONTENT_TYPE
    lines = reply.body.decode().splitlines()
    assert {
        'argosy_requests_total{model="a",outcome="answered"} 3.0', 'argosy_handler_seconds_total{model="a"} 1.5', "argosy_models 1.0",
        'argosy_queue_seconds_total{model="a"} 0.25', 'argosy_queue_jobs{model="a"} 2.0', 'argosy_workers{model="a",state="BACKOFF"} 1.0',
    } <= set(lines)  # fmt: skip
