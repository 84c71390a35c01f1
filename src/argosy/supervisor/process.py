"""Child processes: start one with its own group and pipes, see its death by pidfd, kill all of it, reap everything."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from argosy.errors import ArgosyError, ErrorCode

_PR_SET_CHILD_SUBREAPER = 36
_PIPE_READ = 64 * 1024
_LONGEST_LINE = 16 * 1024
_LAST_READS = 64


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a process."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    inherit: Sequence[int]
    """File descriptors that the process gets under the same numbers."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: `code` if it exited, `signal` if it was killed, the other one None; both when nobody knows."""

    code: int | None
    signal: int | None

    def __str__(self) -> str:
        if self.signal is not None:
            with contextlib.suppress(ValueError):
                return f"was killed by {signal.Signals(self.signal).name}"
            return f"was killed by signal {self.signal}"
        return "ended" if self.code is None else f"exited with status {self.code}"


class Reaper:
    """Reaps every child of the server: workers, and as PID 1 or subreaper also the orphans that handlers leave behind."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._known: dict[int, Process] = {}
        self.adopts = False
        """Whether a process whose parent has ended becomes our child. Written by `start` only."""
        self._active = False
        self._before: Any = signal.SIG_DFL

    def __repr__(self) -> str:
        return f"<Reaper {len(self._known)} processes>"

    def start(self) -> None:
        """Adopt orphans from now on and reap what ends. Only the main thread can do that."""
        with contextlib.suppress(OSError, AttributeError):
            self.adopts = ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
        # uvloop keeps SIGCHLD from add_signal_handler for subprocesses of its own, of which there are none
        self._before = signal.signal(signal.SIGCHLD, lambda *_: self._loop.call_soon_threadsafe(self.collect))
        self._active = True

    def stop(self) -> None:
        """Kill and reap whatever child is still there."""
        if self._active:
            signal.signal(signal.SIGCHLD, self._before)
            self._active = False
            kill_children()

    def watch(self, process: Process) -> None:
        """Tell `process` when it has ended."""
        self._known[process.pid] = process

    def forget(self, process: Process) -> None:
        """Watch it no more."""
        self._known.pop(process.pid, None)

    def collect(self) -> None:
        """Reap every child that has ended."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            process = self._known.pop(found.si_pid, None)
            if process is not None:
                # before it is reaped, while no other process can have its number
                process.kill()
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, found.si_pid, os.WEXITED | os.WNOHANG)
            if process is not None:
                exited = found.si_code == os.CLD_EXITED
                process.ended(Exit(found.si_status if exited else None, None if exited else found.si_status))


def children() -> list[int]:
    """The processes whose parent is this one."""
    me = os.getpid()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                if int(file.read().rsplit(b")", 1)[1].split()[1]) == me:
                    found.append(int(name))
    return found


def kill_children() -> None:
    """Kill all children, and the children that they leave to us, until there are none."""
    beyond_us: set[int] = set()
    """Those of another user, who may have been changed by a handler that could: waiting for them might take for ever."""
    while pids := [pid for pid in children() if pid not in beyond_us]:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except PermissionError:
                beyond_us.add(pid)
            except ProcessLookupError:
                pass
        for pid in pids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG if pid in beyond_us else 0)


@dataclass(frozen=True, slots=True)
class Started:
    """A process that was started: by `start`, or by a template that forked it and left it to us."""

    pid: int
    stdout: int
    stderr: int
    """The read ends of its output, ours to close."""


class Process:
    """A running child in a session of its own. `on_exit` is called once, after it was reaped and its output was delivered."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        reaper: Reaper,
        started: Started,
        on_exit: Callable[[Exit], None],
        on_line: Callable[[str, bytes], None],
    ) -> None:
        self._loop = loop
        self._reaper = reaper
        self._on_exit = on_exit
        self._on_line = on_line
        self.pid = started.pid
        self._pipes = {"stdout": started.stdout, "stderr": started.stderr}
        self.running = True
        self._partial = {"stdout": b"", "stderr": b""}
        for name, fd in self._pipes.items():
            os.set_blocking(fd, False)
            loop.add_reader(fd, self._readable, name)
        reaper.watch(self)
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:  # a forked one can be gone and reaped already
            self._pidfd = -1
            loop.call_soon(self._gone)
        except OSError:  # no descriptor is left: SIGCHLD tells of its end as well
            self._pidfd = -1
        else:
            loop.add_reader(self._pidfd, reaper.collect)

    def __repr__(self) -> str:
        return f"<Process {self.pid} {'running' if self.running else 'ended'}>"

    def kill(self) -> None:
        """Kill it and everything in its process group. Does nothing once it has ended."""
        if self.running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def _gone(self) -> None:
        if self.running:
            self._reaper.forget(self)
            self.ended(Exit(None, None))

    def ended(self, status: Exit) -> None:
        """It was reaped. Only the reaper calls this."""
        self.running = False
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        for name in tuple(self._pipes):
            # bounded, since a process that left the group may still be writing
            for _ in range(_LAST_READS):
                if not self._readable(name):
                    break
            self._close_pipe(name)
        self._on_exit(status)

    def _readable(self, name: str) -> bool:
        """Deliver what is in a pipe; False when it is empty or closed."""
        fd = self._pipes.get(name)
        if fd is None:
            return False
        try:
            data = os.read(fd, _PIPE_READ)
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                self._close_pipe(name)
            return False
        if not data:
            self._close_pipe(name)
            return False
        *lines, rest = (self._partial[name] + data).split(b"\n")
        while len(rest) > _LONGEST_LINE:
            lines.append(rest[:_LONGEST_LINE])
            rest = rest[_LONGEST_LINE:]
        self._partial[name] = rest
        for line in lines:
            self._on_line(name, line)
        return True

    def _close_pipe(self, name: str) -> None:
        fd = self._pipes.pop(name, None)
        if fd is not None:
            self._loop.remove_reader(fd)
            os.close(fd)
            if self._partial[name]:
                self._on_line(name, self._partial[name])



def pipes() -> tuple[int, int, int, int]:
    """Two pipes for the output of a process: read ends of stdout and stderr, then their write ends. Raises `ArgosyError` LOAD_FAILED."""
    try:
        out_read, out_write = os.pipe()
        try:
            err_read, err_write = os.pipe()
        except OSError:
            os.close(out_read)
            os.close(out_write)
            raise
    except OSError as error:
        raise ArgosyError(ErrorCode.LOAD_FAILED, f"cannot start a worker: {error.strerror}") from error
    return out_read, err_read, out_write, err_write


def start(launch: Launch) -> Started:
    """Start a program in a session of its own. Raises `ArgosyError` LOAD_FAILED when that is not possible."""
    out_read, err_read, out_write, err_write = pipes()
    try:
        child = subprocess.Popen(
            list(launch.argv),
            env=dict(launch.env),
            cwd=launch.cwd,
            pass_fds=tuple(launch.inherit),
            stdin=subprocess.DEVNULL,
            stdout=out_write,
            stderr=err_write,
            start_new_session=True,
        )
    except OSError as error:
        os.close(out_read)
        os.close(err_read)
        raise ArgosyError(ErrorCode.LOAD_FAILED, f"cannot start {launch.argv[0]} in {launch.cwd}: {error.strerror}") from error
    finally:
        os.close(out_write)
        os.close(err_write)
    child.returncode = 0  # the reaper waits for it, so that Popen never does
    return Started(child.pid, out_read, err_read)
