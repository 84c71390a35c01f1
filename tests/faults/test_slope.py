"""Growth is told from noise."""

from __future__ import annotations

import random

import pytest

from faults.slope import fit

TIMES = [float(second) for second in range(60)]


def test_a_straight_line() -> None:
    """The slope is exact, without noise."""
    found = fit(TIMES, [5 + 2 * second for second in TIMES])
    assert found.per_hour == pytest.approx(7200)
    assert found.noise == pytest.approx(0, abs=1e-9)
    assert found.grows(59, tolerance=100)
    assert not found.grows(59, tolerance=120)


def test_noise_is_no_growth() -> None:
    """Values that only jump about do not grow, whatever line one can draw; with a real slope below them they do."""
    chance = random.Random(3)
    noise = [chance.gauss(100, 10) for _ in TIMES]
    assert not fit(TIMES, noise).grows(59, tolerance=0)
    assert fit(TIMES, [value + second for value, second in zip(noise, TIMES, strict=True)]).grows(59, tolerance=20)


def test_shrinking_is_no_growth() -> None:
    """Only growth counts."""
    assert not fit(TIMES, [-second for second in TIMES]).grows(59, tolerance=0)


@pytest.mark.parametrize(("times", "values"), [([0.0, 1.0], [1.0, 2.0]), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), ([0.0, 1.0, 2.0], [1.0])])
def test_no_line(times: list[float], values: list[float]) -> None:
    """Too few values, and values of one time, have no line."""
    with pytest.raises(ValueError, match=r"line|time"):
        fit(times, values)
