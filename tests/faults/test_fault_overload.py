"""Five times as many requests as there is capacity: the server goes on at full capacity, refuses the rest at once, and can be looked after."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from argosy.testing.server import RunningServer, open_files, resident_mb
from conftest import Report
from faults.figures import Figure
from faults.load import Load, quantile
from faults.probe import Probe
from faults.system import begun_twice, run_for, system

SERVICE_S = 0.02
QUEUE = 50
TIMES = 5


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_overload(tmp_path: Path, figure: Report, seconds: float) -> None:
    """Most of capacity is used, what is admitted waits no longer than the queue is long, and whoever is refused is told at once, and when to return.

    The bounds here are wide, since the machine may be busy; the table says whether the goals were met.
    """
    settings = {"job_queue_size": QUEUE}
    with system(tmp_path, "m", settings=settings, env={"SLEEP_S": str(SERVICE_S)}) as server:
        capacity = measured_capacity(server)
        warm_up(server, capacity)
        before = resident_mb(server.pid), open_files(server.pid)
        with Probe(server) as probe, Load(server.inference, verb="sleep", rate=TIMES * capacity) as load:
            run_for(seconds)
            during = open_files(server.pid)
            begin = time.monotonic()
        again = server.predict("m", "echo:again").status
        recovery_s = time.monotonic() - begin
        tally = load.tally
        grown_mb, left = resident_mb(server.pid) - before[0], open_files(server.pid) - before[1]
        rate = len([at for at in tally.right_at if at < begin]) / (begin - min(tally.right_at, default=0.0))
        bound_s = (QUEUE + 4) * SERVICE_S / 2
        goals = {
            f"goodput {100 * rate / capacity:.0f} % of {capacity:.0f}/s": rate >= 0.9 * capacity,
            f"admitted p99 {1e3 * tally.quantile_s(0.99):.0f} ms (queue {1e3 * bound_s:.0f})": tally.quantile_s(0.99) <= 1.5 * bound_s,
            f"refused p99 {1e3 * quantile(tally.refusals_s, 0.99):.0f} ms": quantile(tally.refusals_s, 0.99) < 0.1,
            f"Retry-After {min(tally.retry_after_s, default=0)}..{max(tally.retry_after_s, default=0)} s": len(tally.retry_after_s) == tally.refused,
            probe.summary: quantile(probe.waits_s, 0.99) < 0.1,
            f"server {grown_mb:+.0f} MB": grown_mb < 20,
            f"fds {before[1]}, {during}, then {left:+d}": left <= 3,
            f"next answer after {recovery_s:.2f} s": recovery_s < 1,
        }
        figure(tally.figure(f"{TIMES} x capacity", "; ".join(f"{name}{'' if met else ' (goal missed)'}" for name, met in goals.items())))
        tally.assert_sound()
        assert again == 200
        assert tally.failed == 0
        assert tally.refused > tally.right
        assert rate > 0.5 * capacity
        assert len(tally.retry_after_s) == tally.refused
        assert tally.quantile_s(0.99) < 5 * bound_s
        assert probe.bad == []
        assert grown_mb < 60
        assert left <= 5
        assert recovery_s < 10
        assert begun_twice(server) == 0


def measured_capacity(server: RunningServer) -> float:
    """Answers a second when there is always something to do and nothing is refused."""
    with Load(server.inference, clients=8, verb="sleep") as load:
        run_for(2.0)
    return len(load.tally.right_at) / (load.tally.right_at[-1] - load.tally.right_at[0])


def warm_up(server: RunningServer, capacity: float) -> None:
    """What the server needs once for so many connections is not what it loses."""
    with Load(server.inference, verb="sleep", rate=TIMES * capacity):
        run_for(1.0)


@pytest.mark.timeout(300)
def test_retry_after_is_computed(tmp_path: Path, figure: Report) -> None:
    """A model of slow requests tells to come back when its queue will be empty: 20 requests of 1 s for 2 workers are 10 s."""
    with system(tmp_path, "m", settings={"job_queue_size": 20}, env={"SLEEP_S": "1"}) as server, server.clients(40) as send:
        server.predict("m", "sleep:x")
        replies = [reply.result() for reply in [send("m", f"sleep:{number}") for number in range(40)]]
        told = sorted({reply.headers.get("retry-after", "none") for reply in replies if reply.status == 503})
        statuses = [reply.status for reply in replies]
        figure_of = f"Retry-After {','.join(told)} s with 20 requests of 1 s waiting for 2 workers"
        right, refused = statuses.count(200), statuses.count(503)
        figure(Figure("refusal by a slow model", len(replies), right, refused, lost=len(replies) - right - refused, figures=figure_of))
        assert statuses.count(200) + statuses.count(503) == 40
        assert statuses.count(503) >= 15
        assert [reply.text for reply in replies if reply.status == 200] == [str(n) for n, reply in enumerate(replies) if reply.status == 200]
        assert all(9 <= int(value) <= 12 for value in told), told
