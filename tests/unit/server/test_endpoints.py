"""Which custom endpoints are loaded, and the threads that they run in."""

from __future__ import annotations

import threading
from importlib.metadata import EntryPoint

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.plugins import GROUP
from argosy.server.endpoints import installed_endpoints, load_endpoints
from argosy.server.threads import DaemonThreads

PARAMETERS = EntryPoint("parameters", "argosy.protocols.sagemaker:ExecutionParameters", GROUP)
PING = EntryPoint("ping", "argosy.protocols.sagemaker:SageMakerPing", GROUP)
OTHER_PING = EntryPoint("other", "argosy.protocols.sagemaker:SageMakerPing", GROUP)
MISSING = EntryPoint("missing", "argosy.no_such_module:Endpoint", GROUP)
UNFIT = EntryPoint("unfit", "json:dumps", GROUP)


def test_endpoints_are_loaded_by_name() -> None:
    """Only those named, or all; what is not named is not even imported."""
    installed = [PARAMETERS, PING, MISSING]
    assert [one.pattern for one in load_endpoints(["ping"], installed)] == ["ping"]
    assert [one.pattern for one in load_endpoints(["all"], installed[:2])] == ["execution-parameters", "ping"]
    assert load_endpoints([], installed) == []


@pytest.mark.parametrize(("names", "message"), [
    (["ping", "nosuch"], "endpoints names nosuch, which is not installed; installed are: missing, other, ping, unfit"),
    (["missing"], r"Endpoint missing \(argosy.no_such_module:Endpoint\) cannot be loaded: ModuleNotFoundError: No module named"),
    (["unfit"], r"Endpoint unfit \(json:dumps\) cannot be used: its pattern is None"),
    (["ping", "other"], 'Multiple plugins found for endpoint "ping"'),
])
def test_what_cannot_be_loaded_refuses_the_start(names: list[str], message: str) -> None:
    """With a message that names the culprit."""
    with pytest.raises(ArgosyError, match=message) as caught:
        load_endpoints(names, [PING, OTHER_PING, MISSING, UNFIT])
    assert caught.value.code is ErrorCode.INVALID_CONFIG


def test_nothing_is_installed() -> None:
    """The message says so."""
    with pytest.raises(ArgosyError, match="installed are: none"):
        load_endpoints(["a"], [])


def test_the_shipped_ones_are_installed() -> None:
    """As entry points of the server's own package."""
    assert {"execution-parameters", "sagemaker-ping"} <= {entry.name for entry in installed_endpoints()}


def test_threads_are_few_and_reused() -> None:
    """At most so many at once, made when they are needed; results and exceptions come back."""
    threads = DaemonThreads(2, "t")
    assert threads.submit(threading.current_thread).result().daemon
    gate, begun = threading.Event(), threading.Semaphore(0)

    def hold() -> bool:
        begun.release()
        return gate.wait(30)

    running = [threads.submit(hold) for _ in range(2)]
    waiting = threads.submit(int, "x")
    assert all(begun.acquire(timeout=30) for _ in range(2))
    assert repr(threads) == "<DaemonThreads t 2 of 2, 1 waiting>"
    gate.set()
    assert all(one.result() for one in running)
    with pytest.raises(ValueError, match="invalid literal"):
        waiting.result()
    threads.shutdown()


def test_shutdown_drops_what_waits() -> None:
    """And waits for nothing that runs."""
    threads, gate, begun = DaemonThreads(1, "t"), threading.Event(), threading.Event()

    def hold() -> bool:
        begun.set()
        return gate.wait(30)

    running, waiting = threads.submit(hold), threads.submit(int)
    assert begun.wait(30)
    threads.shutdown()
    assert waiting.cancelled()
    gate.set()
    assert running.result()
