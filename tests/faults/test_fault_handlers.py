"""Handlers that fail in every way: only the request that did it fails, and the load on the same workers notices nothing but a pause."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from argosy.testing.server import RunningServer, is_alive, resident_mb, wait_for
from conftest import Report
from faults.load import Load
from faults.system import IS_ORIGINAL, begun_twice, family, run_for, system

FAILS = frozenset({500})


@dataclass(frozen=True, slots=True)
class Fault:
    """What a handler does, and what may be said of it to whoever asked for that."""

    name: str
    body: str
    allowed: frozenset[int]
    times: int = 5
    settings: dict[str, object] = field(default_factory=dict)
    neighbours: int = 0
    """How many requests beside it may fail each time, because nobody can know whether they had begun."""
    most_s: float = 10.0
    """The longest that anybody has to wait because of it."""


FAULTS = [
    Fault("handler exits", "exit:3", FAILS),
    Fault("handler raises SystemExit", "sysexit:3", FAILS),
    Fault("handler segfaults", "segfault", FAILS),
    Fault("handler aborts", "abort", FAILS),
    Fault("handler raises", "error:no", frozenset({503}), 50),
    Fault("handler loops for ever", "spin", FAILS, 3, {"default_response_timeout_seconds": 1}),
    Fault("handler loops and ignores SIGTERM", "defy", FAILS, 3, {"default_response_timeout_seconds": 1}),
    Fault("worker is stopped, never reads", "stopped", FAILS, 3, {"default_response_timeout_seconds": 1}),
    Fault("handler forks children that stay", "forks:6", frozenset({200}), 5),
    Fault("handler closes its output", "close", frozenset({200}), 5),
    Fault("handler raises, its output is closed", "mute", frozenset({503}), 5),
    Fault("handler floods stdout, 2 x 10 MB", "flood:10000000", frozenset({200}), 3, most_s=30),
    Fault("handler writes garbage to fd 1 and 2", "garbage", frozenset({200}), 20),
    # it writes over the shared page too, so that what the worker had got counts as begun
    Fault("handler writes garbage to its link", "junk", FAILS, 5, neighbours=8),
    Fault("handler returns too few", "few", frozenset({503}), 50),
    Fault("handler returns too many", "many", frozenset({503}), 50),
    Fault("handler returns no list", "notalist", frozenset({503}), 50),
    Fault("handler returns an object", "object", frozenset({503}), 50),
    Fault("answer of 100 MB, over the limit", "large:100000000", frozenset({503}), 5),
    Fault("answer of 100 MB, allowed", "large:100000000", frozenset({200}), 3, {"max_response_size": 200_000_000}),
    Fault("handler is refused memory by rlimit", "limited:2000", frozenset({507}), 10),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_handler(tmp_path: Path, figure: Report, fault: Fault) -> None:
    """Whoever asked for it is told so within seconds; every other request on the same workers is answered rightly, once, with its own answer."""
    with system(tmp_path, "m", settings=fault.settings) as server:
        memory_mb = resident_mb(server.pid)
        with Load(server.inference) as load:
            run_for(0.3)
            statuses, slowest_s = befall(server, fault)
            recovery_s = until_whole(server)
            run_for(0.3)
        grown_mb = resident_mb(server.pid) - memory_mb
        told = ",".join(map(str, sorted(set(statuses))))
        others_s = max(load.tally.waits_s)
        pauses = f"its answer ≤ {slowest_s:.2f} s, others ≤ {others_s:.2f} s, workers back {recovery_s:.1f} s, server {grown_mb:+.0f} MB"
        figure(load.tally.figure(fault.name, f"{told}; {pauses}", failed=fault.times - statuses.count(200), repeated=begun_twice(server)))
        load.tally.assert_sound()
        assert set(statuses) <= fault.allowed
        assert load.tally.failed <= fault.neighbours * fault.times, load.tally
        assert load.tally.refused == 0, load.tally
        assert max(slowest_s, *load.tally.waits_s) < fault.most_s
        assert begun_twice(server) == 0
        assert grown_mb < 400


def befall(server: RunningServer, fault: Fault) -> tuple[list[int], float]:
    """Ask for the fault so many times; the statuses and the longest wait. 0 stands for no answer."""
    statuses, slowest_s = [], 0.0
    for _ in range(fault.times):
        begin = time.monotonic()
        try:
            statuses.append(server.predict("m", fault.body, 40).status)
        except OSError:
            statuses.append(0)
        slowest_s = max(slowest_s, time.monotonic() - begin)
    return statuses, slowest_s


def until_whole(server: RunningServer, model: str = "m", workers: int = 2) -> float:
    """Seconds until all workers can serve."""
    begin = time.monotonic()
    ready = ("READY",) if IS_ORIGINAL else ("IDLE", "BUSY", "READY")
    wait_for(lambda: sum(worker["status"] in ready for worker in server.describe(model)["workers"]) >= workers, "all workers are back")
    return time.monotonic() - begin


def test_kill_a_worker_each_second(tmp_path: Path, figure: Report, seconds: float) -> None:
    """Each kill fails at most what the worker was running; everything else is answered once, and the workers come back."""
    with system(tmp_path, "m") as server:
        kills = 0
        chance = random.Random(7)
        with Load(server.inference, clients=4) as load, Load(server.inference, clients=4, verb="sleep") as slow:
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                workers = server.workers("m")
                if workers:
                    os.kill(chance.choice(workers), signal.SIGKILL)
                    kills += 1
                run_for(1.0)
            recovery_s = until_whole(server)
            run_for(0.5)
        tally = load.tally
        tally.add(slow.tally)
        tally.right_at.sort()
        gap_s = max((later - earlier for earlier, later in itertools.pairwise(tally.right_at)), default=0.0)
        figures = f"{kills} kills, longest pause {gap_s:.2f} s, workers back {recovery_s:.1f} s"
        figure(tally.figure("kill -9 of a worker each second", figures, repeated=begun_twice(server)))
        tally.assert_sound()
        assert kills >= seconds / 2
        assert tally.failed <= kills
        assert tally.refused == 0
        assert begun_twice(server) == 0


def test_a_fork_bomb(tmp_path: Path, figure: Report) -> None:
    """All of its processes are gone with the worker, and the rest of the server does not notice."""
    with system(tmp_path, "m", "other", settings={"default_response_timeout_seconds": 60}) as server:
        with Load(server.inference, "/predictions/other") as load:
            run_for(0.3)
            status = server.predict("m", "bomb:7").status
            most = len(family(tmp_path / "begun"))
            begin = time.monotonic()
            assert server.manage("DELETE", "/models/m").status == 200
            wait_for(lambda: len(family(tmp_path / "begun")) <= 4, "the bomb is gone")
            gone_s = time.monotonic() - begin
        figure(load.tally.figure("fork bomb", f"{status}; {most} processes at most, gone {gone_s:.1f} s after unregistering"))
        load.tally.assert_sound()
        assert load.tally.failed == load.tally.refused == 0
        assert is_alive(server.pid)
