"""Asynchronous handlers: many jobs at once, each a task of one event loop, which reads the link as well."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import sys
import time
from contextvars import ContextVar
from typing import Any, AsyncIterator, Dict, Iterator, Optional

from argosy import wire
from argosy.errors import ArgosyError, ErrorCode
from argosy.handler import CallContext, Context
from argosy.worker import meters, outputs, pieces
from argosy.worker.batch import MAX_MICROSECONDS, Batches
from argosy.worker.entry import Entry
from argosy.worker.inputs import Inputs
from argosy.worker.link import Link, LinkClosed
from argosy.worker.outlet import CANCELLED, Outlet
from argosy.worker.output import NOBODY, Running

EXPIRED = "The deadline of the request passed before the handler answered"
TIMED_OUT = "The handler did not answer within {:g} s (response timeout)"
CLEAN_UP_S = 1.0
"""How long what was cancelled may take to clean up when the worker ends."""
NOT_ANSWERED = "The handler's own task was cancelled"


def complete(loading: Any) -> None:
    """Run what an asynchronous function does when it is called at load: all of it, or up to its first piece."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(_first(loading) if hasattr(loading, "__anext__") else loading)
    finally:
        loop.close()


async def _first(loading: Any) -> None:
    async for _ in loading:
        break
    await loading.aclose()


class Call:
    """One job under way. It is answered once: `is_settled` is set with its answer, or when nobody waits for it any more."""

    __slots__ = ("deadline", "heard", "is_settled", "job", "outlet", "room", "task", "timer")

    def __init__(self, job: wire.Job, outlet: Outlet, now: float) -> None:
        self.job = job
        self.outlet = outlet
        self.deadline = now + job.timeout_ms / 1000 if job.timeout_ms else 0.0
        self.heard = now
        """When the handler last gave something."""
        self.room: Optional[asyncio.Future[None]] = None
        """Set while its client has to make room first."""
        self.is_settled = False
        self.task: Optional[asyncio.Task[None]] = None
        self.timer: Optional[asyncio.TimerHandle] = None

    def __repr__(self) -> str:
        return "<Call {}{}{}>".format(self.job.seq, " settled" if self.is_settled else "", " waits for room" if self.room else "")


