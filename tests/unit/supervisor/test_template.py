"""The process that is forked into workers: what happens between its death and its reaping."""

from __future__ import annotations

import gc
import os
import select
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVarTuple, Unpack

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.supervisor.process import Launch, Reaper, Started, children
from argosy.supervisor.template import Template
from argosy.testing.loop import FakeLoop

_Args = TypeVarTuple("_Args")


class WatchingLoop(FakeLoop):
    """Keeps what is watched for reading, and looks only when a test asks."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: dict[int, tuple[Callable[..., object], tuple[Any, ...]]] = {}

    def add_reader(self, fd: Any, callback: Callable[[Unpack[_Args]], Any], *args: *_Args) -> None:
        """Watch a descriptor."""
        self.readers[fd] = (callback, args)

    def remove_reader(self, fd: Any) -> bool:
        """Watch it no more."""
        return self.readers.pop(fd, None) is not None

    def turn(self, leave: Callable[..., object]) -> int:
        """Call what is due, but not `leave`; how many calls that were."""
        ready, _, _ = select.select([fd for fd, (callback, _) in self.readers.items() if callback != leave], [], [], 0)
        for fd in ready:
            if fd in self.readers:
                callback, args = self.readers[fd]
                callback(*args)
        self.run()
        return len(ready)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Each test leaves the processes and descriptors as they were."""
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert children() == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_dead_process_wakes_nobody_before_it_is_reaped(tmp_path: Path) -> None:
    """Its closed sockets would be readable for ever: each is looked at once, then its end is awaited, and who waits for a worker is told."""
    loop, told = WatchingLoop(), list[Started | ArgosyError]()
    reaper = Reaper(loop)

    def launch(*inherited: int) -> Launch:
        return Launch([sys.executable, "-S", "-c", "pass"], dict(os.environ), str(tmp_path), inherited)

    template = Template(loop, reaper, launch, None, lambda stream, line: None, 1 << 20, 0.0, 5.0, 5.0)
    link, page = (os.open(os.devnull, os.O_RDWR) for _ in range(2))
    template.fork(link, page, told.append)
    os.close(link)
    os.close(page)
    assert template.pid is not None
    os.waitid(os.P_PID, template.pid, os.WEXITED | os.WNOWAIT)
    assert loop.turn(leave=reaper.collect) > 0
    assert loop.turn(leave=reaper.collect) == 0
    assert told == []
    reaper.collect()
    assert [error.code for error in told if isinstance(error, ArgosyError)] == [ErrorCode.LOAD_FAILED]
    assert (loop.readers, loop.failures, template.gone.is_set()) == ({}, [], True)
