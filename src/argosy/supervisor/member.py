"""One worker of a pool: acts out what its state table decides, over its process, its channel and its shared page."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from argosy import wire
from argosy.errors import ArgosyError, ErrorCode
from argosy.messages import Buffer
from argosy.supervisor.allowance import Allowance
from argosy.supervisor.arena import Arena
from argosy.supervisor.channel import CLOSED, Channel
from argosy.supervisor.launch import load_frame, read_report, worker_launch
from argosy.supervisor.page import Page
from argosy.supervisor.process import Exit, Process, Reaper, Started, start
from argosy.supervisor.spec import ModelSpec
from argosy.supervisor.states import Action, Event, State, WorkerState
from argosy.supervisor.template import Template

_log = logging.getLogger("argosy.supervisor")
_history = logging.getLogger("com.amazonaws.ml.mms.wlm.WorkerThread")
"""Alarms of operators look for the words and the logger of Multi Model Server when a worker comes or goes."""
_LAST_WORDS_S = 1.0
"""How long a process that has hung up may take to end by itself, so that its exit handlers run and its status is known."""

_HOPELESS = 4
"""So many failures in a row, and nobody is left waiting for it."""
_METRIC_BYTES = 4 << 20
"""What a worker may write of metrics in a second: some 16,000 of them."""
_METRIC_LINE = 100
"""What a line costs besides its bytes: empty ones are work too."""


class Lane(Protocol):
    """What the dataplane keeps for a worker that takes jobs."""

    def answers(self, data: memoryview) -> None:
        """Answer records came. Raises `wire.WireError` when they are not what was asked for."""

    def chunk(self, seq: int, data: bytes) -> None:
        """A piece of a streamed answer came. Raises like `answers`."""

    def withdraw(self) -> None:
        """No more jobs may be sent."""

    def lost(self, why: str, *, for_memory: bool) -> None:
        """The process is gone, killed for lack of memory or not; settle what it had, with the help of the shared page."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every worker of the server needs from it."""

    loop: asyncio.AbstractEventLoop
    reaper: Reaper
    environment: Callable[[ModelSpec], dict[str, str]]
    """The environment of a model's workers."""
    load_options: dict[str, Any]
    """What LOAD says besides the model: decoding, limits, versions."""
    output: Callable[[str, str, str, bytes], None]
    """A line that a worker wrote: model, worker id, stream, line."""
    metrics: Callable[[str, str], None]
    """Lines of custom metrics of a model."""
    frame_limit: int
    now: Callable[[], float]
    """Wall clock, for what people read."""
    was_for_memory: Callable[[], bool]
    """Whether the kernel has just killed one of our processes because memory had run out; true once for each of them."""
    answer_memory: int = 0
    """Bytes that each worker shares with the server for large answers."""


