"""Signals that come while nothing waits for them: what was begun is undone, and nobody sees a traceback."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible() -> Iterator[None]:
    """While the block runs, SIGTERM and SIGHUP unwind it as an exit with status 128 + number. Those that are ignored or handled already stay so."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    ours = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def stoppable() -> Iterator[None]:
    """The same for a server that has not begun to listen to signals; Ctrl-C ends it with status 130."""
    try:
        with interruptible():
            yield
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
