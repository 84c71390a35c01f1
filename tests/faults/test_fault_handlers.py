"""Handlers that fail in every way: only the request that did it fails, and the load on the same workers notices nothing but a pause."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from argosy.testing.server import RunningServer, is_alive, resident_mb
from conftest import Report
from faults.load import Load
from faults.system import IS_ORIGINAL, WICKED, begun_twice, family, in_s, run_for, seconds_until, system
from process.test_confined_workers import NOBODY, as_another_user

FAILS = frozenset({500})
MOST_PROCESSES = 40


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
    # it writes over the shared page too, so that what the worker had got counts as begun; the answer that it returns may come before its end
    Fault("handler writes garbage to its link", "junk", FAILS | {200}, 5, neighbours=8),
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
        others_s = max(load.tally.waits_s, default=0.0)
        pauses = f"its answer ≤ {slowest_s:.2f} s, others ≤ {others_s:.2f} s, workers back {in_s(recovery_s)}, server {grown_mb:+.0f} MB"
        load.tally.sent += statuses.count(0)
        load.tally.lost += statuses.count(0)
        right = statuses.count(200)
        failed = fault.times - right - statuses.count(0)
        figure(load.tally.figure(fault.name, f"{told}; {pauses}", failed=failed, right=right, repeated=begun_twice(server)))
        load.tally.assert_sound()
        assert set(statuses) <= fault.allowed
        assert recovery_s < 30
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
    """Seconds until all workers can serve; infinity, if that does not come."""
    ready = ("READY",) if IS_ORIGINAL else ("IDLE", "BUSY", "READY")
    return seconds_until(lambda: sum(worker["status"] in ready for worker in described(server, model)) >= workers)


def described(server: RunningServer, model: str) -> list[dict[str, Any]]:
    """The workers that the server says to have."""
    with contextlib.suppress(AssertionError):
        workers: list[dict[str, Any]] = server.describe(model)["workers"]
        return workers
    return []


@pytest.mark.timeout(300)
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
        figures = f"{kills} kills, longest pause {gap_s:.2f} s, workers back {in_s(recovery_s)}"
        figure(tally.figure("kill -9 of a worker each second", figures, repeated=begun_twice(server)))
        tally.assert_sound()
        assert recovery_s < 30
        assert kills >= seconds / 2
        assert tally.failed <= kills
        assert tally.refused == 0
        assert begun_twice(server) == 0


def test_a_fork_bomb(tmp_path: Path, figure: Report) -> None:
    """All of its processes are gone with the worker, and the rest of the server does not notice."""
    with system(tmp_path, "m", "other", settings={"default_response_timeout_seconds": 60}) as server:
        before = len(family(tmp_path / "begun"))
        with Load(server.inference, "/predictions/other") as load:
            run_for(0.3)
            status = server.predict("m", "bomb:7").status
            run_for(0.5)
            most = len(family(tmp_path / "begun")) - before
            deleted = server.manage("DELETE", "/models/m").status
            gone_s = seconds_until(lambda: len(family(tmp_path / "begun")) <= before - 2, 15)
            left = max(0, len(family(tmp_path / "begun")) - before + 2)
        told = f"{status}; {most} processes, {left} left {in_s(min(gone_s, 15))} after unregistering"
        figure(load.tally.figure("fork bomb", told))
        assert (deleted, left) == (200, 0)
        load.tally.assert_sound()
        assert load.tally.failed == load.tally.refused == 0
        assert is_alive(server.pid)


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that every user can enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="argosy-faults-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(IS_ORIGINAL, reason="it has no limits of processes and no other user for its workers")
def test_a_contained_fork_bomb(reachable: Path, figure: Report) -> None:
    """With a user of its own and a limit of processes a bomb stays small: the kernel refuses the rest, and the server and its other model go on."""
    as_another_user()
    limits = {"m": {"user": f"{NOBODY + 7}", "processes": MOST_PROCESSES}}
    settings = {"worker_user": str(NOBODY), "model_limits": json.dumps(limits), "default_response_timeout_seconds": 60}
    with system(reachable, settings=settings, env={"PATH": "/usr/bin:/bin"}) as server:
        (reachable / "begun").chmod(0o666)
        for model in ("m", "other"):
            server.store.add(model, WICKED)
            assert server.register(model, runtime="python3").status == 200
        with Load(server.inference, "/predictions/other") as load:
            run_for(0.3)
            status = server.predict("m", "bomb:12").status
            run_for(0.3)
            most = sum(owner(pid) == NOBODY + 7 for pid in family(reachable / "begun"))
            assert server.manage("DELETE", "/models/m").status == 200
            gone_s = seconds_until(lambda: all(owner(pid) != NOBODY + 7 for pid in family(reachable / "begun")))
        told = f"{status}; {most} of 4096 processes, limit {MOST_PROCESSES}, gone {in_s(gone_s)} after unregistering"
        figure(load.tally.figure("fork bomb, another user with a limit", told, repeated=begun_twice(server)))
        load.tally.assert_sound()
        assert load.tally.failed == load.tally.refused == 0
        assert 1 < most <= MOST_PROCESSES
        assert gone_s < 10


def owner(pid: int) -> int:
    """The user of a process; -1 if it is gone."""
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return -1
