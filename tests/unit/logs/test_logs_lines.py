"""Logs for the request path."""

from __future__ import annotations

import json
from collections.abc import Iterator

from argosy.logs import LineLog, OutputLog
from argosy.logs.layout import HeadedJsonLayout, HeadedLayout, PlainLayout


class Shelf:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.data = b""
        self.writes = 0

    def write(self, data: bytes) -> None:
        """Keep lines."""
        self.data += data
        self.writes += 1

    def close(self) -> None:
        """Nothing to do."""


def at(*times: float) -> Iterator[float]:
    """A clock that shows these times."""
    yield from times


def messages(shelf: Shelf) -> list[str]:
    """What follows the stamps."""
    return [line.partition(" - ")[2] for line in shelf.data.decode().split("\n")[:-1]]


def test_too_many_lines_are_dropped_and_counted() -> None:
    """Memory is bounded between two flushes."""
    shelf = Shelf()
    log = LineLog(PlainLayout("A"), [shelf], None, limit=2)
    for line in "abc":
        log.write(line)
    assert (log.dropped, repr(log)) == (1, "<LineLog on waiting=2 dropped=1>")
    log.flush()
    log.write("d")
    log.flush()
    assert messages(shelf) == ["a", "b", "d"]


def test_a_forged_line_stays_one_line() -> None:
    """Whatever a client sends in its request line; bytes too."""
    shelf = Shelf()
    log = LineLog(PlainLayout("A"), [shelf], None)
    log.write('"GET /\n2026-11-22T09:50:28,639 - forged"')
    log.write(b"\xff\x1b[2J \xc3\xa9")
    log.flush()
    assert messages(shelf) == ['"GET /\\n2026-11-22T09:50:28,639 - forged"', "\\xff\\x1b[2J é"]


def test_nothing_is_written_before_a_flush() -> None:
    """And a flush of many lines is one write for each destination."""
    file, console = Shelf(), Shelf()
    log = LineLog(PlainLayout("A"), [file], console)
    log.write("a")
    log.write("b")
    assert file.writes == 0
    log.flush()
    log.flush()
    assert (file.writes, console.writes) == (1, 1)
    assert b" [INFO ] main A - a\n" in console.data


def test_each_line_has_the_time_of_its_write() -> None:
    """Also when the clock is set back, in order of writing."""
    shelf = Shelf()
    clock = at(1000.0011, 1000.0019, 1000.0025, 999.5)
    log = LineLog(PlainLayout("A"), [shelf], None, clock=lambda: next(clock))
    for line in "abcd":
        log.write(line)
    log.flush()
    ends = [line.partition(" - ")[0][-6:] + line[-1] for line in shelf.data.decode().split("\n")[:-1]]
    assert ends == ["40,001a", "40,001b", "40,002c", "39,500d"]


def test_a_disabled_log_costs_nothing() -> None:
    """Switched off, or without any destination."""
    shelf = Shelf()
    for log in (LineLog(PlainLayout("A"), [shelf], None, enabled=False), LineLog(PlainLayout("A"), [], None)):
        log.write("a")
        log.flush()
        assert repr(log) == "<LineLog off waiting=0 dropped=0>"
        output = OutputLog(log, as_json=False)
        output.write("W", "a")
        assert output.dropped == 0
    assert shelf.data == b""


def test_output_of_handlers() -> None:
    """Lines of standard error are warnings; the name is the one that filters look for."""
    shelf = Shelf()
    output = OutputLog(LineLog(HeadedLayout(), [shelf], None), as_json=False)
    output.write("W-okay-1-stdout", "hello\r")
    output.write("W-okay-1-stderr", "ouch", is_error=True)
    output.flush()
    lines = [line.partition(" ")[2] for line in shelf.data.decode().split("\n")]
    assert lines[:2] == [
        "[INFO ] W-okay-1-stdout com.amazonaws.ml.mms.wlm.WorkerLifeCycle - hello\\r",
        "[WARN ] W-okay-1-stderr com.amazonaws.ml.mms.wlm.WorkerLifeCycle - ouch"]


def test_output_of_handlers_as_json() -> None:
    """With the request that caused it."""
    shelf = Shelf()
    output = OutputLog(LineLog(HeadedJsonLayout(), [shelf], None), as_json=True)
    output.write("W-okay-1-stderr", 'a "quoted"\nline', is_error=True, request_id="r1")
    output.flush()
    fields = json.loads(shelf.data)
    assert (fields["level"], fields["thread"], fields["message"], fields["requestID"]) == ("WARNING", "W-okay-1-stderr", 'a "quoted"\nline', "r1")
