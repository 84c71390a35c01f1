"""What the server reports by itself, on a clock of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from argosy.frontend.site import HttpCounters
from argosy.logs import Logs, RecordLog
from argosy.metrics.host import Host
from argosy.server.reports import Reports
from argosy.testing.loop import FakeLoop


@dataclass
class FakeLog:
    """Stands for the logs, one of them, and the records that wait to be written."""

    lines: list[str] = field(default_factory=list)
    flushes: int = 0
    waiting: int = 0
    """Records that each flush finds."""

    @property
    def metrics(self) -> FakeLog:
        """Itself."""
        return self

    def write(self, line: str) -> None:
        """Keep the line."""
        self.lines.append(line.partition("|")[0])

    def flush(self) -> int:
        """Count."""
        self.flushes += 1
        return self.waiting


def test_reports_until_it_is_stopped() -> None:
    """The machine's figures at the start and at each interval, reply counts by class once a second, and the rest at the end."""
    loop, log, records, http = FakeLoop(), FakeLog(), FakeLog(), HttpCounters()
    reports = Reports(loop, cast(Logs, log), [cast(RecordLog, records)], Host(), http, 60)
    reports.start()
    loop.run()
    figures = len(log.lines)
    assert figures > 3
    http.successful, http.client_errors = 3, 1
    loop.advance(1.0)
    assert log.lines[figures:] == ["Requests2XX.Count:3", "Requests4XX.Count:1"]
    loop.advance(1.0)
    assert len(log.lines) == figures + 2
    loop.advance(58.0)
    assert len(log.lines) == 2 * figures + 2
    http.server_errors, http.redirected = 1, 1
    flushes = log.flushes
    reports.stop()
    assert log.lines[-1] == "Requests5XX.Count:2"
    assert log.flushes == records.flushes == flushes + 1
    loop.advance(1000.0)
    assert log.flushes == flushes + 1
    assert loop.failures == []
    assert repr(reports) == "<Reports every 60 s>"


def test_many_records_are_written_more_often() -> None:
    """However many requests come, few lines are made at a time; when there are few, nothing is done more often than ten times a second."""
    loop, log, records = FakeLoop(), FakeLog(), FakeLog()
    reports = Reports(loop, cast(Logs, log), [cast(RecordLog, records)], Host(), HttpCounters(), 60)
    records.waiting = 2000
    reports.start()
    loop.advance(0.05)
    assert records.flushes >= 2, "also at the very start"
    records.waiting = 1
    loop.advance(0.5)
    before = records.flushes
    loop.advance(1.0)
    assert records.flushes - before in (10, 11)
    records.waiting = 2000
    loop.advance(0.2)
    before = records.flushes
    loop.advance(0.1)
    assert records.flushes - before in (19, 20, 21)
    records.waiting = 1
    loop.advance(0.2)
    before = records.flushes
    loop.advance(1.0)
    assert records.flushes - before in (10, 11)
    reports.stop()
    assert loop.failures == []
