"""Threads for foreign functions: few, and nobody waits for them."""

from __future__ import annotations

import threading

import pytest

from argosy.server.threads import DaemonThreads


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
