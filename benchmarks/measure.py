"""One system that serves a workload: start it, check its answers, load it."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import resource
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clients import batches
from benchmarks.processes import Tree, machine_busy_s, stolen_s
from benchmarks.systems import HERE, PORTS, Launch, System
from benchmarks.workloads import Setup, Workload

START_TIMEOUT_S = 60.0
CLIENTS = 8


class BenchError(Exception):
    """A measurement that cannot be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One repetition."""

    rate: float
    """Answers a second."""
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    cpu_us: float
    """CPU of the whole process tree for one answer."""
    errors: int
    foreign_cores: float
    """What everything but the server and the load generator used meanwhile, other machines of the host included."""
    stolen_cores: float = 0.0
    """What of that the other machines of the host took (steal)."""
    batch: float = 0.0
    """Mean size of a batch, where the answers tell it."""


class Running:
    """A system that serves a setup."""

    def __init__(self, system: System, setup: Setup, directory: Path) -> None:
        self.system = system
        self.setup = setup
        self.directory = directory
        self.port = _free_ports()
        try:
            self.launch: Launch = system.launch(setup, self.port, directory)
            self.started = time.monotonic()
            self.tree = Tree(self.launch.command, directory, self.launch.environment)
        except (OSError, subprocess.CalledProcessError) as error:
            said = (getattr(error, "stderr", None) or b"").decode(errors="replace")
            raise BenchError(f"{system.name} cannot be prepared for {setup.work}: {error} {said[-500:]}".rstrip()) from error
        self.start_s = 0.0
        """From the start to the first right answer, once that was given."""

    def __repr__(self) -> str:
        return f"<Running {self.system.name} on {self.port} {self.tree!r}>"

    def wait_until_ready(self, workload: Workload, pause_s: float = 0.05) -> float:
        """Seconds from the start to the first right answer. Raises `BenchError` when it ends or does not answer in START_TIMEOUT_S."""
        asked = not self.launch.registration
        last = "no connection"
        while time.monotonic() < self.started + START_TIMEOUT_S:
            if self.tree.root.poll() is not None:
                break
            try:
                asked = asked or self._register()
                status, body = self.ask(workload, workload.body(0))
                if status == 200:
                    self.start_s = time.monotonic() - self.started
                    return self.start_s
                last = f"status {status}: {body[:200]!r}"
            except OSError as error:
                last = repr(error)
            time.sleep(pause_s)
        raise BenchError(f"{self.system.name} does not serve ({last}): {self.tree.log.read_text(errors='replace')[-1500:]}")

    def _register(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port + 1, timeout=60)
        with contextlib.closing(connection), _as_os_error():
            connection.request("POST", self.launch.registration)
            response = connection.getresponse()
            if response.status != 200:
                raise BenchError(f"{self.system.name} does not load the model: {response.status} {response.read()[:500]!r}")
        return True

    def connection(self) -> http.client.HTTPConnection:
        """A new one to where it answers."""
        if self.setup.tls:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=ssl._create_unverified_context())
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(self, workload: Workload, body: bytes) -> tuple[int, bytes]:
        """Status and body of one request. Raises `OSError` when there is no answer."""
        headers, content = self.system.speech.encode(workload, body)
        with contextlib.closing(self.connection()) as connection, _as_os_error():
            connection.request("POST", self.launch.path, content, headers)
            response = connection.getresponse()
            return response.status, response.read()

    def check(self, workload: Workload) -> None:
        """Ask for different things from several clients at once; raises `BenchError` unless each gets the answer to what it asked."""
        bodies = [workload.body(seed) for seed in range(8 if workload.size > 1_000_000 else 64)]
        with ThreadPoolExecutor(CLIENTS) as pool:
            try:
                answers = list(pool.map(lambda body: self.ask(workload, body), bodies))
            except OSError as error:
                raise BenchError(f"{self.system.name} at {workload.name}: {error!r}") from error
        for body, (status, data) in zip(bodies, answers, strict=True):
            if status != 200 or not self._is_right(workload, body, data):
                raise BenchError(f"{self.system.name} at {workload.name} answers {body[:80]!r} with {status} {data[:300]!r}")

    def _is_right(self, workload: Workload, body: bytes, data: bytes) -> bool:
        try:
            return workload.is_right(body, self.system.speech.decode(workload, data))
        except (ValueError, LookupError, TypeError):
            return False

    def load(self, workload: Workload, seconds: float) -> Sample:
        """Measure for so long. Raises `BenchError` when the server does not answer, or ends."""
        cpu, busy, stolen, generator, start = self.tree.cpu_ns(), machine_busy_s(), stolen_s(), _load_generator_s(), time.monotonic()
        try:
            report = self._wrk(workload, seconds) if workload.setup.work != "count" else self._batches(workload, seconds)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BenchError(f"{self.system.name} at {workload.key}: {error!r}") from error
        if self.tree.root.poll() is not None:
            raise BenchError(f"{self.system.name} ended at {workload.key}: {self.tree.log.read_text(errors='replace')[-1500:]}")
        elapsed = time.monotonic() - start
        used_s, generator_s, stolen = (self.tree.cpu_ns() - cpu) / 1e9, _load_generator_s() - generator, stolen_s() - stolen
        return Sample(
            rate=report["requests"] / (report["duration_us"] / 1e6),
            cpu_us=used_s * 1e6 / max(1, report["requests"]),
            errors=int(report["errors"]),
            foreign_cores=max(0.0, machine_busy_s() + stolen - busy - used_s - generator_s) / elapsed,
            stolen_cores=stolen / elapsed,
            batch=report.get("batch", 0.0),
            **{name: report[name] for name in ("p50_us", "p90_us", "p99_us", "p999_us")},
        )

    def _wrk(self, workload: Workload, seconds: float) -> dict[str, float]:
        headers, content = self.system.speech.encode(workload, workload.body(0))
        body = self.directory / "body"
        body.write_bytes(content)
        url = f"{'https' if self.setup.tls else 'http'}://127.0.0.1:{self.port}{self.launch.path}"
        options = ["-t1", f"-c{workload.connections}", f"-d{max(1, round(seconds))}s", "--timeout", "20s", "-s", str(HERE / "wrk.lua"), url]
        command = ["wrk", *options, "--", str(body), *(f"{name}={value}" for name, value in headers.items())]
        output = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
        return read_report(output.stdout + output.stderr)

    def _batches(self, workload: Workload, seconds: float) -> dict[str, float]:
        headers, content = self.system.speech.encode(workload, workload.body(0))
        return batches(self.port, self.launch.path, headers, content, workload.connections, seconds)


def read_report(output: str) -> dict[str, float]:
    """The line of JSON in what wrk printed. Raises `BenchError` when there is none."""
    for line in output.splitlines():
        if line.startswith("JSON "):
            report: dict[str, float] = json.loads(line[5:])
            return report
    raise BenchError(f"wrk failed: {output[-600:]}")


@contextmanager
def running(system: System, workload: Workload) -> Iterator[Running]:
    """Start a system for a workload, wait until it serves, check its answers; stop it at the end."""
    directory = Path(tempfile.mkdtemp(prefix="argosy-bench-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        instance = Running(system, workload.setup, directory)
        stack.callback(instance.tree.stop)
        instance.wait_until_ready(workload)
        instance.check(workload)
        yield instance


@contextmanager
def _as_os_error() -> Iterator[None]:
    """An answer that is no HTTP means the same as none."""
    try:
        yield
    except http.client.HTTPException as error:
        raise OSError(repr(error)) from error


def _load_generator_s() -> float:
    """CPU of this process and of the children that ended: wrk."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _free_ports() -> int:
    """A port that is free now, and so are the next ones; below 32768, since the original takes no other."""
    while True:
        first = random.randrange(10000, 32000, PORTS)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + PORTS):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
