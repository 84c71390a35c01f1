"""What a runtime has started, on disk: so that the next one ends what a runtime that was killed could not end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PREFIX = "argosy-sagemaker-"
_OWNER = "owner"
_ENGINE_S = 60.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Started:
    """A process, with what tells it from a later one of its number, and the command that removes the container behind it."""

    pid: int
    mark: str
    remove: tuple[str, ...] = ()

    @property
    def is_there(self) -> bool:
        """Whether this very process still is."""
        return bool(self.mark) and mark(self.pid) == self.mark


class Ledger:
    """A folder that belongs to a runtime for as long as it lives, and the list of what it has started. Raises OSError when it is made."""

    def __init__(self, parent: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        self._file = (self.folder / f"{_OWNER}.new").open("a")
        # the name comes last: a folder of that name without a lock has no owner any more
        fcntl.flock(self._file, fcntl.LOCK_EX)
        (self.folder / f"{_OWNER}.new").rename(self.folder / _OWNER)

    def __repr__(self) -> str:
        return f"<Ledger {self.folder}>"

    def note(self, pid: int, remove: Sequence[str]) -> None:
        """A process was started. That it cannot be written is no failure: the runtime ends it all the same."""
        with contextlib.suppress(OSError):
            self._file.write(json.dumps({"pid": pid, "mark": mark(pid), "remove": list(remove)}) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Everything has ended: the folder goes. It blocks."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._file.close()


def mark(pid: int) -> str:
    """What tells a process from others that had or will have its number: when it began, and since when the machine is up. Empty: there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else f"{fields[19]} {_BOOT.read_text().strip()}"
    except OSError:
        return ""


def clear(parent: Path, gently_s: float) -> list[str]:
    """End and remove what runtimes left in this folder that are gone, processes by SIGTERM first; what that was, for the log. It blocks."""
    found: list[str] = []
    for folder in sorted(parent.glob(f"{PREFIX}*")):
        # a folder of somebody else could name any process or command
        with contextlib.suppress(OSError), _orphaned(folder) as file:
            if file is not None:
                found += _clear(_read(file), gently_s)
                shutil.rmtree(folder, ignore_errors=True)
    return found


@contextlib.contextmanager
def _orphaned(folder: Path) -> Iterator[IO[str] | None]:
    """The list in a folder of ours whose owner is gone, held meanwhile; None for others. Raises OSError."""
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        yield None
        return
    with (folder / _OWNER).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield file


def _read(file: IO[str]) -> list[Started]:
    """What was noted; a last line that was not written to its end is left out."""
    started = []
    for line in file:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            raw = json.loads(line)
            started.append(Started(int(raw["pid"]), str(raw["mark"]), tuple(map(str, raw["remove"]))))
    return started


def _clear(started: Sequence[Started], gently_s: float) -> list[str]:
    """End the processes, all at once, then remove the containers."""
    alive = [one for one in started if one.is_there]
    for one in alive:
        _signal(one, signal.SIGTERM)
    deadline = time.monotonic() + gently_s
    for one in alive:
        _wait(one, max(0.0, deadline - time.monotonic()))
        _signal(one, signal.SIGKILL)
    for one in started:
        if one.remove:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(one.remove, stdin=subprocess.DEVNULL, capture_output=True, timeout=_ENGINE_S, check=False)
    return [f"container {one.remove[-1]}" if one.remove else f"process {one.pid}" for one in started if one.remove or one in alive]


def _signal(one: Started, number: signal.Signals) -> None:
    """To it and to what it started in its group, which bears its number."""
    if one.is_there:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(one.pid, number)


def _wait(one: Started, timeout_s: float) -> None:
    try:
        descriptor = os.pidfd_open(one.pid)
    except OSError:
        return
    try:
        select.select([descriptor], [], [], timeout_s)
    finally:
        os.close(descriptor)
