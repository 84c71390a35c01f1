"""Writes what a run measured into docs/explanation/performance.md and its plot."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from benchmarks.plot import Bar, bars
from benchmarks.tables import idle_line, results_markdown, targets_markdown
from benchmarks.targets import OURS, Figures
from benchmarks.workloads import NOOP

PAGE = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "performance.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def machine() -> str:
    """What was measured on, without a date: the ratios are what lasts."""
    cores = len(os.sched_getaffinity(0))
    python = f"{platform.python_implementation()} {platform.python_version()} ({platform.python_build()[0]})"
    return f"{cores} cores, {platform.machine()}, Linux {platform.release()}, {python}"


def section(figures: Figures, command: str, machine: str) -> str:
    """Everything between the markers."""
    parts = [f"Measured by `{command}` on {machine}; the load generator runs on the same cores.", targets_markdown(figures)]
    parts += [idle_line(idle) + "." for idle in figures.idle]
    parts += [f"Not measured: {problem.splitlines()[0][:200]}" for problem in figures.problems]
    parts += [f"![CPU of a no-op request of each system]({PAGE.with_suffix('.svg').name})"]
    parts += ["All that was measured in this run:", results_markdown(figures.results)]
    return "\n\n".join(parts)


def replaced(page: str, content: str) -> str:
    """The page with `content` between its markers. Raises `ValueError` when it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


def plot(figures: Figures) -> str:
    """CPU of a no-op request, least first. Raises `ValueError` when none was measured."""
    found = sorted((result.cpu_us, result.system) for result in figures.results if result.workload == NOOP.key and result.cpu_us > 0)
    return bars("CPU of a no-op request, all processes, 64 connections (logarithmic)", "µs", [Bar(name, cpu, name == OURS) for cpu, name in found])


def write(figures: Figures, command: str, page: Path = PAGE) -> None:
    """Put both into the documents."""
    page.write_text(replaced(page.read_text(), section(figures, command, machine())))
    page.with_suffix(".svg").write_text(plot(figures))
