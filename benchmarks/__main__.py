"""The command behind `scripts/bench`: chooses systems and workloads, prints a table of ratios."""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import BenchError, Result, compare
from benchmarks.systems import COMPILER, System, Workload, all_systems

from benchmarks import instructions

MEGABYTE = 1024 * 1024
TOOLS = (("wrk", "wrk"), (COMPILER, "gcc libc6-dev"))
NOOP = [Workload("no-op, 16 bytes", "noop", 16, b"OK", 1, connections) for connections in (1, 8, 64)]
NOOP_2 = [Workload("no-op, 16 bytes", "noop", 16, b"OK", 2, 64)]
LARGE = [Workload("1 MB, view", "size", MEGABYTE, str(MEGABYTE).encode(), 1, 8)]


def main() -> int:
    """Run what the command line asks for. 0: measured; 1: something did not serve; 2: wrong use or a tool is missing."""
    options = _parser().parse_args()
    if options.instructions or options.record:
        return _count(options.record)
    if missing := [f"{tool} ({package})" for tool, package in TOOLS if shutil.which(tool) is None]:
        print(f"bench: not installed: {', '.join(missing)}; in brackets what to apt-get install on Debian and Ubuntu", file=sys.stderr)
        return 2
    print(f"interpreter of Argosy and of bare: Python {platform.python_version()} in {sys.base_prefix}, {' '.join(platform.python_build())}")
    seconds, repetitions = (1, 2) if options.quick else (options.seconds, options.repetitions)
    with tempfile.TemporaryDirectory(prefix="argosy-bench-") as directory:
        try:
            systems = _chosen(all_systems(Path(directory)), options.systems)
            results = [result for group in _groups(options.quick) for result in _print_group(systems, group, seconds, repetitions)]
        except BenchError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
    if options.json:
        Path(options.json).write_text(json.dumps([dataclasses.asdict(result) for result in results], indent=1))
    _print_summary(results)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure Argosy beside its limits; see benchmarks/README.md.")
    parser.add_argument("--quick", action="store_true", help="two repetitions of a second, 64 connections only: does it work, about how fast")
    parser.add_argument("--seconds", type=int, default=4, help="length of a repetition (default: %(default)s)")
    parser.add_argument("--repetitions", type=int, default=3, help="undisturbed repetitions of each measurement (default: %(default)s)")
    parser.add_argument("--systems", default="", help="comma-separated choice of floor, bare, argosy, original (default: all that run here)")
    parser.add_argument("--instructions", action="store_true", help="only count the instructions of the request path, beside what is recorded")
    parser.add_argument("--record", action="store_true", help="count the instructions of the request path and record them")
    parser.add_argument("--json", metavar="FILE", help="also write the results to a file")
    return parser


def _count(new: bool) -> int:
    """Count instructions; 1 if there are too many, 2 if they cannot be counted."""
    try:
        counts = instructions.count()
    except instructions.CountError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    print(instructions.report(counts))
    if new:
        instructions.record(counts)
    return int(not new and any(count.is_too_many for count in counts))


def _groups(quick: bool) -> list[list[Workload]]:
    return [NOOP[-1:], LARGE] if quick else [NOOP, NOOP_2, LARGE]


def _chosen(systems: Sequence[System], names: str) -> list[System]:
    wanted = [name for name in names.split(",") if name]
    missing = set(wanted) - {system.name for system in systems}
    if missing:
        raise BenchError(f"not here: {', '.join(sorted(missing))}; see benchmarks/README.md for what each needs")
    return [system for system in systems if not wanted or system.name in wanted]


def _print_group(systems: Sequence[System], workloads: Sequence[Workload], seconds: int, repetitions: int) -> list[Result]:
    collected = []
    for results in compare(systems, workloads, seconds, repetitions):
        _print_table(results)
        collected += results
    return collected


def _print_table(results: Sequence[Result]) -> None:
    first = results[0]
    print(f"\n{first.workload} · {first.connections} connections · {first.workers} worker{'s' if first.workers > 1 else ''}")
    print(f"  {'system':10}{'CPU µs/req':>12}{'× ' + first.system:>10}{'req/s':>10}{'÷ ' + first.system:>10}{'p50 µs':>9}{'p99 µs':>9}  ")
    for result in results:
        remark = f"{result.errors} errors " * bool(result.errors) + f"{result.disturbed}/{result.repetitions} disturbed" * bool(result.disturbed)
        print(
            f"  {result.system:10}{result.cpu_us:12.1f}{result.cpu_us / first.cpu_us:10.2f}{result.rate:10.0f}{result.rate / first.rate:10.2f}"
            f"{result.p50_us:9.0f}{result.p99_us:9.0f}  {remark}",
            flush=True,
        )


def _print_summary(results: Sequence[Result]) -> None:
    """The ratios that decisions rest on."""
    cpu = {(result.workload, result.connections, result.workers, result.system): result.cpu_us for result in results}
    ratios = [
        ("no-op CPU, Argosy to the floor", (NOOP[-1], "argosy"), (NOOP[-1], "floor"), "at most 3.5"),
        ("no-op CPU, the original to Argosy", (NOOP[-1], "original"), (NOOP[-1], "argosy"), "at least 5"),
        ("1 MB CPU, Argosy to the floor", (LARGE[0], "argosy"), (LARGE[0], "floor"), "at most 2"),
    ]
    print()
    for name, *pair, goal in ratios:
        over, under = (cpu.get((load.name, load.connections, load.workers, system)) for load, system in pair)
        if over and under:
            print(f"{name}: {over / under:.2f} ({goal} is the goal)")


if __name__ == "__main__":
    sys.exit(main())
