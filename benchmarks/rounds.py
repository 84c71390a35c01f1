"""Systems side by side: they take turns, disturbed repetitions are thrown away, medians remain."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
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


def grouped(workloads: Sequence[Workload]) -> Iterator[tuple[Setup, list[Workload]]]:
    """Workloads that the same servers can be measured with, in the order in which their setups first appear."""
    for setup in dict.fromkeys(workload.setup for workload in workloads):
        yield setup, [workload for workload in workloads if workload.setup == setup]


def compare(systems: Sequence[System], workloads: Sequence[Workload], length: Length, failed: Callable[[str], None]) -> Iterator[list[Result]]:
    """The results of all systems for each workload in turn. The servers of equal setups keep running.

    The repetitions of the systems alternate, so that a machine that changes its speed changes it for all of them. A system that does not serve is
    left out, and `failed` is told why.
    """
    for setup, group in grouped(workloads):
        with ExitStack() as stack:
            servers = []
            for system in systems:
                if not system.serves(setup):
                    continue
                try:
                    servers.append(stack.enter_context(running(system, group[0])))
                except BenchError as error:
                    failed(str(error))
            for server in servers:
                server.load(group[-1], max(1.0, server.launch.warm_up_factor * length.seconds / 2))
            for workload in group if servers else ():
                for server in servers:
                    server.check(workload)
                yield alternate(servers, workload, length)


def alternate(servers: Sequence[Running], workload: Workload, length: Length) -> list[Result]:
    """Let the servers take turns."""
    samples: dict[str, list[Sample]] = {server.system.name: [] for server in servers}
    for _ in range(length.repetitions + length.spare):
        for server in servers:
            taken = samples[server.system.name]
            if sum(sample.foreign_cores <= DISTURBED_CORES for sample in taken) < length.repetitions:
                taken.append(server.load(workload, length.seconds))
    return [median(name, workload, best(taken, length.repetitions)) for name, taken in samples.items()]


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
    )
