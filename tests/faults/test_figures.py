"""The table of faults: a figure that a test reports is printed, from whatever process, also when the test fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from faults.figures import HEADINGS, Figure, table

TESTS = Path(__file__).resolve().parents[1]
REPORTING = """
import pytest
from faults.figures import Figure

@pytest.mark.parametrize("number", [1, 2])
def test_one(figure, number):
    figure(Figure(f"fault {number}", sent=7, right=number))
    assert number == 1
"""


def test_table() -> None:
    """Numbers stand below each other, and the last column is as long as it needs to be."""
    lines = table([dict(zip(HEADINGS, HEADINGS, strict=True)), {**dict.fromkeys(HEADINGS, 1), "fault": "a long one", "figures": "none"}])
    assert lines[1].startswith("| ---------- | ---: |")
    assert lines[3] == "| a long one |    1 |     1 |       1 |      1 |    1 |    1 |       1 |     1 | none |"


def test_cells_are_those_of_the_headings() -> None:
    """A figure has a value for each column."""
    assert len(Figure("x").cells()) == len(HEADINGS)


@pytest.mark.parametrize("processes", [0, 2])
def test_figures_are_printed(tmp_path: Path, processes: int) -> None:
    """Also those of tests that ran in another process, and of those that failed; in the order of the file."""
    (tmp_path / "test_it.py").write_text(REPORTING)
    (tmp_path / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    command = [sys.executable, "-m", "pytest", "-n", str(processes), "-p", "no:cacheprovider", "-o", f"pythonpath={TESTS}", "--rootdir", "."]
    environment = {name: value for name, value in os.environ.items() if name != "ARGOSY_FIGURES"}
    found = subprocess.run([*command, "."], cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    rows = [line for line in found.stdout.splitlines() if line.startswith("| fault")]
    assert [row.split("|")[1:4] for row in rows][1:] == [[" fault 1 ", "    7 ", "     1 "], [" fault 2 ", "    7 ", "     2 "]]
    assert found.returncode == 1