class Concurrent:
    """Runs the jobs of a worker whose handler is asynchronous. The server sends no more of them at once than it wants to run.

    `batches` writes the answers. `timeout_s` limits the time to an answer, or to its first piece and from each piece to the next; 0 is no limit.
    """

    def __init__(
        self, entry: Entry, context: Context, inputs: Inputs, link: Link, batches: Batches, running: Running, timeout_s: float
    ) -> None:
        self._entry = entry
        self._context = context
        self._inputs = inputs
        self._link = link
        self._batches = batches
        self._timeout_s = timeout_s
        self._ids: ContextVar[Dict[int, str]] = ContextVar("request_ids", default=NOBODY)
        running.of_task = self._ids
        self._calls: Dict[int, Call] = {}
        self._is_flushing = False
        self._is_stopping = False
        """STOP came: what was sent before is finished."""
        self._leaving: Optional[asyncio.TimerHandle] = None
        """Set when what still runs was cancelled and may clean up: then the worker ends."""
        self._loop: asyncio.AbstractEventLoop
        self._stopped: asyncio.Future[None]

    def __repr__(self) -> str:
        return "<Concurrent {} calls>".format(len(self._calls))

    def serve(self) -> int:
        """Serve until the server says stop. Raises `LinkClosed` and `WireError` like the link, and what ends the worker."""
        # before 3.10 locks and queues that `load` made belong to this loop
        self._loop = loop = asyncio.get_event_loop() if sys.version_info < (3, 10) else asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(self._serve())
        finally:
            try:
                loop.run_until_complete(self._end_tasks())
            finally:
                asyncio.set_event_loop(None)
                loop.close()
        return 0

    async def _serve(self) -> None:
        self._stopped = self._loop.create_future()
        self._loop.add_reader(self._link.fileno(), self._readable)
        self._readable()  # something may have come with the order to load
        await self._stopped

    async def _end_tasks(self) -> None:
        """Cancel whatever still runs, also what handlers have started, and give it a moment to clean up."""
        for call in self._calls.values():
            call.is_settled = True
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            done, _ = await asyncio.wait(tasks, timeout=CLEAN_UP_S)
            for task in done:
                if not task.cancelled():
                    task.exception()  # nobody asks for it any more
        await self._loop.shutdown_asyncgens()

    # -- the link ----------------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            while not self._stopped.done():
                frame = self._link.poll()
                if frame is None:
                    return
                self._take(frame)
        except (LinkClosed, wire.WireError) as error:
            self._end(error)

    def _end(self, error: Exception) -> None:
        if not self._stopped.done():
            self._stopped.set_exception(error)

    def _take(self, frame: wire.Frame) -> None:
        if frame.kind == wire.JOBS:
            for job in wire.read_jobs(frame.data, frame.count):
                self._begin(job)
        elif frame.kind == wire.CREDIT:
            self._link.take_credit(frame)
            call = self._calls.get(frame.id)
            if call is not None and call.room is not None and not call.room.done():
                call.room.set_result(None)
        elif frame.kind == wire.CANCEL:
            self._stop(self._calls.get(frame.id), ErrorCode.CANCELLED, CANCELLED)
        elif frame.kind == wire.STOP:
            self._is_stopping = True
            self._stop_if_idle()
        else:
            raise wire.WireError("a frame of kind {} does not belong here".format(frame.kind))

    def _stop_if_idle(self) -> None:
        """End when STOP came and nothing runs, or a moment later when only such calls do that nobody waits for."""
        if not self._is_stopping or self._stopped.done():
            return
        if not self._calls:
            self._finish()
        elif self._leaving is None and all(call.is_settled for call in self._calls.values()):
            self._leaving = self._loop.call_later(CLEAN_UP_S, self._finish)

    def _finish(self) -> None:
        if not self._stopped.done():
            self._flush()
        if not self._stopped.done():
            self._stopped.set_result(None)

    def _flush_soon(self) -> None:
        """Send what is answered in this turn of the loop together."""
        self._link.publish(time.perf_counter_ns())
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        try:
            self._link.flush()
        except LinkClosed as error:
            self._end(error)

    # -- one job -----------------------------------------------------------------------------------------------------

    def _begin(self, job: wire.Job) -> None:
        if job.body is not None:  # it lies where the next frame will be read
            job = job._replace(body=memoryview(bytes(job.body)))
        call = self._calls[job.seq] = Call(job, Outlet(self._link, job.seq), self._loop.time())
        call.task = self._loop.create_task(self._run(call))
        call.task.add_done_callback(lambda _: self._over(call))
        self._watch(call)

    def _over(self, call: Call) -> None:
        """The task of a call has ended; it may never have begun."""
        if call.timer is not None:
            call.timer.cancel()
        del self._calls[call.job.seq]
        self._flush_soon()
        self._stop_if_idle()

    def _watch(self, call: Call) -> None:
        due = [call.heard + self._timeout_s] if self._timeout_s > 0 else []
        if call.deadline and not call.outlet.begun:
            due.append(call.deadline)
        call.timer = self._loop.call_at(min(due), self._look, call) if due else None

    def _look(self, call: Call) -> None:
        """Stop a call that takes too long. Time that its client takes does not count."""
        now = self._loop.time()
        if call.room is not None:
            call.heard = now
        if call.deadline and now >= call.deadline and not call.outlet.begun:
            self._stop(call, ErrorCode.DEADLINE_EXCEEDED, EXPIRED)
        elif self._timeout_s > 0 and now >= call.heard + self._timeout_s:
            self._stop(call, ErrorCode.DEADLINE_EXCEEDED, TIMED_OUT.format(self._timeout_s))
        else:
            self._watch(call)

    def _stop(self, call: Optional[Call], code: ErrorCode, message: str) -> None:
        """Settle a call that is not wanted any more, and cancel its task, whenever that ends."""
        if call is None or call.is_settled:
            return
        call.is_settled = True
        try:
            call.outlet.fail(call.job.seq, code, message)
        except LinkClosed as error:
            self._end(error)
        self._flush_soon()
        if call.task is not None:
            call.task.cancel()
        self._stop_if_idle()

    async def _run(self, call: Call) -> None:
        """Answer one job, whatever its handler does."""
        job, begin = call.job, time.perf_counter_ns()
        self._ids.set({0: job.id})
        try:
            if not call.is_settled:
                self._link.start(job.seq + 1)
                await self._answer(call, begin)
        except (LinkClosed, wire.WireError) as error:
            self._end(error)
        except asyncio.CancelledError:
            if not call.is_settled:  # something that the handler waited for was cancelled, not the handler
                self._fail(call, ArgosyError(ErrorCode.HANDLER_FAILED, NOT_ANSWERED), begin)
        except (KeyboardInterrupt, SystemExit):  # they end the worker
            raise
        except BaseException as error:  # noqa: BLE001  the job boundary: whatever else a handler raises fails its job; a task would keep it to itself
            self._fail(call, error, begin)

    def _fail(self, call: Call, error: BaseException, begin: int) -> None:
        if call.is_settled or self._link.abandoned:
            return
        call.is_settled = True
        try:
            self._batches.fail(call.job, error, _busy_us(begin), call.outlet)
        except LinkClosed as lost:
            self._end(lost)

    async def _answer(self, call: Call, begin: int) -> None:
        context, request = copy.copy(self._context), self._inputs.request(call.job)
        context.request_ids, context.request_processor = self._ids.get(), [request]
        context.metrics = functools.partial(meters.MetricsStore, context.request_ids, context.model_name)
        if isinstance(context, CallContext):
            context._is_cancelled = lambda: call.is_settled
        item = await self._result(self._entry.prepare(self._inputs, call.job), context)
        if self._link.abandoned:
            raise LinkClosed("a fork of the worker came back from the handler")
        if pieces.is_stream(item) or hasattr(type(item), "__anext__"):
            await self._send_stream(call, request, item)
            item = b""
        if not call.is_settled:
            call.is_settled = True
            if call.outlet.begun:
                call.outlet.end(_busy_us(begin))
            else:
                self._batches.answer([request], [item], _busy_us(begin), begin)
        if not callable(context._metrics):
            self._batches.add_metrics(context._metrics)

    async def _result(self, data: Any, context: Context) -> Any:
        """What the handler gives for its one request. Raises what it raises."""
        found = self._entry.call([data], context)
        is_typed = isinstance(found, list)
        if is_typed:
            (found,) = found
        if isinstance(found, BaseException):
            raise found
        if inspect.isawaitable(found):
            found = await found
        if is_typed or hasattr(type(found), "__anext__"):
            return found
        (item,) = Batches.checked(found, 1)
        if isinstance(item, BaseException):
            raise item
        return item

    async def _send_stream(self, call: Call, request: Any, item: Any) -> None:
        """Send the pieces of an answer as they come. Raises what the handler raises."""
        outlet = call.outlet
        encode: pieces.Encode = pieces.as_text
        source = item if hasattr(type(item), "__anext__") else _stepwise(item)
        try:
            async for piece in source:
                if not outlet.begun:
                    encode = pieces.encoder(request, piece)
                data = encode(piece)
                outputs.check_size(data, self._batches.limit)
                if not outlet.begun:
                    outlet.begin(*self._batches.head(request))
                for part in pieces.cut(data):
                    await self._room(call)
                    outlet.send(part)
                outlet.flush()
                call.heard = self._loop.time()
                await asyncio.sleep(0)  # a handler that never waits must not keep the others, or its own end, waiting
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()

    async def _room(self, call: Call) -> None:
        while call.outlet.is_full:
            call.room = self._loop.create_future()
            try:
                await call.room
            finally:
                call.room = None
                call.heard = self._loop.time()


async def _stepwise(item: Iterator[Any]) -> AsyncIterator[Any]:
    """A plain iterator that an asynchronous handler returned."""
    try:
        for piece in item:
            yield piece
    finally:
        close = getattr(item, "close", None)
        if callable(close):
            close()


def _busy_us(begin: int) -> int:
    return min((time.perf_counter_ns() - begin) // 1000, MAX_MICROSECONDS)
