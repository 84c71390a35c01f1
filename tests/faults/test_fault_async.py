"""Asynchronous handlers and streams that fail in every way: what shares the event loop with them may fail with them, and nothing else."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest

from argosy.testing.server import RunningServer, resident_mb
from conftest import Report
from faults.load import Load
from faults.system import IS_ORIGINAL, begun_twice, in_s, run_for, system
from faults.test_fault_handlers import FAILS, Fault, befall, until_whole

pytestmark = pytest.mark.skipif(IS_ORIGINAL, reason="Multi Model Server has no asynchronous handlers and no streams")

CODE = Path(__file__).with_name("wicked_async.py").read_text()
CLIENTS = 8
LEAVING = 15
IN_TIME: dict[str, object] = {"default_response_timeout_seconds": 1}
FAULTS = [
    Fault("async handler raises", "fail:no", frozenset({503}), 50),
    Fault("async handler ignores its end", "defy", frozenset({504}), 3, IN_TIME),
    # whatever runs in the same process ends with it
    Fault("async handler exits", "leave", FAILS, 3, neighbours=CLIENTS),
    Fault("async handler blocks its loop", "block", FAILS, 2, IN_TIME, neighbours=CLIENTS),
    Fault("async handler stops its loop", "stop", FAILS, 3, IN_TIME, neighbours=CLIENTS),
    Fault("async handler cancels every task", "purge", FAILS, 3, IN_TIME, neighbours=CLIENTS),
    Fault("async handler closes every descriptor", "close", FAILS, 3, IN_TIME, neighbours=CLIENTS),
]
STREAMS = [("stream of nothing", "nothing"), ("stream that cleans up for ever", "clutter"), ("stream that ignores its end", "cling")]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_asynchronous_handler(tmp_path: Path, figure: Report, fault: Fault) -> None:
    """Whoever asked for it is told so; of the others only those that ran in the same process may fail with it, and nobody is begun twice."""
    with system(tmp_path, "m", settings=fault.settings, code=CODE) as server:
        with Load(server.inference, clients=CLIENTS) as load:
            run_for(0.3)
            statuses, slowest_s = befall(server, fault)
            recovery_s = until_whole(server)
            run_for(0.3)
        told = ",".join(map(str, sorted(set(statuses))))
        figures = f"{told}; its answer ≤ {slowest_s:.2f} s, others ≤ {max(load.tally.waits_s):.2f} s, workers back {in_s(recovery_s)}"
        figure(load.tally.figure(fault.name, figures, failed=fault.times, repeated=begun_twice(server)))
        load.tally.assert_sound()
        assert set(statuses) <= fault.allowed
        assert recovery_s < 30
        assert load.tally.failed <= fault.neighbours * fault.times, load.tally
        assert load.tally.refused == 0, load.tally
        assert begun_twice(server) == 0


@pytest.mark.parametrize(("name", "verb"), STREAMS, ids=[verb for _, verb in STREAMS])
def test_streams_that_do_not_end(tmp_path: Path, figure: Report, name: str, verb: str) -> None:
    """Their clients read a little and leave, time and again: the same workers go on answering the others, and the server keeps nothing of them."""
    with system(tmp_path, "m", settings=IN_TIME, code=CODE) as server:
        befall_and_leave(server, verb, 3)
        memory_mb = resident_mb(server.pid)
        with Load(server.inference, clients=CLIENTS) as load:
            befall_and_leave(server, verb, LEAVING)
            run_for(0.3)
        grown_mb = resident_mb(server.pid) - memory_mb
        restarts = server.describe("m")["restarts"]
        figures = f"{LEAVING} clients left; others ≤ {max(load.tally.waits_s):.2f} s, {restarts} restarts, server {grown_mb:+.0f} MB"
        figure(load.tally.figure(name, figures, failed=LEAVING, repeated=begun_twice(server)))
        load.tally.assert_sound()
        assert (load.tally.failed, load.tally.refused, restarts) == (0, 0, 0), load.tally
        assert begun_twice(server) == 0
        assert grown_mb < 50


def befall_and_leave(server: RunningServer, verb: str, times: int) -> None:
    """Ask for the stream so many times, read its first byte, and hang up."""
    for _ in range(times):
        connection = http.client.HTTPConnection("127.0.0.1", server.inference, timeout=20)
        connection.request("POST", "/predictions/m", f"{verb}:", {"content-type": "text/plain"})
        reply = connection.getresponse()
        assert (reply.status, reply.read(1)) == (200, b"x")
        reply.close()
        connection.close()
