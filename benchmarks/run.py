"""Measures everything that the targets ask for, in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.measure import BenchError
from benchmarks.resources import Footprint, Idle, beside_idle, footprint, process_start_s
from benchmarks.rounds import Length, Result, compare
from benchmarks.systems import System
from benchmarks.tables import idle_line, results_table
from benchmarks.targets import OURS, Figures, plan
from benchmarks.workloads import Setup, Workload

FOOTPRINTS = ("bare", OURS, "original", "triton")


def measure_targets(systems: Sequence[System], length: Length, idle_connections: int, say: Callable[[str], None]) -> Figures:
    """The figures of one run; what a system could not do is among its problems, and its rows stay empty."""
    problems: list[str] = []
    results = _results(systems, length, problems, say)
    footprints: list[Footprint] = []
    idle: list[Idle] = []
    for system in systems:
        if system.name not in FOOTPRINTS:
            continue
        try:
            footprints.append(footprint(system, length.repetitions))
            if system.name == OURS:
                idle.append(beside_idle(system, idle_connections, length.seconds))
                say("\n" + idle_line(idle[0]))
        except BenchError as error:
            problems.append(str(error))
    for problem in problems:
        say(f"bench: {problem}")
    return Figures(results, footprints, process_start_s(length.repetitions), idle, problems)


def _results(systems: Sequence[System], length: Length, problems: list[str], say: Callable[[str], None]) -> list[Result]:
    """Workloads that need the same systems and servers share them."""
    results: list[Result] = []
    planned = plan([system.name for system in systems])
    together: dict[tuple[Setup, tuple[str, ...]], list[Workload]] = {}
    for workload, names in planned.items():
        together.setdefault((workload.setup, tuple(names)), []).append(workload)
    for (_, needed), workloads in together.items():
        chosen = [system for system in systems if system.name in needed]
        for measured in compare(chosen, workloads, length, problems.append):
            say(results_table(measured))
            results += measured
    return results
