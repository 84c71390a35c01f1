"""What the server reports by itself: log lines flushed in bulk, counts of replies, the machine's figures."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence

from argosy.frontend.site import HttpCounters
from argosy.logs import Logs, RecordLog
from argosy.metrics.host import Host

_FLUSH_S = 0.1
_SHORTEST_FLUSH_S = 0.005
_RECORDS_A_FLUSH = 400
"""Aimed at: their lines take less than a millisecond to make, and for so long the server does nothing else."""
_COUNT_S = 1.0


class Reports:
    """Writes to `logs` on a timer from `start` to `stop`."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, logs: Logs, records: Sequence[RecordLog], host: Host, http: HttpCounters, interval_s: int
    ) -> None:
        self._loop = loop
        self._logs = logs
        self._records = records
        self._host = host
        self._http = http
        self._interval_s = interval_s
        self._hostname = socket.gethostname()
        self._told = (0, 0, 0)
        self._pause_s = _FLUSH_S
        self._timers: list[asyncio.TimerHandle] = []

    def __repr__(self) -> str:
        return f"<Reports every {self._interval_s} s>"

    def start(self) -> None:
        """Report now and from now on."""
        self._timers = [self._loop.call_later(0, self._flush), self._loop.call_later(0, self._measure), self._loop.call_later(_COUNT_S, self._tell)]

    def stop(self) -> None:
        """Write what is left and stop."""
        for timer in self._timers:
            timer.cancel()
        self._count()
        self._write()

    def _write(self) -> int:
        written = sum([records.flush() for records in self._records])
        self._logs.flush()
        return written

    def _flush(self) -> None:
        written = self._write()
        wanted_s = self._pause_s * _RECORDS_A_FLUSH / written if written else _FLUSH_S
        self._pause_s = min(max(wanted_s, _SHORTEST_FLUSH_S), _FLUSH_S)
        self._timers[0] = self._loop.call_later(self._pause_s, self._flush)

    def _tell(self) -> None:
        self._count()
        self._timers[2] = self._loop.call_later(_COUNT_S, self._tell)

    def _count(self) -> None:
        """Replies by class since the last time; a class without any is not mentioned."""
        http = self._http
        others = http.informational + http.redirected
        counts = (http.successful, http.client_errors, http.server_errors + others)
        for name, now, before in zip(("2XX", "4XX", "5XX"), counts, self._told, strict=True):
            if now != before:
                self._logs.metrics.write(f"Requests{name}.Count:{now - before}|{self._suffix()}")
        self._told = counts

    def _suffix(self) -> str:
        return f"#Level:Host|#hostname:{self._hostname},timestamp:{int(time.time())}"

    def _measure(self) -> None:
        for metric in self._host.system_metrics():
            self._logs.metrics.write(f"{metric.name}.{metric.unit}:{round(metric.value, 1)}|{self._suffix()}")
        self._timers[1] = self._loop.call_later(self._interval_s, self._measure)
