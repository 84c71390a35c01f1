"""Bars as SVG, without a library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, ROW, TOP = 760, 130, 90, 26, 58


@dataclass(frozen=True, slots=True)
class Bar:
    """One value, more than 0; `is_ours` stands out."""

    label: str
    value: float
    is_ours: bool = False


def bars(title: str, unit: str, values: Sequence[Bar]) -> str:
    """Horizontal bars on a logarithmic scale, in the order given. Raises `ValueError` when there is nothing to draw."""
    if not values or min(bar.value for bar in values) <= 0:
        raise ValueError("bars need values above 0")
    low = math.floor(math.log10(min(bar.value for bar in values)))
    high = max(low + 1, math.ceil(math.log10(max(bar.value for bar in values))))
    height = TOP + ROW * len(values) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title, {chr(34): "&quot;"})}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="12" y="22" font-size="15" font-weight="bold" fill="#222">{escape(title)}</text>',
        *(_line(10**power, low, high, height) for power in range(low, high + 1)),
        *(_bar(bar, at, unit, low, high) for at, bar in enumerate(values)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def position(value: float, low: int, high: int) -> float:
    """Where a value is drawn, on a scale from 10**low to 10**high."""
    return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(value) - low) / (high - low)


def _line(value: float, low: int, high: int, height: int) -> str:
    x = position(value, low, high)
    line = f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{height - 12}" stroke="#ddd"/>'
    return f'{line}<text x="{x:.1f}" y="{TOP - 13}" text-anchor="middle" fill="#777">{value:g}</text>'


def _bar(bar: Bar, at: int, unit: str, low: int, high: int) -> str:
    y, end = TOP + ROW * at, position(bar.value, low, high)
    colour, weight = ("#b5451b", "bold") if bar.is_ours else ("#6b8299", "normal")
    figure = f"{bar.value:,.0f}" if bar.value >= 100 else f"{bar.value:.1f}"
    return (
        f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end" font-weight="{weight}" fill="#222">{escape(bar.label)}</text>'
        f'<rect x="{LEFT}" y="{y + 2}" width="{max(1.0, end - LEFT):.1f}" height="{ROW - 8}" fill="{colour}"/>'
        f'<text x="{end + 6:.1f}" y="{y + 15}" fill="#222">{figure} {escape(unit)}</text>'
    )
