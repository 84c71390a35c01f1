"""Whether something grows: a straight line through what was measured over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slope:
    """A line by least squares: how fast the values grow, and how far off that may be."""

    per_hour: float
    error_per_hour: float
    """Standard error."""
    noise: float
    """How far the values lie from the line, as a standard deviation."""

    def grows(self, span_s: float, tolerance: float) -> bool:
        """Whether the growth over `span_s` seconds is beyond `tolerance`, and beyond what noise can explain (three standard errors)."""
        grown = self.per_hour * span_s / 3600
        return grown > tolerance and self.per_hour > 3 * self.error_per_hour


def fit(seconds: Sequence[float], values: Sequence[float]) -> Slope:
    """The line through at least three values. Raises ValueError for fewer, or when all are of one time."""
    count = len(values)
    if count < 3 or count != len(seconds):
        raise ValueError("a line needs three values or more")
    middle, mean = math.fsum(seconds) / count, math.fsum(values) / count
    spread = math.fsum((at - middle) ** 2 for at in seconds)
    if not spread:
        raise ValueError("all values are of one time")
    slope = math.fsum((at - middle) * (value - mean) for at, value in zip(seconds, values, strict=True)) / spread
    off = math.fsum((value - mean - slope * (at - middle)) ** 2 for at, value in zip(seconds, values, strict=True))
    variance = off / (count - 2)
    return Slope(slope * 3600, math.sqrt(variance / spread) * 3600, math.sqrt(variance))
