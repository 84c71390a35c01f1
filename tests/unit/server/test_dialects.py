"""What each listener speaks, and who may do what there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import pytest

from argosy import plugins
from argosy.config import Address, Config
from argosy.control.manager import Manager
from argosy.control.registration import Interpreters
from argosy.dataplane.registry import Registry
from argosy.errors import ArgosyError, ErrorCode
from argosy.metrics.exposition import Exposition
from argosy.metrics.host import Host
from argosy.protocols.custom import Endpoint, read_endpoint
from argosy.protocols.endpoint import Call, Dialect, HttpReply, HttpRequest
from argosy.protocols.observability import Observability
from argosy.server.dialects import Dialects, chosen_endpoints, make_dialects
from fakes.serving import FakeModel, FakeStore

LOOPBACK, ALL = Address("http", "127.0.0.1", 8080), Address("http", "0.0.0.0", 8081)


class Hello:
    """An endpoint of somebody's."""

    pattern = "hello"

    def __init__(self, listener: str = "inference") -> None:
        self.listener = listener

    def get(self, request: plugins.Request, context: plugins.Context) -> plugins.Response:
        """Greets."""
        return plugins.Response("hello")


def made(config: Config, threads: Executor, endpoints: Sequence[Endpoint] = ()) -> Dialects:
    """The dialects of a server without models."""
    registry, store = Registry(), FakeStore({})
    manager = Manager(registry, config, store, store.read_manifest, FakeModel, threads, Interpreters("python", lambda _: None))
    exposition = Exposition(tuple, dict, Host(), "1")
    observability = Observability(registry, manager.startup, exposition, ping_always_200=False, is_draining=lambda: False)
    return make_dialects(config, registry, manager, observability, endpoints, threads, lambda pid: 0)


def reply(dialect: Dialect, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> HttpReply:
    """What a request without a body gets."""

    async def ask() -> Any:
        try:
            action = dialect.route(method, path, "")
        except ArgosyError as error:
            return dialect.error_reply(error, "id")
        assert isinstance(action, Call)
        found = action.function(HttpRequest(method, path, "", headers or {}, b"", "id"))
        return found if isinstance(found, HttpReply) else await found

    found = asyncio.run(ask())
    assert isinstance(found, HttpReply)
    return found


@pytest.fixture
def threads() -> Any:
    """Where endpoints run."""
    with ThreadPoolExecutor(1) as executor:
        yield executor


def test_two_listeners_speak_one_api_each(threads: Executor) -> None:
    """Management is not reached where predictions are."""
    dialects = made(Config(inference_address=LOOPBACK, management_address=ALL), threads)
    assert (reply(dialects.inference, "/models").status, reply(dialects.management, "/models").status) == (404, 200)
    assert (reply(dialects.inference, "/ping").status, reply(dialects.management, "/ping").status) == (200, 404)


def test_one_listener_speaks_both(threads: Executor) -> None:
    """It is one object."""
    dialects = made(Config(inference_address=LOOPBACK, management_address=LOOPBACK), threads)
    assert dialects.inference is dialects.management
    assert (reply(dialects.inference, "/models").status, reply(dialects.inference, "/ping").status) == (200, 200)


def test_the_token_of_management_is_asked_for_there_alone(threads: Executor) -> None:
    """Among tokens with scopes it is the gate in front of all dialects that asks, and these do not ask again."""
    dialects = made(Config(management_address=ALL, management_token="secret"), threads)
    assert [reply(dialects.management, "/models", headers).status for headers in ({}, {"authorization": "Bearer secret"})] == [401, 200]
    assert reply(dialects.inference, "/ping").status == 200
    gated = made(Config(management_address=ALL, management_token="secret", tokens="x"), threads)
    assert reply(gated.management, "/models").status == 200


@pytest.mark.parametrize("listener", ["inference", "management"])
def test_an_endpoint_answers_on_its_listener(threads: Executor, listener: str) -> None:
    """And nowhere else."""
    dialects = made(Config(management_address=ALL), threads, [read_endpoint(Hello(listener), "test")])
    found = {name: reply(dialect, "/hello").body for name, dialect in (("inference", dialects.inference), ("management", dialects.management))}
    assert [name for name, body in found.items() if body == b"hello"] == [listener]


def test_an_endpoint_for_management_is_behind_its_rules(threads: Executor) -> None:
    """It may do as much as those who manage: without the token it is not asked."""
    config = Config(management_address=ALL, management_token="secret")
    dialects = made(config, threads, [read_endpoint(Hello("management"), "test")])
    assert [reply(dialects.management, "/hello", headers).status for headers in ({}, {"authorization": "Bearer secret"})] == [401, 200]


def test_on_one_listener_every_endpoint_answers(threads: Executor) -> None:
    """Whichever it was made for."""
    dialects = made(Config(inference_address=LOOPBACK, management_address=LOOPBACK), threads, [read_endpoint(Hello("management"), "test")])
    assert reply(dialects.inference, "/hello").body == b"hello"


def test_endpoints_that_are_not_there_are_told() -> None:
    """By name, before the server starts; without a wish nothing is looked for."""
    assert chosen_endpoints(Config()) == []
    with pytest.raises(ArgosyError, match="no-such-endpoint") as caught:
        chosen_endpoints(Config(endpoints=("no-such-endpoint",)))
    assert caught.value.code is ErrorCode.INVALID_CONFIG
