"""The request path does not grow unnoticed: its instructions are counted and compared with what is recorded."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.instructions import Count

from benchmarks import instructions


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind counts the instructions")
def test_no_path_has_grown() -> None:
    """No path takes over five per cent more instructions a request than recorded; who means it records anew with `scripts/bench --record`."""
    if not instructions.is_recorded():
        pytest.skip(f"nothing is recorded for {instructions.interpreter()}")
    counts = instructions.count()
    assert len(counts) == 6
    assert all(count.recorded for count in counts), instructions.report(counts)
    assert not [count for count in counts if count.is_too_many], instructions.report(counts)


def test_growth_beyond_noise_is_too_many() -> None:
    """Just under five per cent more is noise of what the path is built on, six are not; a path that was never recorded cannot have grown."""
    cases = ((1049, 1000), (1060, 1000), (900, 1000), (5, None))
    assert [Count("p", now, before).is_too_many for now, before in cases] == [False, True, False, False]


def test_report_names_the_path() -> None:
    """The table says what is compared and what is too many."""
    report = instructions.report([Count("front", 1100, 1000), Count("worker", 7, None)])
    assert "front                               1100      1000    10.0%  too many" in report
    assert "worker                                 7         -     0.0%" in report
