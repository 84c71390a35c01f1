"""What a test of a fault measured, as one line of a table that is printed at the end of the run.

Lost, duplicated, crossed and wrong must be zero whatever the fault is; the other counts say what it cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

PROPERTY = "figure"
"""Under this name a test's report carries its figure."""

HEADINGS = ("fault", "sent", "right", "refused", "failed", "lost", "dup.", "crossed", "wrong", "figures")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line. Every request that was sent is answered rightly, refused, failed as it must, lost or wrong."""

    fault: str
    sent: int = 0
    right: int = 0
    """Answered with what was asked for."""
    refused: int = 0
    """Told to come again, or that what was sent is not accepted."""
    failed: int = 0
    """Told that it failed, or cut off, as this fault demands."""
    lost: int = 0
    """Never answered."""
    duplicated: int = 0
    """Answered twice, or begun twice by a handler."""
    crossed: int = 0
    """Answered with what somebody else had asked for."""
    wrong: int = 0
    """Answered with something that nobody asked for."""
    figures: str = ""
    """What else was measured: times, memory, descriptors; `goal missed` where it says so."""

    def cells(self) -> list[str]:
        """The line, cell by cell."""
        return [str(value) for value in asdict(self).values()]


def table(found: Sequence[Mapping[str, object]]) -> list[str]:
    """The lines of a table, in the form of Markdown, that also reads well on a terminal."""
    rows = [list(HEADINGS), *([str(value) for value in figure.values()] for figure in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ["| " + " | ".join(_cell(text, widths, column) for column, text in enumerate(row)) + " |" for row in rows]
    marks = [("-" * width if column in (0, len(HEADINGS) - 1) else "-" * (width - 1) + ":") for column, width in enumerate(widths)]
    return [lines[0], "|" + "|".join(f" {mark} " for mark in marks) + "|", *lines[1:]]


def _cell(text: str, widths: Sequence[int], column: int) -> str:
    if column == len(widths) - 1:
        return text
    return text.ljust(widths[column]) if column == 0 else text.rjust(widths[column])
