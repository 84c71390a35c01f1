"""Argosy and the original side by side: python tests/faults/comparison.py OURS THEIRS prints a table in Markdown.

Both are files of lines of JSON, as tests write them with ARGOSY_FIGURES. Of several lines of one test the last one counts, so a part can be run
again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

HEADINGS = (
    "fault", "Argosy: sent, right, refused, failed", "what else", "MMS: sent, right, refused, failed", "lost, doubled, exchanged, wrong", "what else",
)  # fmt: skip
COUNTS = ("sent", "right", "refused", "failed")
BAD = ("lost", "duplicated", "crossed", "wrong")
MISSING = ("does not apply: ", "no figure: ")

Row = Mapping[str, object]


def read(path: Path) -> dict[str, Row]:
    """The last figure of each test, by its name, in the order of the tests in their files."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    found = {str(row["test"]): row for row in rows}
    return dict(sorted(found.items(), key=lambda item: (item[0].partition("::")[0], item[1]["line"])))


def compare(ours: Mapping[str, Row], theirs: Mapping[str, Row]) -> Iterator[tuple[str, ...]]:
    """The cells of the table, a line for each fault. Raises ValueError when a figure of Argosy's is bad or missing: that is nothing to publish."""
    for test, row in ours.items():
        text = str(row["figures"])
        if text.startswith(MISSING) or any(row[name] for name in BAD):
            raise ValueError(f"{test}: {dict(row)}")
        yield (str(row["fault"]), _counts(row, COUNTS), text, *_other(theirs.get(test)))


def _counts(row: Row, names: Sequence[str]) -> str:
    values = [row[name] for name in names]
    return ", ".join(map(str, values)) if row["sent"] else ""


def _other(row: Row | None) -> tuple[str, str, str]:
    if row is None:
        return "", "", "not run"
    text = str(row["figures"])
    return ("", "", text) if text.startswith(MISSING) else (_counts(row, COUNTS), _counts(row, BAD), text)


def lines(rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    """The table."""
    yield "| " + " | ".join(HEADINGS) + " |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def main(ours: str, theirs: str) -> None:
    """Print it."""
    for line in lines(compare(read(Path(ours)), read(Path(theirs)))):
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
