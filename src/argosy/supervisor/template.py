"""The process that is forked into the workers of one model, which share its memory until they write to it. A preloaded model is loaded in it.

It speaks the ordinary link until it has said LOADED: when it has loaded the model, or at once if the workers do that themselves. Then it takes fork
requests from a second socket, one packet each: the number of the request and, as ancillary data, the four descriptors of the new worker (link, page,
stdout, stderr). It answers with number and pid (u64 each). The worker was forked twice, so that it is the server's own child.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
from collections.abc import Callable, Iterable

from argosy import wire
from argosy.errors import ArgosyError, ErrorCode
from argosy.supervisor.channel import Channel
from argosy.supervisor.launch import read_report
from argosy.supervisor.page import Page
from argosy.supervisor.process import Exit, Launch, Process, Reaper, Started, pipes, start

_REQUEST = struct.Struct("<Q")
_ANSWER = struct.Struct("<QQ")

Forked = Callable[[Started | ArgosyError], None]


class Template:
    """Forks workers of one model, preloaded or not. Starts with the first request, and again with the next one after it has ended."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        reaper: Reaper,
        launch: Callable[[int, int, int], Launch],
        load: Callable[[], bytes] | None,
        on_line: Callable[[str, bytes], None],
        frame_limit: int,
        startup_timeout_s: float,
        stop_timeout_s: float,
        fork_timeout_s: float,
        was_for_memory: Callable[[], bool] = lambda: False,
    ) -> None:
        """`launch` gets the descriptors of link, page and fork socket; `load` gives the LOAD frame, None if the
        workers load the model themselves; `was_for_memory` is that of `Surroundings`."""
        self._was_for_memory = was_for_memory
        self._startup_timeout_s = startup_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._fork_timeout_s = fork_timeout_s
        self._timer: asyncio.TimerHandle | None = None
        self.gone = asyncio.Event()
        """Set while no process runs."""
        self.gone.set()
        self._loop = loop
        self._reaper = reaper
        self._launch = launch
        self._load = load
        self._role = "the process that forks the workers" if load is None else "the process that preloads the model"
        self._on_line = on_line
        self._frame_limit = frame_limit
        self._process: Process | None = None
        self._channel: Channel | None = None
        self._page: Page | None = None
        self._socket: socket.socket | None = None
        self._loaded = False
        self._error: ArgosyError | None = None
        self._next = 0
        self._closed_at: int | None = None
        """The last request before `close`; those that come while the process ends are for the next one."""
        self._waiting: dict[int, tuple[tuple[int, ...], tuple[int, int], Forked]] = {}
        """Number → descriptors to send (none once they were sent), read ends of the output, who asked."""

    def __repr__(self) -> str:
        return f"<Template {self._process} {'loaded' if self._loaded else 'not loaded'} {len(self._waiting)} requests>"

    @property
    def pid(self) -> int | None:
        """The process, if it runs."""
        return self._process.pid if self._process is not None and self._process.running else None

    def fork(self, link_fd: int, page_fd: int, done: Forked) -> None:
        """Make a worker with these descriptors, which stay the caller's. `done` is called once, later, with the worker or why there is none."""
        try:
            if self._process is None:
                self._begin()
            with contextlib.ExitStack() as opened:
                output = pipes()
                opened.callback(_close, output)
                copies = (os.dup(link_fd), os.dup(page_fd))
                opened.pop_all()
        except ArgosyError as error:
            self._loop.call_soon(done, error)
            return
        except OSError as error:
            self._loop.call_soon(done, ArgosyError(ErrorCode.LOAD_FAILED, f"cannot start a worker: {error.strerror}"))
            return
        out_read, err_read, out_write, err_write = output
        self._next += 1
        self._waiting[self._next] = ((*copies, out_write, err_write), (out_read, err_read), done)
        if self._loaded and self._closed_at is None:
            self._ask(self._next)

    def _begin(self) -> None:
        self._error, self._loaded = None, False
        with contextlib.ExitStack() as opened, contextlib.ExitStack() as theirs:
            ours, link = Channel.pair()
            opened.callback(ours.close)
            theirs.callback(link.close)
            mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            opened.callback(mine.close)
            theirs.callback(its.close)
            page = Page()
            opened.callback(page.close)
            started = start(self._launch(link.fileno(), page.fd, its.fileno()))
            opened.pop_all()
        self._page = page
        self._process = Process(self._loop, self._reaper, started, self._exited, self._on_line)
        self._channel = Channel(self._loop, ours, self._frame, self._lost, self._frame_limit)
        self._socket = mine
        mine.setblocking(False)
        self._loop.add_reader(mine.fileno(), self._answered)
        self.gone.clear()
        if self._load is not None:
            self._channel.write(self._load())
        if self._startup_timeout_s > 0:
            self._timer = self._loop.call_later(self._startup_timeout_s, self._overdue)

    def _overdue(self) -> None:
        self._timer = None
        self._error = ArgosyError(ErrorCode.LOAD_FAILED, f"the model did not load within {self._startup_timeout_s:g} s (startup_timeout_s)")
        self.close()

    def _frame(self, frame: wire.Frame) -> None:
        if frame.kind == wire.METRIC:
            return
        if frame.kind != wire.LOADED:
            raise wire.WireError(f"frame of kind {frame.kind} from a template")
        self._disarm()
        report = read_report(frame.data)
        if report.get("ok") is True:
            self._loaded = True
            for number in tuple(self._waiting) if self._closed_at is None else ():
                self._ask(number)
            return
        code = ErrorCode.OUT_OF_MEMORY if report.get("code") == ErrorCode.OUT_OF_MEMORY else ErrorCode.LOAD_FAILED
        detail = "\n".join(filter(None, (str(report.get("detail") or "").rstrip(), str(report.get("hint") or ""))))
        self._timer = self._loop.call_later(self._stop_timeout_s, self._kill)  # a thread of the model's may keep the process from ending
        self._error = ArgosyError(code, str(report.get("message") or "the handler gave no reason"), detail=detail)

    def _ask(self, number: int) -> None:
        descriptors, output, done = self._waiting[number]
        assert self._socket is not None
        try:
            socket.send_fds(self._socket, [_REQUEST.pack(number)], descriptors)
        except OSError as error:
            self._lost(f"cannot be asked for a worker: {error.strerror}")
            return
        _close(descriptors)
        self._waiting[number] = ((), output, done)
        self._loop.call_later(self._fork_timeout_s, self._give_up, number)

    def _give_up(self, number: int) -> None:
        """A fork that takes so long will not come: the process hangs."""
        if number in self._waiting:
            message = f"{self._role} did not fork a worker within {self._fork_timeout_s:g} s"
            self._error = ArgosyError(ErrorCode.LOAD_FAILED, message)
            self._lost("hangs")

    def _answered(self) -> None:
        assert self._socket is not None
        try:
            packet = self._socket.recv(_ANSWER.size)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if len(packet) != _ANSWER.size:
            # it stays readable until the process is reaped, which is awaited elsewhere
            self._loop.remove_reader(self._socket.fileno())
            self._lost("closed its end")
            return
        number, pid = _ANSWER.unpack(packet)
        found = self._waiting.pop(number, None)
        if found is not None:
            _, (out_read, err_read), done = found
            done(Started(pid, out_read, err_read))

    def _lost(self, why: str) -> None:
        self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _exited(self, status: Exit) -> None:
        if self._channel is not None:
            self._channel.drain()
        error = self._error or self._death(status)
        self._put_away()
        closed_at, self._closed_at = self._closed_at, None
        self._refuse([number for number in self._waiting if closed_at is None or number <= closed_at], error)
        if self._waiting and self._process is None:
            self._begin_again()
        if self._process is None:
            self.gone.set()

    def _death(self, status: Exit) -> ArgosyError:
        """Why the process ended by itself."""
        if status.signal == signal.SIGKILL and self._closed_at is None and self._was_for_memory():
            return ArgosyError(ErrorCode.OUT_OF_MEMORY, f"{self._role} was killed by the system: memory had run out")
        return ArgosyError(ErrorCode.LOAD_FAILED, f"{self._role} {status}")

    def _refuse(self, numbers: Iterable[int], error: ArgosyError) -> None:
        for number in numbers:
            descriptors, output, done = self._waiting.pop(number)
            _close((*descriptors, *output))
            done(error)

    def _begin_again(self) -> None:
        try:
            self._begin()
        except ArgosyError as error:
            self._refuse(tuple(self._waiting), error)
        except OSError as error:
            self._refuse(tuple(self._waiting), ArgosyError(ErrorCode.LOAD_FAILED, f"cannot start a worker: {error.strerror}"))

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _put_away(self) -> None:
        self._disarm()
        self._process = None
        self._loaded = False
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        if self._page is not None:
            self._page.close()
            self._page = None

    def rest(self) -> None:
        """End the process unless somebody waits for a worker from it; the next one who asks for a worker starts another."""
        if not self._waiting:
            self.close()

    def close(self) -> None:
        """End the process; the workers go on. Requests that wait are refused when it has ended, later ones start another."""
        if self._process is not None:
            self._closed_at = self._next
            self._process.kill()


def _close(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
