"""The table of both servers: every fault of Argosy's has a line, and what cannot be said of the original says why."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from faults.comparison import compare, lines, main, read
from faults.figures import Figure


def row(test: str, line: int, figure: Figure) -> str:
    """A line as tests write it."""
    return json.dumps({"test": test, "line": line, **asdict(figure)}) + "\n"


OURS = [
    row("b.py::test_two", 9, Figure("two", sent=4, right=3, failed=1, figures="0.1 s")),
    row("a.py::test_one[x]", 5, Figure("one x", sent=1, right=1)),
    row("a.py::test_none", 2, Figure("none", figures="status | 1")),
    row("a.py::test_one[x]", 5, Figure("one x", sent=2, right=2)),
]
THEIRS = [
    row("b.py::test_two", 9, Figure("two", sent=4, right=1, lost=1, wrong=2, figures="3 s")),
    row("a.py::test_none", 2, Figure("test_none", figures="does not apply: it has none")),
]


def test_both_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the order of the files; the last figure of a test counts; a fault without requests has no counts."""
    for name, text in (("ours", OURS), ("theirs", THEIRS)):
        (tmp_path / name).write_text("".join(text))
    main(str(tmp_path / "ours"), str(tmp_path / "theirs"))
    assert capsys.readouterr().out.splitlines()[2:] == [
        "| none |  | status \\| 1 |  |  | does not apply: it has none |",
        "| one x | 2, 2, 0, 0 |  |  |  | not run |",
        "| two | 4, 3, 0, 1 | 0.1 s | 4, 1, 0, 0 | 1, 0, 0, 2 | 3 s |",
    ]


@pytest.mark.parametrize("bad", [Figure("x", sent=2, right=1, lost=1), Figure("x", figures="no figure: AssertionError"), Figure("x", wrong=1)])
def test_what_is_not_published(tmp_path: Path, bad: Figure) -> None:
    """A figure of Argosy's that is bad or missing ends it with the test's name."""
    (tmp_path / "ours").write_text(row("a.py::test_bad", 1, bad))
    with pytest.raises(ValueError, match=r"a\.py::test_bad"):
        list(lines(compare(read(tmp_path / "ours"), {})))
