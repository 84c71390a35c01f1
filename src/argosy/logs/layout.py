"""How a line looks: time stamps, text or JSON."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from typing import Protocol

from argosy.printable import escape, escape_block

_LEVELS = {logging.DEBUG: "DEBUG", logging.INFO: "INFO ", logging.WARNING: "WARN ", logging.ERROR: "ERROR", logging.CRITICAL: "FATAL"}


class Stamps:
    """Time stamps `2026-11-22T09:50:28,639` in local time; formats each second once."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def stamp(self, when: float) -> str:
        """The stamp of a time in seconds since the epoch."""
        second = int(when)
        if second != self._second:
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(second))
            self._second = second
        return f"{self._text},{int((when - second) * 1000):03d}"


class Layout(Protocol):
    """Makes the text of entries that share a time stamp, each with its newline. The messages are escaped already."""

    def block(self, stamp: str, messages: Sequence[str]) -> str:
        """Entries of a file that has one kind of line only."""

    def console(self, stamp: str, messages: Sequence[str]) -> str:
        """The same entries among all the others."""


def _headed(head: str, messages: Sequence[str]) -> str:
    # one join for all lines of a millisecond: 40 ns a line instead of 400
    return f"{head}{f'{chr(10)}{head}'.join(messages)}\n"


class PlainLayout:
    """`stamp - message` in the file; with level, thread and logger on the console."""

    def __init__(self, logger: str) -> None:
        self._head = f" [INFO ] main {logger} - "

    def block(self, stamp: str, messages: Sequence[str]) -> str:
        """Entries of the file."""
        return _headed(f"{stamp} - ", messages)

    def console(self, stamp: str, messages: Sequence[str]) -> str:
        """Entries of the console."""
        return _headed(stamp + self._head, messages)


class HeadedLayout:
    """For messages that bring their own level, thread and logger."""

    def block(self, stamp: str, messages: Sequence[str]) -> str:
        """Entries of file and console."""
        return _headed(f"{stamp} ", messages)

    console = block


class BareLayout:
    """The message alone: whoever gets it adds the rest."""

    def block(self, stamp: str, messages: Sequence[str]) -> str:
        """Lines without stamps."""
        return _headed("", messages)

    console = block


class JsonLayout:
    """One JSON object a line."""

    def __init__(self, logger: str) -> None:
        self._head = f'", "level": "INFO", "logger": {json.dumps(logger)}, "message": '

    def block(self, stamp: str, messages: Sequence[str]) -> str:
        """Entries of file and console."""
        return "".join(f'{{"time": "{stamp}{self._head}{json.dumps(message)}}}\n' for message in messages)

    console = block


class HeadedJsonLayout:
    """For messages that are the inside of a JSON object."""

    def block(self, stamp: str, messages: Sequence[str]) -> str:
        """Entries of file and console."""
        return "".join(f'{{"time": "{stamp}", {message}}}\n' for message in messages)

    console = block


class RecordFormatter(logging.Formatter):
    """Entries of the standard loggers: `stamp [LEVEL] thread logger - message`, or JSON. `record.origin` takes the place of the thread."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._json = as_json
        self._stamps = Stamps()

    def format(self, record: logging.LogRecord) -> str:
        """The whole entry, without the final newline."""
        stamp = self._stamps.stamp(record.created)
        message = record.getMessage()
        if record.exc_info:
            message = f"{message}\n{self.formatException(record.exc_info)}"
        thread = "main" if record.threadName == "MainThread" else record.threadName
        origin = str(getattr(record, "origin", thread))
        if self._json:
            fields = {"time": stamp, "level": record.levelname, "logger": record.name, "thread": origin, "message": message}
            return json.dumps(fields)
        level = _LEVELS.get(record.levelno, f"{record.levelname:<5}")
        return f"{stamp} [{level}] {escape(origin)} {record.name} - {escape_block(message)}"
