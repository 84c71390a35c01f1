"""What containers print is kept, shown in whole lines, and quoted when they fail."""

from __future__ import annotations

from pathlib import Path

from argosy.sagemaker.local.output import Output


def test_everything_is_kept_and_the_last_of_it_quoted(tmp_path: Path) -> None:
    """The file over all starts, the quotation of one start."""
    output = Output(tmp_path / "a" / "b.log")
    output.write(b"x" * 5000 + b"\nfirst life\n")
    assert output.tail.endswith("xx\nfirst life")
    assert len(output.tail) <= 4096
    output.forget_tail()
    output.write(b"second life\n")
    assert output.tail == "second life"
    output.close()
    assert (tmp_path / "a" / "b.log").read_bytes() == b"x" * 5000 + b"\nfirst life\nsecond life\n"


def test_lines_are_shown_whole(tmp_path: Path) -> None:
    """However they come, also in the middle of a letter; the last one at the end; endless ones in pieces."""
    lines: list[str] = []
    output = Output(tmp_path / "log", lines.append)
    for piece in (b"one\ntw", b"o \xc3", b"\xa9\n", b"y" * 9000, b"end"):
        output.write(piece)
    output.close()
    assert lines == ["one", "two é", "y" * 9000, "end"]


def test_a_container_that_prints_nothing_has_no_log(tmp_path: Path) -> None:
    """And closing it is no failure."""
    Output(tmp_path / "a" / "log").close()
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_cannot_be_written_does_not_stop_the_container(tmp_path: Path) -> None:
    """The reason is in the quotation."""
    output = Output(Path("/dev/full"))
    output.write(b"still here\n")
    assert "still here" in output.tail
    assert "No space left" in output.tail
    output.close()