class Member:
    """A place for a worker in a pool; over time several processes may fill it."""

    def __init__(
        self,
        spec: ModelSpec,
        around: Surroundings,
        worker_id: str,
        gpu_id: int | None,
        arena: Arena | None,
        offer: Callable[[Member], Lane],
        freed: Callable[[Member], None],
        template: Template | None = None,
        restarted: Callable[[], None] = lambda: None,
        told: set[tuple[str, str]] | None = None,
        load_failed: Callable[[], None] = lambda: None,
    ) -> None:
        self.spec = spec
        self.id = worker_id
        self.gpu_id = gpu_id
        self.started_at = around.now()
        self.restarts = 0
        self.last_error: ArgosyError | None = None
        self.loaded: asyncio.Future[None] = around.loop.create_future()
        """Done at the first load or the first failure to load."""
        self.style: dict[str, Any] = {}
        self.page: Page | None = None
        self._around = around
        self._arena = arena
        self._offer = offer
        self._freed = freed
        self._template = template
        self._restarted = restarted
        self._load_failed = load_failed
        self._logged_failures = set() if told is None else told
        """The failures to load that were logged in full; shared by the workers of a pool."""
        self._state = WorkerState()
        self._process: Process | None = None
        self._channel: Channel | None = None
        self._lane: Lane | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._kill_reason: str | None = None
        self._exit_reason = ""
        self._ran_out_of_memory = False
        self._reported = False
        self._told = "null"
        self._allowance = Allowance(_METRIC_BYTES)
        self._actions: dict[Action, Callable[[], None]] = {
            Action.SPAWN: self._spawn,
            Action.SEND_LOAD: self._send_load,
            Action.OFFER: self._take_offer,
            Action.WITHDRAW: self._withdraw,
            Action.SEND_STOP: self._send_stop,
            Action.KILL: self._kill,
            Action.SETTLE: self._settle,
            Action.ARM_RETRY: self._arm_retry,
            Action.DISARM_RETRY: self._disarm,
            Action.FREE: self._free,
        }

    def __repr__(self) -> str:
        return f"<Member {self.spec.name}/{self.id} {self._state!r} pid={self.pid}>"

    @property
    def state(self) -> State:
        """Where the worker is now."""
        return self._state.state

    @property
    def is_hopeless(self) -> bool:
        """Whether it could not load the model so far, or for several times in a row. It goes on trying."""
        never = self.loaded.done() and not self.loaded.cancelled() and self.loaded.exception() is not None
        return never or self._state.failures >= _HOPELESS

    @property
    def pid(self) -> int | None:
        """The process that fills the place, if one runs."""
        return self._process.pid if self._process is not None and self._process.running else None

    # -- what the dataplane asks -------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send a message of jobs."""
        if self._channel is not None:
            self._channel.write(data)

    def send_pieces(self, pieces: list[Buffer]) -> None:
        """Send a large message of jobs."""
        if self._channel is not None:
            self._channel.write_pieces(pieces)

    def on(self, event: Event, why: str = "") -> None:
        """Something happened; do what the table says."""
        if event is Event.HUNG:
            self._kill_reason = why
        for action in self._state.on(event):
            self._act(action)

    # -- acting ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the first process."""
        self._act(Action.SPAWN)

    def _act(self, action: Action) -> None:
        self._actions[action]()

    def _take_offer(self) -> None:
        self._lane = self._offer(self)

    def _withdraw(self) -> None:
        if self._lane is not None:
            self._lane.withdraw()

    def _send_stop(self) -> None:
        self.send(wire.frame(wire.STOP))
        self._arm(self.spec.stop_timeout_s, Event.HUNG, "did not stop when told to")

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _arm_retry(self) -> None:
        pause_s = self._state.pause_s()
        _history.info("Retry worker: %s in %.0f seconds.", self.id, pause_s)
        self._arm(pause_s, Event.RETRY)

    def _spawn(self) -> None:
        self._kill_reason = None
        self._reported = False
        try:
            self.page = Page(self._around.answer_memory)
            ours, theirs = Channel.pair()
        except OSError as error:
            self._around.loop.call_soon(self._forked, ArgosyError(ErrorCode.LOAD_FAILED, f"cannot start a worker: {error.strerror}"), None)
            return
        try:
            if self._template is not None:
                self._template.fork(theirs.fileno(), self.page.fd, lambda result: self._forked(result, ours))
                return
            env = self._around.environment(self.spec)
            started = start(worker_launch(self.spec, env, self._arena, theirs.fileno(), self.page.fd))
        except ArgosyError as error:
            self._around.loop.call_soon(self._forked, error, ours)
            return
        finally:
            theirs.close()
        self._begin(started, ours)

    def _begin(self, started: Started, link: socket.socket) -> None:
        self._process = Process(self._around.loop, self._around.reaper, started, self._exited, self._line)
        self._channel = Channel(self._around.loop, link, self._frame, self._link_lost, self._around.frame_limit)
        self._tell("WORKER_STARTED")
        self.on(Event.STARTED)

    def _tell(self, state: str) -> None:
        _history.debug("W-%s-%s State change %s -> %s", self.id.partition("-")[0], self.spec.name, self._told, state)
        self._told = state

    def _forked(self, result: Started | ArgosyError, link: socket.socket | None) -> None:
        """The template has forked the process, or there is none."""
        if link is not None:
            if not isinstance(result, ArgosyError):
                self._begin(result, link)
                return
            link.close()
        assert isinstance(result, ArgosyError)
        if self.state is not State.STOPPING:
            self._fail_load(result)
        self.on(Event.EXITED)
        self._drop_page()

    def _send_load(self) -> None:
        if not self.spec.preload:
            self.send(load_frame(self.spec, self._around.load_options, self.gpu_id))
        limit_s = self.spec.startup_timeout_s
        if limit_s > 0:
            self._arm(limit_s, Event.HUNG, f"did not load the model within {limit_s:g} s (startup_timeout_s)")

    def _frame(self, frame: wire.Frame) -> None:
        if frame.kind == wire.HEAD and self._lane is not None:
            self._lane.answers(frame.data)
        elif frame.kind == wire.CHUNK and self._lane is not None:
            self._lane.chunk(frame.id, bytes(frame.data))
        elif frame.kind in (wire.END, wire.ERROR) and self._lane is not None:
            self._lane.answers(frame.data)
        elif frame.kind == wire.METRIC:
            self._metrics(bytes(frame.data))
        elif frame.kind == wire.LOADED and self.state is State.LOADING:
            self._loaded(read_report(frame.data))
        elif frame.kind != wire.LOADED or self.state is not State.STOPPING:
            raise wire.WireError(f"frame of kind {frame.kind} while {self.state.value}")

    def _metrics(self, lines: bytes) -> None:
        """Hand metrics on, unless there are so many that the server would do little else."""
        was_exceeded = self._allowance.is_exceeded
        if self._allowance.take(len(lines) + _METRIC_LINE * lines.count(b"\n"), self._around.loop.time()):
            self._around.metrics(self.spec.name, lines.decode("utf-8", "replace"))
        elif not was_exceeded:
            text = "model %s: worker %s writes more than %d MiB of metrics a second; what is over is dropped"
            _log.warning(text, self.spec.name, self.id, _METRIC_BYTES >> 20)

    def _loaded(self, report: dict[str, Any]) -> None:
        self._disarm()
        self._reported = True
        if report.get("ok") is True:
            self.style = report
            self.last_error = None
            self._tell("WORKER_MODEL_LOADED")
            self.on(Event.LOADED)
            if self.loaded.done():  # an earlier process could not load: that is forgotten
                self.loaded = self._around.loop.create_future()
            self.loaded.set_result(None)
            return
        code = ErrorCode.OUT_OF_MEMORY if report.get("code") == ErrorCode.OUT_OF_MEMORY else ErrorCode.LOAD_FAILED
        hint = str(report.get("hint") or "")
        message = str(report.get("message") or "the handler gave no reason")
        self._fail_load(ArgosyError(code, message, detail="\n".join(filter(None, (str(report.get("detail") or "").rstrip(), hint)))))
        self.on(Event.LOAD_FAILED)
        self._arm(self.spec.stop_timeout_s, Event.HUNG, "did not end after it had failed to load")

    def _fail_load(self, error: ArgosyError) -> None:
        self.last_error = error
        # the traceback once: the other workers, and the next attempts, usually fail for the same reason
        is_new = (error.message, error.detail) not in self._logged_failures
        self._logged_failures.add((error.message, error.detail))
        detail = "\n" + error.detail if is_new and error.detail else ""
        _log.error("model %s: worker %s could not load%s: %s%s", self.spec.name, self.id, "" if is_new else " again", error.message, detail)
        if not self.loaded.done():
            self.loaded.set_exception(error)
            self.loaded.exception()  # whoever waits for it sees it; nobody has to
        self._load_failed()

    def _line(self, stream: str, line: bytes) -> None:
        self._around.output(self.spec.name, self.id, stream, line)

    def _link_lost(self, why: str) -> None:
        """The process is ending or misbehaves: see that it ends; its exit settles the rest."""
        if why == CLOSED:
            self._withdraw()
            self._around.loop.call_later(_LAST_WORDS_S, self._hung_up, self._process)
        else:
            self._kill_reason = self._kill_reason or f"its link {why}"
            self._kill()

    def _hung_up(self, process: Process | None) -> None:
        if process is not None and process.running and self.state is not State.STOPPING:
            self._kill_reason = self._kill_reason or f"its link {CLOSED}, and it did not end"
            process.kill()

    def _exited(self, status: Exit) -> None:
        self._disarm()
        if self._channel is not None:
            self._channel.drain()
            self._channel.close()
            self._channel = None
        self._ran_out_of_memory = self._is_for_memory(status)
        why = "was killed by the system: memory had run out" if self._ran_out_of_memory else str(status)
        if self._kill_reason:
            why = f"{self._kill_reason}; it {status}"
        if self.state is State.LOADING and not self._reported:
            code = ErrorCode.OUT_OF_MEMORY if self._ran_out_of_memory else ErrorCode.LOAD_FAILED
            self._fail_load(ArgosyError(code, f"the worker process {why} while it loaded the model"))
        elif self.state in (State.IDLE, State.BUSY):
            code = ErrorCode.OUT_OF_MEMORY if self._ran_out_of_memory else ErrorCode.WORKER_DIED
            self.last_error = ArgosyError(code, f"the worker process {why}")
            _log.error("model %s: worker %s (pid %s): %s; a new one starts", self.spec.name, self.id, self._process and self._process.pid, why)
        self._exit_reason = why
        self._tell("WORKER_SCALED_DOWN" if self.state in (State.DRAINING, State.STOPPING) else "WORKER_STOPPED")
        self.on(Event.EXITED)
        if self.state is State.BACKOFF:
            self._drop_page()

    def _is_for_memory(self, status: Exit) -> bool:
        """Whether the kernel killed the process for lack of memory; not if we did it ourselves, for whatever reason."""
        killed = status.signal == signal.SIGKILL and self._kill_reason is None and self.state is not State.STOPPING
        return killed and self._around.was_for_memory()

    def _settle(self) -> None:
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.lost(self._exit_reason, for_memory=self._ran_out_of_memory)

    def _arm(self, delay_s: float, event: Event, why: str = "") -> None:
        self._disarm()
        self._timer = self._around.loop.call_later(delay_s, self._due, event, why)

    def _due(self, event: Event, why: str) -> None:
        self._timer = None
        if event is Event.RETRY:
            self.restarts += 1
            self._restarted()
        self.on(event, why)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drop_page(self) -> None:
        if self.page is not None:
            self.page.close()
            self.page = None

    def _free(self) -> None:
        self._drop_page()
        self._disarm()
        if not self.loaded.done():
            self.loaded.set_exception(ArgosyError(ErrorCode.CANCELLED, f"model {self.spec.name}: the worker was stopped before it had loaded"))
            self.loaded.exception()
        self._freed(self)
