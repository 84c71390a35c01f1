"""Where lines go: rotated files and the console. Neither raises, whatever the disk or the reader does."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

ROTATE_BYTES = 100 * 1024 * 1024
KEEP = 5
CONSOLE_BYTES = 8 * 1024 * 1024


class Sink(Protocol):
    """Takes whole lines as bytes. Never raises, and blocks at most for a write to a local file."""

    def write(self, data: bytes) -> None:
        """Store or show lines."""

    def close(self) -> None:
        """Finish what is under way."""


class LogFile:
    """A log file that is rolled daily and at 100 MB, packed aside, five old ones kept. What cannot be written is counted in `lost_bytes`."""

    def __init__(
        self, path: Path, report: Callable[[str], None], *, clock: Callable[[], float] = time.time, rotate_bytes: int = ROTATE_BYTES, keep: int = KEEP
    ) -> None:
        self.path = path
        self.lost_bytes = 0
        self._report = report
        self._clock = clock
        self._rotate_bytes = rotate_bytes
        self._keep = keep
        self._fd = -1
        self._size = 0
        self._day = ""
        self._torn = False
        self._failing = False
        self._packing: threading.Thread | None = None
        self._reopen = False
        self._guarded(self._open)

    def __repr__(self) -> str:
        return f"<LogFile {self.path} {self._size} bytes{f', {self.lost_bytes} lost' if self.lost_bytes else ''}>"

    def write(self, data: bytes) -> None:
        """Append lines; counts them as lost when the file cannot be written."""
        if not self._guarded(lambda: self._append(data)):
            self.lost_bytes += len(data)

    def reopen(self) -> None:
        """Open the file anew before the next line is written: somebody may have moved it."""
        self._reopen = True

    def close(self) -> None:
        """Close the file and wait for old ones to be packed, at most ten seconds."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._packing is not None:
            self._packing.join(10)

    def _guarded(self, act: Callable[[], None]) -> bool:
        """Run something that may fail; says so once until it works again."""
        try:
            act()
        except OSError as error:
            if not self._failing:
                self._report(f"cannot write {self.path}: {error.strerror}; lines are lost until it works again")
            self._failing = True
            return False
        self._failing = False
        return True

    def _append(self, data: bytes) -> None:
        if self._reopen and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._reopen = False
        if self._fd < 0:
            self._open()
        self._roll_if_due(len(data))
        left = memoryview(b"\n" + data if self._torn else data)
        while left:
            written = os.write(self._fd, left)
            self._size += written
            left = left[written:]
            self._torn = bool(left)

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        status = os.fstat(self._fd)
        self._size = status.st_size
        self._day = _day(status.st_mtime if self._size else self._clock())

    def _roll_if_due(self, more: int) -> None:
        today = _day(self._clock())
        if self._size and (today != self._day or self._size + more > self._rotate_bytes):
            self._roll()
            self._open()

    def _roll(self) -> None:
        os.close(self._fd)
        self._fd = -1
        aside = self._free_name()
        self.path.rename(aside)
        self._packing = threading.Thread(target=_pack, args=(aside, self.path, self._keep, self._packing), name=f"pack-{self.path.name}")
        self._packing.start()

    def _free_name(self) -> Path:
        """A name that was not used today: numbers go on where they were, also after old files have gone."""
        head = f"{self.path.stem}.{self._day}"
        used = re.compile(re.escape(head) + r"(?:-(\d+))?" + re.escape(self.path.suffix) + r"(?:\.gz)?")
        found = [used.fullmatch(file.name) for file in self.path.parent.iterdir()]
        number = max((int(match[1] or 1) for match in found if match is not None), default=0) + 1
        mark = "" if number == 1 else f"-{number}"
        return self.path.with_name(f"{head}{mark}{self.path.suffix}")


def _day(when: float) -> str:
    return time.strftime("%d-%b", time.localtime(when))


def _pack(aside: Path, path: Path, keep: int, before: threading.Thread | None) -> None:
    """Compress a rolled file, one after the other, and delete the oldest ones; a full disk leaves it as it is."""
    if before is not None:
        before.join()
    packed = aside.with_name(aside.name + ".gz")
    try:
        with aside.open("rb") as source, gzip.open(packed, "wb", compresslevel=5) as target:
            shutil.copyfileobj(source, target, 1024 * 1024)
        aside.unlink()
    except OSError:
        with contextlib.suppress(OSError):
            packed.unlink()
    with contextlib.suppress(OSError):
        # packed ones only: what still waits to be packed is newer than all of them, whatever its time stamp says
        older = sorted(path.parent.glob(f"{path.stem}.*{path.suffix}.gz"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
        for file in older[keep:]:
            file.unlink()


class Console:
    """Standard output, written by a thread of its own: a reader that stopped reading must not stop the server.

    Holds at most 8 MiB; what comes on top is dropped, counted and reported when the reader goes on.
    """

    def __init__(self, fd: int = 1, limit_bytes: int = CONSOLE_BYTES) -> None:
        self.dropped_lines = 0
        self._fd = fd
        self._limit = limit_bytes
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._unsaid = 0
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<Console fd={self._fd} waiting={self._waiting_bytes} bytes dropped={self.dropped_lines}>"

    def write(self, data: bytes) -> None:
        """Show lines, soon."""
        with self._changed:
            if self._closing or self._waiting_bytes + len(data) > self._limit:
                lines = data.count(b"\n")
                self.dropped_lines += lines
                self._unsaid += lines
                return
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="console", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Wait until everything is shown, at most two seconds; later lines are dropped."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(2)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                data = b"".join(self._waiting)
                self._waiting.clear()
                unsaid, self._unsaid = self._unsaid, 0
            self._show(data + (b"... %d lines were not printed: the reader was too slow\n" % unsaid if unsaid else b""))
            with self._changed:
                self._waiting_bytes -= len(data)

    def _show(self, data: bytes) -> None:
        left = memoryview(data)
        with contextlib.suppress(OSError):
            while left:
                left = left[os.write(self._fd, left):]
