"""What all tests share: the figures that tests of faults report, printed as one table at the end of a run."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO

import pytest
from hypothesis import settings

from faults.figures import PROPERTY, Figure, table

# the same examples in every run; HYPOTHESIS_PROFILE=search looks for others, and for longer
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

Turns = tuple[IO[bytes], IO[bytes]]
Report = Callable[[Figure], Figure]


@pytest.fixture(scope="session")
def turns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Turns]:
    """Two files that all processes of this run share, for locks: a gate and the machine behind it."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with (shared / "gate").open("ab+") as gate, (shared / "machine").open("ab+") as machine:
        yield gate, machine


@pytest.fixture(autouse=True)
def share_of_the_machine(request: pytest.FixtureRequest, turns: Turns) -> Iterator[None]:
    """A test that is marked `alone` runs while no test of another process does: what it measures is the server, and not its neighbours."""
    gate, machine = turns
    is_alone = request.node.get_closest_marker("alone") is not None
    fcntl.lockf(gate, fcntl.LOCK_EX)  # nobody begins while one waits to be alone
    try:
        fcntl.lockf(machine, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        if not is_alone:
            fcntl.lockf(gate, fcntl.LOCK_UN)
        yield
    finally:
        fcntl.lockf(machine, fcntl.LOCK_UN)
        fcntl.lockf(gate, fcntl.LOCK_UN)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Report:
    """Reports a figure: `figure(Figure("kill -9 of a worker", sent=100, right=100))`. Report first, assert afterwards: a missed goal shows too."""
    return lambda found: report_figure(request.node, found)


def report_figure(test: pytest.Item, found: Figure) -> Figure:
    """Keep a figure of a test for the table.

    ARGOSY_FIGURES names a file to which each is added at once, as a line of JSON with the test's name and line.
    """
    test.user_properties.append((PROPERTY, asdict(found)))
    if kept := os.environ.get("ARGOSY_FIGURES"):
        with Path(kept).open("a") as file:
            file.write(json.dumps({"test": test.nodeid, "line": test.location[1], **asdict(found)}) + "\n")
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was reported, in the order of the tests' files."""
    reports = [report for kind in ("passed", "failed", "error", "skipped") for report in terminalreporter.getreports(kind)]
    reports.sort(key=lambda report: (report.location[0], report.location[1] or 0))
    found = [value for report in reports if report.when != "teardown" for name, value in report.user_properties if name == PROPERTY]
    if found:
        terminalreporter.section("faults and what they cost")
        for line in table(found):
            terminalreporter.write_line(line)
