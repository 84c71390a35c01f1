"""The command behind `scripts/bench`: chooses systems and workloads, measures, prints tables of ratios."""

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

from benchmarks.measure import BenchError
from benchmarks.models import install_models
from benchmarks.peers import PEERS, install, installed
from benchmarks.rounds import Length, Result, compare
from benchmarks.run import duration_s, measure_targets
from benchmarks.systems import COMPILER, System, own_systems, variant
from benchmarks.tables import results_table, targets_table
from benchmarks.workloads import ALL, crossed

from benchmarks import instructions, page

TOOLS = (("wrk", "wrk"), (COMPILER, "gcc libc6-dev"))
USUAL = ["no-op", "body-in"]


def main() -> int:
    """Run what the command line asks for. 0: measured; 1: something did not serve; 2: wrong use or a tool is missing."""
    options = _parser().parse_args()
    if options.instructions or options.record:
        return _count(options.record)
    try:
        if options.install_peers:
            return _install(_names(options.install_peers))
        if options.install_models:
            install_models()
            return 0
        if missing := [f"{tool} ({package})" for tool, package in TOOLS if shutil.which(tool) is None]:
            print(f"bench: not installed: {', '.join(missing)}; in brackets what to apt-get install on Debian and Ubuntu", file=sys.stderr)
            return 2
        print(f"interpreter of Argosy and of bare: Python {platform.python_version()} in {sys.base_prefix}, {' '.join(platform.python_build())}")
        with tempfile.TemporaryDirectory(prefix="argosy-bench-") as directory:
            systems = [*_chosen([*own_systems(Path(directory)), *installed()], _names(options.systems)), *map(variant, options.variant)]
            return _targets(options, systems) if options.targets else _compare(options, systems)
    except (BenchError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure Argosy beside its limits and its peers; see benchmarks/README.md.")
    parser.add_argument("--targets", action="store_true", help="measure what the targets need and print goal, reference and ours side by side")
    parser.add_argument("--write", action="store_true", help="with --targets: also write the table and a plot into docs/explanation/performance.md")
    parser.add_argument("--quick", action="store_true", help="two repetitions of a second: does it work, about how fast")
    parser.add_argument("--seconds", type=int, help="length of a repetition (default: 4, with --targets 3)")
    parser.add_argument("--repetitions", type=int, default=3, help="undisturbed repetitions of each measurement (default: %(default)s)")
    known = ", ".join(["floor", "bare", "argosy", "original", *PEERS])
    parser.add_argument("--systems", default="", help=f"comma-separated choice of {known} (default: all that are here)")
    parser.add_argument("--workloads", default=",".join(USUAL), help=f"comma-separated choice of {', '.join(ALL)}, or all (default: %(default)s)")
    parser.add_argument("--variant", action="append", default=[], metavar="NAME:KEY=VALUE,…",
                        help="also Argosy set otherwise; capital keys are environment variables, others settings; may be repeated")
    parser.add_argument("--only", default="", metavar="TEXT", help="of the chosen workloads, those whose name contains this")
    parser.add_argument("--connections", type=_numbers, default=(), metavar="N,…", help="measure each workload with each of these numbers of clients")
    parser.add_argument("--workers", type=_numbers, default=(), metavar="N,…", help="measure each workload with each of these numbers of workers")
    parser.add_argument("--tls", action="store_true", help="measure each workload over TLS")
    parser.add_argument("--install-peers", default="", metavar="NAMES", help=f"only install some of original, {', '.join(PEERS)} into build/peers")
    parser.add_argument("--install-models", action="store_true", help="only install what the real models need, and train that of PaddlePaddle")
    parser.add_argument("--instructions", action="store_true", help="only count the instructions of the request path, beside what is recorded")
    parser.add_argument("--record", action="store_true", help="count the instructions of the request path and record them")
    parser.add_argument("--json", metavar="FILE", help="also write the results to a file")
    return parser


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(int(word) for word in text.split(","))
    if min(numbers) < 1:
        raise ValueError(text)
    return numbers


def _length(options: argparse.Namespace) -> Length:
    if options.quick:
        return Length(1, 2, 0)
    seconds = options.seconds or (3 if options.targets else 4)
    return Length(seconds, options.repetitions, options.repetitions)


def _install(names: Sequence[str]) -> int:
    for name in names:
        print(f"installing {name} into {install(name)}")
    return 0


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


def _chosen(systems: Sequence[System], names: Sequence[str]) -> list[System]:
    missing = set(names) - {system.name for system in systems}
    if missing:
        raise BenchError(f"not here: {', '.join(sorted(missing))}; see benchmarks/README.md for what each needs")
    return [system for system in systems if not names or system.name in names]


def _compare(options: argparse.Namespace, systems: Sequence[System]) -> int:
    names = list(ALL) if options.workloads == "all" else _names(options.workloads)
    if unknown := set(names) - set(ALL):
        raise BenchError(f"no such workload: {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    problems: list[str] = []
    results: list[Result] = []
    chosen = [workload for name in names for workload in ALL[name] if options.only in workload.key]
    workloads = crossed(chosen, options.connections, options.workers, options.tls)
    for measured in compare(systems, workloads, _length(options), problems.append):
        print(results_table(measured), flush=True)
        results += measured
    for problem in problems:
        print(f"bench: {problem}", file=sys.stderr)
    if options.json:
        Path(options.json).write_text(json.dumps([dataclasses.asdict(result) for result in results], indent=1))
    return int(bool(problems))


def _targets(options: argparse.Namespace, systems: Sequence[System]) -> int:
    length, idle = _length(options), 1000 if options.quick else 10_000
    least, most = duration_s([system.name for system in systems], length, idle)
    print(f"this takes about {least / 60:.0f} minutes, up to {most / 60:.0f} if other work disturbs it", flush=True)
    figures = measure_targets(systems, length, idle, lambda text: print(text, flush=True))
    print("\n" + targets_table(figures))
    if options.json:
        Path(options.json).write_text(json.dumps(dataclasses.asdict(figures), indent=1))
    if options.write:
        page.write(figures, "scripts/bench " + " ".join(["--targets", *(["--quick"] if options.quick else [])]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
