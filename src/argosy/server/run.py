"""Runs a server from its configuration to its exit status."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import resource
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from argosy.config import Config, Target
from argosy.errors import ArgosyError
from argosy.logs import Logs, configure_logs
from argosy.server.build import build
from argosy.server.parts import Parts

_log = logging.getLogger("argosy.server")
_ALLOCATIONS = 20_000
_SAME_SIGNAL_S = 1.0
_STOP_MARGIN_S = 10.0
_PR_SET_DUMPABLE = 4


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A model named at the start. `error` says why it cannot serve; empty if it can, or still loads."""

    name: str
    workers: int
    state: str
    """READY, LOADING or FAILED."""
    error: str


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What a server that has just become ready tells about itself."""

    inference: tuple[str, ...]
    management: tuple[str, ...]
    models: tuple[ModelStatus, ...]
    workers_reason: str
    """Why models of the start got as many workers as they did."""


def run(config: Config, *, targets: Sequence[Target] = (), on_ready: Callable[[ServerStatus], None]) -> int:
    """Serve until SIGTERM or SIGINT; the exit status, 0 after a clean stop.

    `on_ready` is called once: when the addresses are bound and, if there are `targets`, when these have loaded or failed. Without targets the
    models that the configuration lists are loaded, and nobody waits for their workers. A second signal ends the server at once with status 1.
    Raises `ArgosyError` when it cannot start; then nothing is left behind.
    """
    _hold_standard_files()
    _raise_file_limit()
    _close_memory()
    logs = configure_logs(config)
    try:
        with asyncio.Runner(loop_factory=_event_loop()) as runner:
            return runner.run(_serve(config, logs, targets, on_ready))
    finally:
        logs.close()


def _hold_standard_files() -> None:
    """Put /dev/null in the place of standard files that were closed: a socket would get their number, and a client what is printed."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _event_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _raise_file_limit() -> None:
    """Take as many open files as we may: each client connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _close_memory() -> None:
    """Let no process of the same user read our memory, environment and descriptors: workers run code that is not ours."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


class _Signals:
    """The first SIGTERM or SIGINT asks for a stop, a later one does not wait for it.

    One within a second counts as the same: supervisors signal a process and its group, terminals and wrappers pass signals on. SIGHUP says that log
    files were moved away; to a server on a terminal, that the terminal is gone, which stops it like SIGTERM. Under `nohup` it says nothing.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, logs: Logs) -> None:
        self._loop = loop
        self._logs = logs
        self._first = 0.0
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._received)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, self._received if os.isatty(0) else self._reopen)
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    def _received(self) -> None:
        if not self.stop.is_set():
            self._first = self._loop.time()
            self.stop.set()
        elif self._loop.time() - self._first > _SAME_SIGNAL_S:
            self.hurry.set()

    def _reopen(self) -> None:
        self._logs.reopen()
        _log.info("SIGHUP: log files were opened anew.")


async def _serve(config: Config, logs: Logs, targets: Sequence[Target], on_ready: Callable[[ServerStatus], None]) -> int:
    loop = asyncio.get_running_loop()
    signals = _Signals(loop, logs)
    parts = build(config, logs, loop)
    try:
        for listener in parts.listeners:
            listener.bind()
        wanted = parts.start_targets(targets)
        parts.reaper.start()
        parts.reports.start()
        if parts.tokens is not None:
            parts.tokens.watch(loop)
        for note in logs.notes:
            _log.warning("%s", note)
        loading = loop.create_task(parts.manager.load_at_startup(wanted, parts.start_workers))
        await asyncio.sleep(0)  # from now on /ping knows what is to be loaded
        for listener in parts.listeners:
            await listener.start()
        stopping = loop.create_task(signals.stop.wait())
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if targets and not signals.stop.is_set():
            waiting = loop.create_task(parts.manager.loaded_at_startup())
            await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        if not signals.stop.is_set():
            _settle_memory()
            on_ready(_status(parts, wanted))
            _log.info("Serving predictions on %s, management on %s (pid %d).", parts.inference.address, parts.management.address, os.getpid())
        await stopping
        loading.cancel()
        return await _stop(parts, signals)
    finally:
        await _take_apart(parts)


def _settle_memory() -> None:
    """What was made by now stays: keep the garbage collector from looking at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS, 20, 50)


async def _stop(parts: Parts, signals: _Signals) -> int:
    """Answer what was accepted, then end the workers. 1 if that was cut short."""
    limit_s = parts.config.drain_timeout_s
    _log.info("Stopping: at most %g s for what was accepted.", limit_s)
    deadline = parts.loop.time() + limit_s

    async def drain() -> None:
        await asyncio.gather(*(listener.drain(limit_s) for listener in parts.listeners))
        await parts.manager.close(max(0.0, deadline - parts.loop.time()))

    draining = parts.loop.create_task(drain())
    hurrying = parts.loop.create_task(signals.hurry.wait())
    # the margin is never needed as long as every part keeps its time; a server that does not end would be worse than one that ends untidily
    done, _ = await asyncio.wait({draining, hurrying}, return_when=asyncio.FIRST_COMPLETED, timeout=limit_s + _STOP_MARGIN_S)
    hurrying.cancel()
    if draining not in done:
        _log.warning("Stopping at once: %s.", "a second signal came" if signals.hurry.is_set() else "something does not end")
        draining.cancel()
        return 1
    draining.result()
    return 0


async def _take_apart(parts: Parts) -> None:
    """Leave nothing behind, whatever has happened before."""
    for listener in parts.listeners:
        listener.close()
    try:
        await asyncio.wait_for(parts.manager.close(0.0), _STOP_MARGIN_S)
    except TimeoutError:
        _log.error("Models that do not close are left to the end of the process: %r", parts.manager)
    parts.reaper.stop()
    for executor in parts.executors:
        executor.shutdown(wait=False, cancel_futures=True)
    parts.reports.stop()
    if parts.tokens is not None:
        parts.tokens.stop()
    try:
        parts.repository.close()
    except (OSError, ArgosyError) as error:
        _log.warning("Unpacked archives could not be removed: %s", error)


def _status(parts: Parts, wanted: Sequence[Target]) -> ServerStatus:
    failed = parts.manager.startup.failed
    models = [ModelStatus(str(target), 0, "FAILED", _told(failed[str(target)])) for target in wanted if str(target) in failed]
    for model in parts.registry:
        workers = model.workers()
        ready = any(worker.state in ("IDLE", "BUSY") for worker in workers)
        error = next((worker.last_error for worker in workers if worker.last_error), "")
        state = "READY" if ready else "FAILED" if error else "LOADING"
        models.append(ModelStatus(model.spec.name, len(workers), state, "" if ready else error or ""))
    return ServerStatus((str(parts.inference.address),), (str(parts.management.address),), tuple(models), parts.start_workers_reason)


def _told(error: ArgosyError) -> str:
    """All of it: it is told to whoever started the server."""
    return "\n".join(filter(None, (error.message, error.detail)))
