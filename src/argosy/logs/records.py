"""Log lines that are made in bulk: the request path keeps a tuple, the text is made when the log is flushed."""

from __future__ import annotations

import operator
import time
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from argosy.logs.lines import LineLog

Record = tuple[Any, ...]
_when = operator.itemgetter(0)


class RecordLog:
    """Records whose first member is a time of the event loop's clock; none is older than the one before.

    `render` makes the lines of records of the same millisecond, without control characters. `write` is a list's own append: keeping a record costs
    a tenth of making its line, and lines made one after the other cost half of lines made in between other work. Not kept from growing: whoever
    writes also flushes, at least every 100 ms.
    """

    def __init__(
        self, lines: LineLog, render: Callable[[list[Record]], list[str]], clock: Callable[[], float], wall: Callable[[], float] = time.time
    ) -> None:
        self._lines = lines
        self._render = render
        self._clock = clock
        self._wall = wall
        self._records: list[Record] = []
        self.write: Callable[[Record], None] = self._records.append

    def __repr__(self) -> str:
        return f"<RecordLog {len(self._records)} waiting>"

    @property
    def enabled(self) -> bool:
        """Whether records become lines at all."""
        return self._lines.enabled

    def flush(self) -> int:
        """Make the lines of all records and hand them on; how many there were."""
        if not self._records:
            return 0
        offset = self._wall() - self._clock()
        records, first = self._records, 0
        while first < len(records):
            when = records[first][0] + offset
            until = (int(when * 1000) + 1) / 1000 - offset
            end = bisect_left(records, until, first + 1, key=_when)
            self._lines.add(when, self._render(records[first:end]))
            first = end
        count = len(records)
        self._lines.count(count)
        records.clear()
        return count
