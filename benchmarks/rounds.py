"""Systems side by side: they take turns, disturbed repetitions are thrown away, medians remain."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks.measure import BenchError, Running, Sample, running
from benchmarks.systems import System
from benchmarks.workloads import Setup, Workload

DISTURBED_CORES = 0.15
"""A repetition in which anything else used more than this is thrown away."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long everything is measured."""

    seconds: float
    repetitions: int
    spare: int
    """How many more there may be for those that are thrown away."""


@dataclass(frozen=True, slots=True)
class Result:
    """The median of the repetitions of one system at one workload."""

    system: str
    workload: str
    """`Workload.key`."""
    rate: float
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    cpu_us: float
    errors: int
    repetitions: int
    disturbed: int
    """How many of `repetitions` were disturbed and used all the same, for want of better ones."""
    batch: float = 0.0
    foreign_cores: float = 0.0
    """What everything else used meanwhile, `stolen_cores` of it by other machines of the host (steal)."""
    stolen_cores: float = 0.0
    start_s: float = 0.0
    """From the start of the server to its first right answer, once, beside others that run already; `resources.Footprint` knows better."""
    pss_mb: float = 0.0
    """What its processes held behind the last repetition, what they share counted once."""


def grouped(workloads: Sequence[Workload]) -> Iterator[tuple[Setup, list[Workload]]]:
    """Workloads that the same servers can be measured with, in the order in which their setups first appear."""
    for setup in dict.fromkeys(workload.setup for workload in workloads):
        yield setup, [workload for workload in workloads if workload.setup == setup]


def compare(systems: Sequence[System], workloads: Sequence[Workload], length: Length, failed: Callable[[str], None]) -> Iterator[list[Result]]:
    """The results of all systems for each workload in turn. The servers of equal setups keep running.

    The repetitions of the systems alternate, so that a machine that changes its speed changes it for all of them. A system that does not serve is
    left out, as is one that ends or stops answering in the middle, and `failed` is told why.
    """
    for setup, group in grouped(workloads):
        with ExitStack() as stack:
            servers: list[Running] = []
            for system in systems:
                if system.serves(setup):
                    with _telling(failed):
                        servers.append(stack.enter_context(running(system, group[0])))
            servers = [server for server in servers if _loads(server, group[-1], warm_up_s(server.launch.warm_up_factor, length), failed)]
            for workload in group:
                results = alternate(servers, workload, length, failed)
                if results:
                    yield results
                servers = [server for server in servers if server.system.name in {result.system for result in results}]


def warm_up_s(factor: int, length: Length) -> float:
    """How long a system is loaded before it is measured, if it needs `factor` times as long as others."""
    return max(1.0, factor * length.seconds / 2)


@contextmanager
def _telling(failed: Callable[[str], None]) -> Iterator[None]:
    """What cannot be measured is told, and the others go on."""
    try:
        yield
    except BenchError as error:
        failed(str(error))


def _loads(server: Running, workload: Workload, seconds: float, failed: Callable[[str], None], taken: list[Sample] | None = None) -> bool:
    """Load it for so long, and keep the figures in `taken`; whether that could be done."""
    with _telling(failed):
        sample = server.load(workload, seconds)
        if taken is not None:
            taken.append(sample)
        return True
    return False


def alternate(servers: Sequence[Running], workload: Workload, length: Length, failed: Callable[[str], None]) -> list[Result]:
    """Check the servers, then let them take turns; those that answer wrongly, or fail in the middle, have no result."""
    samples: dict[Running, list[Sample]] = {}
    for server in servers:
        with _telling(failed):
            server.check(workload)
            samples[server] = []
    for _ in range(length.repetitions + length.spare):
        for server, taken in tuple(samples.items()):
            wanted = sum(sample.foreign_cores <= DISTURBED_CORES for sample in taken) < length.repetitions
            if wanted and not _loads(server, workload, length.seconds, failed, taken):
                del samples[server]
    return [_result(server, workload, best(taken, length.repetitions)) for server, taken in samples.items()]


def _result(server: Running, workload: Workload, taken: Sequence[Sample]) -> Result:
    found = median(server.system.name, workload, taken)
    return dataclasses.replace(found, start_s=round(server.start_s, 3), pss_mb=round(server.tree.pss_mb(), 1))


def best(samples: Sequence[Sample], repetitions: int) -> list[Sample]:
    """The undisturbed samples, filled up with the least disturbed."""
    return sorted(samples, key=lambda sample: (sample.foreign_cores > DISTURBED_CORES) and sample.foreign_cores)[:repetitions]


def median(system: str, workload: Workload, samples: Sequence[Sample]) -> Result:
    """What remains of the repetitions."""

    def middle(name: str) -> float:
        return round(statistics.median(float(getattr(sample, name)) for sample in samples), 2)

    return Result(
        system=system,
        workload=workload.key,
        rate=middle("rate"),
        p50_us=middle("p50_us"),
        p90_us=middle("p90_us"),
        p99_us=middle("p99_us"),
        p999_us=middle("p999_us"),
        cpu_us=middle("cpu_us"),
        errors=sum(sample.errors for sample in samples),
        repetitions=len(samples),
        disturbed=sum(sample.foreign_cores > DISTURBED_CORES for sample in samples),
        batch=middle("batch"),
        foreign_cores=middle("foreign_cores"),
        stolen_cores=middle("stolen_cores"),
    )
