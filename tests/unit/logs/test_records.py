"""Records that become lines when the log is flushed."""

from __future__ import annotations

from argosy.logs import LineLog, RecordLog
from argosy.logs.layout import PlainLayout


class Sink:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.text += data.decode()

    def close(self) -> None:
        """Nothing to close."""


def log(sink: Sink, *, enabled: bool = True) -> tuple[RecordLog, LineLog]:
    """A log whose loop began at 100 s when the wall clock showed 1,000,000 s."""
    lines = LineLog(PlainLayout("L"), [sink], None, enabled=enabled)
    return RecordLog(lines, lambda records: [f"{name}!" for _, name in records], lambda: 100.0, lambda: 1_000_000.0), lines


def test_lines_have_the_time_of_their_records() -> None:
    """A record carries a time of the loop's clock; its line shows the wall clock of that moment, to the millisecond and in order."""
    sink = Sink()
    records, lines = log(sink)
    for when, name in ((100.0, "a"), (100.0004, "b"), (100.0017, "c"), (101.5, "d")):
        records.write((when, name))
    assert sink.text == ""
    records.flush()
    lines.flush()
    assert [line.rpartition(" - ")[2] for line in sink.text.splitlines()] == ["a!", "b!", "c!", "d!"]
    stamps = [line.partition(" - ")[0].rpartition(",")[2] for line in sink.text.splitlines()]
    assert stamps == ["000", "000", "001", "500"]


def test_nothing_is_made_twice_and_nothing_of_nothing() -> None:
    """A flush takes the records; without any it does nothing."""
    sink = Sink()
    records, lines = log(sink)
    records.flush()
    records.write((100.0, "a"))
    assert repr(records) == "<RecordLog 1 waiting>"
    records.flush()
    records.flush()
    lines.flush()
    assert sink.text.count("a!") == 1


def test_a_log_that_is_off_says_so() -> None:
    """Who would write can spare itself the records."""
    assert not log(Sink(), enabled=False)[0].enabled
    assert log(Sink())[0].enabled
