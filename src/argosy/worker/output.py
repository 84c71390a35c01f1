"""What a handler prints: straight to the pipes that the server reads, each line marked with the request ids of the running batch."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from contextvars import ContextVar
from typing import Any, Dict, Optional, Tuple

from argosy import wire

NOBODY: Dict[int, str] = {}


class Running:
    """The request ids of the batch that the handler works on, none between batches. `Batches` writes it; it is read when something is printed.

    Where many jobs run at once each has its own ids, in `of_task`, which then counts.
    """

    __slots__ = ("ids", "of_task")

    def __init__(self) -> None:
        self.ids = NOBODY
        self.of_task: Optional[ContextVar[Dict[int, str]]] = None

    def __repr__(self) -> str:
        return "<Running {}>".format(",".join(self.now().values()) or "nothing")

    def now(self) -> Dict[int, str]:
        """The ids of what is running here."""
        return self.ids if self.of_task is None else self.of_task.get()


class MarkedPipe(io.FileIO):
    """A standard stream of the worker. While a batch runs each line begins with its mark; see `wire.output_mark`.

    Every write reaches the pipe before it returns, so that nothing is lost when the process dies. A descriptor that the handler has pointed elsewhere
    gets no marks. The character that begins a mark is spelled out in what is printed, so that nobody's input is taken for one.
    """

    def __init__(self, fd: int, running: Running) -> None:
        super().__init__(fd, "wb", closefd=False)
        self._running = running
        self._ids = NOBODY
        self._mark = b""
        self._line_mark = b""
        self._at_start = True
        self._pipe = _identity(fd)

    def attach(self) -> None:
        """The descriptor is another pipe from now on."""
        self._pipe = _identity(self.fileno())
        self._at_start = True

    def write(self, data: Any) -> int:
        """Write all of `data`; returns its length."""
        raw = bytes(data)
        if raw:
            text = self._marked(raw)
            written = super().write(text)
            if written != len(text):
                self._write_rest(text, written)
        return len(raw)

    def _current(self) -> bytes:
        ids = self._running.now()
        if ids is not self._ids:
            self._ids = ids
            self._mark = wire.output_mark(",".join(ids.values())) if ids else b""
        return self._mark

    def _marked(self, raw: bytes) -> bytes:
        """What goes into the pipe for `raw`: the same, unless a line begins in it, or goes on for another batch."""
        mark = self._current()
        has_mark = wire.MARK in raw
        if not mark and not self._line_mark and not has_mark:
            return raw
        continues = not self._at_start and mark == self._line_mark
        head = b"" if continues else mark if self._at_start else mark or wire.NO_MARK
        if not head and not has_mark and raw.find(b"\n", 0, -1) < 0:
            self._went_on(raw, mark)
            return raw
        if _identity(self.fileno()) != self._pipe:
            return raw
        self._went_on(raw, mark)
        text = raw.replace(wire.MARK, wire.SPELLED_MARK) if has_mark else raw
        return head + text[:-1].replace(b"\n", b"\n" + mark) + text[-1:]

    def _went_on(self, raw: bytes, mark: bytes) -> None:
        self._at_start = raw.endswith(b"\n")
        self._line_mark = b"" if self._at_start else mark

    def _write_rest(self, data: bytes, written: Optional[int]) -> None:
        """What a signal kept the kernel from taking. None: the handler made the pipe non-blocking, and it is full; the rest is lost."""
        rest = memoryview(data)
        while written is not None and written < len(rest):
            rest = rest[written:]
            written = super().write(rest)


def tell(text: str) -> None:
    """Write to standard error. A handler may have closed it: that costs the text and nothing else."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(text)


def _identity(fd: int) -> Tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


class Output:
    """Both standard streams of a worker process, in place of those that Python made."""

    def __init__(self, running: Running) -> None:
        self._pipes = (MarkedPipe(1, running), MarkedPipe(2, running))
        for pipe, name in zip(self._pipes, ("stdout", "stderr")):  # noqa: B905  strict= needs Python 3.10
            encoding = getattr(getattr(sys, name), "encoding", None) or "utf-8"
            stream = io.TextIOWrapper(pipe, encoding, "backslashreplace", line_buffering=True, write_through=True)
            for target, attribute, value in (
                (pipe, "name", "<{}>".format(name)), (stream, "mode", "w"), (sys, name, stream), (sys, "__{}__".format(name), stream),
            ):  # fmt: skip
                setattr(target, attribute, value)

    def attach(self) -> None:
        """The descriptors are other pipes from now on: this process was forked to be a worker of its own."""
        for pipe in self._pipes:
            pipe.attach()
