"""What a server needs before and beside the requests: time to start, memory, and what connections that do nothing cost the others."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.clients import idle_connections, request
from benchmarks.measure import BenchError, Running, running
from benchmarks.systems import System
from benchmarks.workloads import NOOP, Workload

SETTLE_S = 2.0
"""Between the first answer and the reading of the memory."""
FURTHER = 3
"""Workers that are added to see what one more takes."""
OPEN_FILES = 512
"""What a load generator and a server need beside their connections."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one system takes to serve the no-op model."""

    system: str
    start_s: float
    """From the start of its first process to the first right answer."""
    idle_mb: float
    """Of the whole tree with one worker; what processes share is counted once (PSS)."""
    further_mb: float
    """Each further worker."""


@dataclass(frozen=True, slots=True)
class Idle:
    """What connections that do nothing cost the one client that asks."""

    system: str
    connections: int
    alone_us: float
    """Its median latency without them."""
    beside_us: float
    """Its median latency beside them."""
    memory_mb: float
    """What the server's memory grew by."""


def footprint(system: System, repetitions: int) -> Footprint:
    """Start it so often, then once with more workers. Raises `BenchError`."""
    starts, idle = [], []
    for _ in range(repetitions):
        with _started(system, NOOP) as (server, start_s):
            starts.append(start_s)
            time.sleep(SETTLE_S)
            idle.append(server.tree.pss_mb())
    with _started(system, replace(NOOP, setup=replace(NOOP.setup, workers=1 + FURTHER))) as (server, _):
        time.sleep(2 * SETTLE_S)
        more_mb = server.tree.pss_mb()
    idle_mb = statistics.median(idle)
    return Footprint(system.name, round(statistics.median(starts), 3), round(idle_mb, 1), round((more_mb - idle_mb) / FURTHER, 1))


def process_start_s(repetitions: int) -> float:
    """What starting one Python process that does nothing takes."""
    times = []
    for _ in range(repetitions):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", ""], check=True)
        times.append(time.monotonic() - began)
    return round(statistics.median(times), 3)


@contextmanager
def _started(system: System, workload: Workload) -> Iterator[tuple[Running, float]]:
    with tempfile.TemporaryDirectory(prefix="argosy-bench-", ignore_cleanup_errors=True) as folder:
        server = Running(system, workload.setup, Path(folder))
        try:
            yield server, server.wait_until_ready(workload, pause_s=0.005)
        finally:
            server.tree.stop()


def beside_idle(system: System, connections: int, seconds: float) -> Idle:
    """Measure one client alone and beside idle connections. Raises `BenchError` when so many cannot be opened."""
    raise_open_files(connections + OPEN_FILES)
    one = NOOP.at(1)
    headers, body = system.speech.encode(one, one.body(0))
    with running(system, one) as server:
        server.load(one, 1)
        alone, before = server.load(one, seconds), server.tree.pss_mb()
        try:
            with idle_connections(server.port, request(server.launch.path, headers, body), connections):
                beside, after = server.load(one, seconds), server.tree.pss_mb()
        except OSError as error:
            raise BenchError(f"{system.name} does not hold {connections} connections: {error!r}") from error
    return Idle(system.name, connections, alone.p50_us, beside.p50_us, round(after - before, 1))


def raise_open_files(number: int) -> None:
    """Allow this process, and what it starts, so many open files. Raises `BenchError` when that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < number:
        raise BenchError(f"only {hard} files may be open (ulimit -Hn), {number} are needed")
    if soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
