"""Measures everything that the targets ask for, in one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchmarks.measure import BenchError
from benchmarks.resources import FURTHER, SETTLE_S, Footprint, Idle, beside_idle, footprint, process_start_s
from benchmarks.rounds import Length, Result, compare, warm_up_s
from benchmarks.systems import System
from benchmarks.tables import idle_line, results_table
from benchmarks.targets import OURS, Figures, plan
from benchmarks.workloads import Setup, Workload

FOOTPRINTS = ("bare", OURS, "original", "triton")
AROUND_S = {"floor": 0.5, "bare": 1.0, OURS: 2.0}
OTHER_AROUND_S = 5.0
"""What it takes to start, check and stop a system, about; some of the peers take twice as long, others half."""
CONNECT_S = 0.001
"""To open one of the idle connections."""


def duration_s(names: Sequence[str], length: Length, idle_connections: int) -> tuple[float, float]:
    """About how long `measure_targets` takes if nothing disturbs it, and if every repetition is disturbed: it never takes much longer than that."""
    around = {name: AROUND_S.get(name, OTHER_AROUND_S) for name in names}
    least = spare = 0.0
    for (_, needed), workloads in _together(names).items():
        least += sum(around[name] + warm_up_s(1, length) for name in needed) + length.seconds * length.repetitions * len(needed) * len(workloads)
        spare += length.seconds * length.spare * len(needed) * len(workloads)
    for name in set(names) & set(FOOTPRINTS):
        least += (length.repetitions + 1) * around[name] + (length.repetitions + 2) * SETTLE_S + FURTHER
    if OURS in names:
        least += around[OURS] + CONNECT_S * idle_connections + 2 * length.seconds
    return least, least + spare


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
    for (_, needed), workloads in _together([system.name for system in systems]).items():
        chosen = [system for system in systems if system.name in needed]
        for measured in compare(chosen, workloads, length, problems.append):
            say(results_table(measured))
            results += measured
    return results


def _together(names: Sequence[str]) -> Mapping[tuple[Setup, tuple[str, ...]], Sequence[Workload]]:
    """The workloads of the targets by what they need: a setup, and the systems that are measured at it."""
    together: dict[tuple[Setup, tuple[str, ...]], list[Workload]] = {}
    for workload, needed in plan(names).items():
        together.setdefault((workload.setup, tuple(needed)), []).append(workload)
    return together
