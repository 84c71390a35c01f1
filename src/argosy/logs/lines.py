"""Logs for the request path: a line costs an append; formatting and writing happen in bulk, later."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

from argosy.logs.layout import Layout, Stamps
from argosy.logs.sinks import Sink
from argosy.printable import escape

MOST_WAITING = 200_000
"""Lines that may wait for a flush; at 100 ms a flush, two million a second."""
WORKER_LOGGER = "com.amazonaws.ml.mms.wlm.WorkerLifeCycle"
"""The name under which log filters of Multi Model Server look for the output of handlers."""


class LineLog:
    """One kind of line. `write` only remembers; whoever owns the event loop calls `flush` at least every 100 ms and at the end.

    Nothing is written when `enabled` is false. Lines beyond 200,000 between two flushes are dropped and counted.
    """

    __slots__ = ("_clock", "_console", "_current", "_files", "_groups", "_layout", "_limit", "_stamps", "_until", "_waiting", "dropped", "enabled")

    def __init__(
        self, layout: Layout, files: Sequence[Sink], console: Sink | None, *, enabled: bool = True,
        limit: int = MOST_WAITING, clock: Callable[[], float] = time.time,
    ) -> None:
        self.enabled = enabled and bool(files or console)
        self.dropped = 0
        self._layout = layout
        self._files = files
        self._console = console
        self._limit = limit
        self._clock = clock
        self._stamps = Stamps()
        # lines of one millisecond share a group: (its time, its lines, whether they are escaped); the last one is the current one until `_until`
        self._groups: list[tuple[float, list[str], bool]] = []
        self._current: list[str] = []
        self._until = 0.0
        self._waiting = 0

    def __repr__(self) -> str:
        return f"<LineLog {'on' if self.enabled else 'off'} waiting={self._waiting} dropped={self.dropped}>"

    def write(self, line: str | bytes) -> None:
        """Log a line with the present time. Bytes are taken as UTF-8; control characters are escaped."""
        if not self.enabled:
            return
        if self._waiting >= self._limit:
            self.dropped += 1
            return
        now = self._clock()
        # a clock that was set back also opens a group
        if not self._until - 0.001 <= now < self._until:
            self._begin(now)
        self._waiting += 1
        self._current.append(line if isinstance(line, str) else line.decode("utf-8", "backslashreplace"))

    def _begin(self, now: float) -> None:
        self._until = (int(now * 1000) + 1) / 1000
        self._current = []
        self._groups.append((now, self._current, False))

    def add(self, when: float, lines: list[str]) -> None:
        """Log lines of one millisecond at the wall clock time `when`; they have no control characters. `count` them afterwards."""
        self._groups.append((when, lines, True))
        self._until = 0.0

    def count(self, lines: int) -> None:
        """So many lines were added."""
        self._waiting += lines

    def flush(self) -> None:
        """Write what is waiting. Never raises."""
        if not self._waiting:
            return
        groups, self._groups = self._groups, []
        self._waiting, self._until = 0, 0.0
        ready = [(self._stamps.stamp(when), lines if is_clean else _escaped(lines)) for when, lines, is_clean in groups]
        if self._files:
            data = "".join([self._layout.block(stamp, lines) for stamp, lines in ready]).encode("utf-8", "backslashreplace")
            for file in self._files:
                file.write(data)
        if self._console is not None:
            self._console.write("".join([self._layout.console(stamp, lines) for stamp, lines in ready]).encode("utf-8", "backslashreplace"))


def _escaped(lines: list[str]) -> list[str]:
    # one look at all lines of a millisecond; nearly always that is enough
    return lines if "".join(lines).isprintable() else [escape(line) for line in lines]


class OutputLog:
    """What handlers print: each line with the worker that printed it."""

    __slots__ = ("_json", "_lines")

    def __init__(self, lines: LineLog, *, as_json: bool) -> None:
        self._lines = lines
        self._json = as_json

    @property
    def dropped(self) -> int:
        """Lines that were dropped because too many came at once."""
        return self._lines.dropped

    def write(self, origin: str, text: str, *, is_error: bool = False, request_id: str = "") -> None:
        """Log a line. `origin` names worker and stream (`W-okay-1-stdout`); lines of standard error are warnings.

        `request_id` is one or several, joined by commas. In text they come last, so that whoever looks for the line of old still finds it.
        """
        if not self._lines.enabled:
            return
        if self._json:
            fields = {"level": "WARNING" if is_error else "INFO", "logger": WORKER_LOGGER, "thread": origin, "message": text, "requestID": request_id}
            self._lines.write(json.dumps(fields)[1:-1])
        else:
            end = f" [requestID:{request_id}]" if request_id else ""
            self._lines.write(f"[{'WARN ' if is_error else 'INFO '}] {origin} {WORKER_LOGGER} - {text}{end}")

    def flush(self) -> None:
        """Write what is waiting."""
        self._lines.flush()
