"""One system under one load: start it, check its answers, and measure."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import resource
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import Tree, machine_busy_s
from benchmarks.systems import HERE, Launch, System, Workload

CONTENT_TYPE = "application/octet-stream"
DISTURBED_CORES = 0.15
"""A repetition in which anything else used more than this is thrown away."""
START_TIMEOUT_S = 60.0


class BenchError(Exception):
    """A measurement that cannot be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One repetition."""

    rate: float
    """Answers a second."""
    p50_us: float
    p99_us: float
    cpu_us: float
    """CPU of the whole process tree for one answer."""
    errors: int
    other_cores: float
    """What everything but the server and the load generator used meanwhile."""


@dataclass(frozen=True, slots=True)
class Result:
    """The median of the repetitions of one system at one workload."""

    system: str
    workload: str
    connections: int
    workers: int
    rate: float
    p50_us: float
    p99_us: float
    cpu_us: float
    errors: int
    repetitions: int
    disturbed: int
    """How many of `repetitions` were disturbed and used all the same, for want of better ones."""


class Running:
    """A system that serves a workload and was seen to answer rightly."""

    def __init__(self, system: System, workload: Workload, directory: Path) -> None:
        self.system = system
        self._directory = directory
        self._port = _free_port()
        self._launch: Launch = system.launch(workload, self._port, directory)
        self.tree = Tree(self._launch.command, directory, self._launch.environment)

    def __repr__(self) -> str:
        return f"<Running {self.system.name} on {self._port} {self.tree!r}>"

    def wait_until_ready(self, workload: Workload) -> None:
        """Return once it answers. Raises `BenchError` when it ends or does not answer in START_TIMEOUT_S."""
        deadline = time.monotonic() + START_TIMEOUT_S
        last = "no connection"
        while time.monotonic() < deadline:
            if self.tree.root.poll() is not None:
                break
            try:
                status, body = self.ask(workload)
                if status == 200:
                    return
                last = f"status {status}: {body[:200]!r}"
            except OSError as error:
                last = repr(error)
            time.sleep(0.05)
        raise BenchError(f"{self.system.name} does not serve ({last}): {self.tree.log.read_text(errors='replace')[-1500:]}")

    def ask(self, workload: Workload) -> tuple[int, bytes]:
        """Status and body of one request. Raises `OSError` when there is no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("POST", self._launch.path, bytes(workload.size), {"Content-Type": CONTENT_TYPE})
            response = connection.getresponse()
            return response.status, response.read()
        except http.client.HTTPException as error:
            raise OSError(repr(error)) from error
        finally:
            connection.close()

    def check(self, workload: Workload) -> None:
        """Ask 32 times from 8 clients; raises `BenchError` unless each answer is the right one."""
        with ThreadPoolExecutor(8) as pool:
            answers = set(pool.map(lambda _: self.ask(workload), range(32)))
        if answers != {(200, workload.answer)}:
            raise BenchError(f"{self.system.name} answers {sorted(answers)!r} instead of {workload.answer!r}")

    def load(self, workload: Workload, seconds: int) -> Sample:
        """Measure for so long."""
        body = self._directory / "body"
        body.write_bytes(bytes(workload.size))
        cpu, busy, generator, start = self.tree.cpu_ns(), machine_busy_s(), _children_s(), time.monotonic()
        report = _wrk(f"http://127.0.0.1:{self._port}{self._launch.path}", workload.connections, seconds, body)
        elapsed = time.monotonic() - start
        used_s, busy_s, generator_s = (self.tree.cpu_ns() - cpu) / 1e9, machine_busy_s() - busy, _children_s() - generator
        answered = max(1, report["requests"])
        return Sample(
            rate=report["requests"] / (report["duration_us"] / 1e6),
            p50_us=report["p50_us"],
            p99_us=report["p99_us"],
            cpu_us=used_s * 1e6 / answered,
            errors=report["errors"],
            other_cores=max(0.0, busy_s - used_s - generator_s) / elapsed,
        )


@contextmanager
def running(system: System, workload: Workload) -> Iterator[Running]:
    """Start a system, wait until it serves, check its answers; stop it at the end."""
    directory = Path(tempfile.mkdtemp(prefix="argosy-bench-"))
    instance = Running(system, workload, directory)
    try:
        instance.wait_until_ready(workload)
        instance.check(workload)
        yield instance
    finally:
        instance.tree.stop()
        shutil.rmtree(directory, ignore_errors=True)


def compare(systems: Sequence[System], workloads: Sequence[Workload], seconds: int, repetitions: int) -> Iterator[list[Result]]:
    """The results of all systems for each workload in turn. All workloads need the same handler and number of workers: the servers keep running.

    The repetitions of the systems alternate, so that a machine that changes its speed changes it for all of them.
    """
    with ExitStack() as stack:
        servers = [stack.enter_context(running(system, workloads[0])) for system in systems]
        for server in servers:
            server.load(workloads[-1], max(1, seconds))
            if server.system.name == "original":
                server.load(workloads[-1], 2 * max(1, seconds))  # its compiler needs longer to settle
        for workload in workloads:
            yield _alternate(servers, workload, seconds, repetitions)


def _alternate(servers: Sequence[Running], workload: Workload, seconds: int, repetitions: int) -> list[Result]:
    samples: dict[str, list[Sample]] = {server.system.name: [] for server in servers}
    for _ in range(2 * repetitions):
        for server in servers:
            taken = samples[server.system.name]
            if sum(sample.other_cores <= DISTURBED_CORES for sample in taken) < repetitions:
                taken.append(server.load(workload, seconds))
    return [_result(name, workload, _best(taken, repetitions)) for name, taken in samples.items()]


def _best(samples: Sequence[Sample], repetitions: int) -> list[Sample]:
    """The undisturbed samples, filled up with the least disturbed."""
    return sorted(samples, key=lambda sample: (sample.other_cores > DISTURBED_CORES) and sample.other_cores)[:repetitions]


def _result(system: str, workload: Workload, samples: Sequence[Sample]) -> Result:
    def median(values: Iterator[float]) -> float:
        return round(statistics.median(values), 1)

    return Result(
        system=system,
        workload=workload.name,
        connections=workload.connections,
        workers=workload.workers,
        rate=median(sample.rate for sample in samples),
        p50_us=median(sample.p50_us for sample in samples),
        p99_us=median(sample.p99_us for sample in samples),
        cpu_us=median(sample.cpu_us for sample in samples),
        errors=sum(sample.errors for sample in samples),
        repetitions=len(samples),
        disturbed=sum(sample.other_cores > DISTURBED_CORES for sample in samples),
    )


def _wrk(url: str, connections: int, seconds: int, body: Path) -> dict[str, int]:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", str(HERE / "wrk.lua"), url, "--", str(body), CONTENT_TYPE]
    output = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    for line in output.stdout.splitlines():
        if line.startswith("JSON "):
            report: dict[str, int] = json.loads(line[5:])
            return report
    raise BenchError(f"wrk failed: {output.stdout[-300:]}{output.stderr[-300:]}")


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _free_port() -> int:
    """A port that is free now, and so is the next one; below 32768, since the original takes no other."""
    while True:
        port = random.randrange(10000, 32000, 2)
        with socket.socket() as first, socket.socket() as second, contextlib.suppress(OSError):
            first.bind(("127.0.0.1", port))
            second.bind(("127.0.0.1", port + 1))
            return port
