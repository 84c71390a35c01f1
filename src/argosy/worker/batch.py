"""Runs one batch: decode, call the handler, check what it returned, write the answers. One bad item fails alone."""

from __future__ import annotations

import functools
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

from argosy import wire
from argosy.errors import ArgosyError, ErrorCode
from argosy.handler import CallContext, Context, InvalidInput, PredictionException
from argosy.worker import meters, outputs, pieces, tracebacks
from argosy.worker.entry import Entry
from argosy.worker.inputs import Inputs, JobRequest
from argosy.worker.link import Link, LinkClosed
from argosy.worker.outlet import Outlet
from argosy.worker.output import NOBODY, Running, tell

FAILED = "Prediction failed"
OUT_OF_MEMORY = "Out of resources"
_CACHED_HEADERS = 256
MAX_MICROSECONDS = 0xFFFFFFFF

Head = Tuple[int, bytes, bytes]


class Batches:
    """Calls the handler for batches of jobs and puts the answers on the link.

    A handler that raises for a batch of several is called again with each half, so that only the items that cannot be served fail; what it set on the
    context before is forgotten. `SystemExit` and its like end the worker.
    """

    def __init__(
        self, entry: Entry, context: Context, inputs: Inputs, link: Link, max_response_size: int, error_detail: str, running: Running
    ) -> None:
        self._entry = entry
        self._text_is_utf8 = type(entry).encode is Entry.encode
        is_usual = type(entry).prepare is Entry.prepare
        self._prepare: Callable[[wire.Job], Any] = inputs.parameters if is_usual else functools.partial(entry.prepare, inputs)
        self._context = context
        self._inputs = inputs
        self._link = link
        self.limit = max_response_size
        self._running = running
        self._tell_exception = error_detail != "none"
        self._heads: Dict[Any, bytes] = {}
        if isinstance(context, CallContext):
            context._is_cancelled = self._is_cancelled
        self._job: Optional[wire.Job] = None
        """The job that runs by itself, or did last."""
        self._made: Dict[int, JobRequest] = {}
        """Its request by its seq, once somebody has asked for it."""
        self._make_requests = self._new_requests
        self._make_metrics = self._new_metrics  # one bound method for all batches, so that "was never asked" is a comparison

    def adopt(self, link: Link) -> None:
        """Answer on another link from now on."""
        self._link = link

    def _new_metrics(self) -> meters.MetricsStore:
        return meters.MetricsStore(self._context.request_ids or {}, self._context.model_name)

    def _new_requests(self) -> List[JobRequest]:
        job = self._job  # the next one may begin while a thread that outlives its batch is here
        assert job is not None
        # one step for threads: what each of them sets must come to the same request
        return [self._made.get(job.seq) or self._made.setdefault(job.seq, self._inputs.request(job))]

    def _is_cancelled(self) -> bool:
        requests = self._context.request_processor or ()
        return all(isinstance(request, JobRequest) and self._link.is_cancelled(request.job.seq) for request in requests)

    def run(self, jobs: Sequence[wire.Job]) -> None:
        """Answer these jobs. Raises only what ends the worker."""
        if len(jobs) == 1:
            self.run_one(jobs[0])
            return
        # before anything is decoded: a body that kills the process must not be given to the next one
        self._link.start(jobs[-1].seq + 1)
        ready, data = [], []
        for job in jobs:
            try:
                data.append(self._entry.prepare(self._inputs, job))
            except wire.WireError:
                raise
            except Exception as error:  # noqa: BLE001  the job boundary: a dataclass of the model's may raise anything, and memory may run out
                self.fail(job, error, 0)
            else:
                ready.append(job)
        if len(ready) < len(jobs):
            self._link.publish(time.perf_counter_ns())
        if ready:
            self._run_ready(ready, data)

    def run_one(self, job: wire.Job) -> None:
        """The same as `run` for a single job, which is what nearly every message of a quick model consists of."""
        link, context = self._link, self._context
        seq = job.seq
        link.start(seq + 1)
        try:
            data = self._prepare(job)
        except wire.WireError:
            raise
        except Exception as error:  # noqa: BLE001  the job boundary, as in `run`
            self.fail(job, error, 0)
            link.publish(time.perf_counter_ns())
            return
        self._job = job
        made = self._made
        if made:
            self._made = made = {}
        self._running.ids = context.request_ids = {0: job.id}
        context._request_processor = self._make_requests
        context._metrics = self._make_metrics
        begin = time.perf_counter_ns()
        try:
            results = self._entry.call([data], context)
        except Exception as error:  # noqa: BLE001  the job boundary: whatever a handler raises fails its job, never the worker
            results = [error]
        if link.abandoned:
            raise LinkClosed("a fork of the worker came back from the handler")
        now = time.perf_counter_ns()
        busy_us = (now - begin) // 1000
        if busy_us > MAX_MICROSECONDS:
            busy_us = MAX_MICROSECONDS
        body = self._plain_body(results, made)
        if body is not None:
            link.answer_plain(seq, body, busy_us)
        else:
            self.answer(self._make_requests(), self.checked(results, 1), busy_us, begin)
        if context._metrics is not self._make_metrics:
            self.add_metrics(context._metrics)
        self._running.ids = NOBODY
        link.publish(now)

    def _plain_body(self, results: Any, made: Dict[int, JobRequest]) -> Optional[bytes]:
        """The body of an ordinary answer: one text or bytes, and nothing else was set. None for everything that needs a closer look."""
        if type(results) is not list or len(results) != 1:
            return None
        item = results[0]
        try:
            body: Any = item
            if type(item) is str:
                body = item.encode() if self._text_is_utf8 else self._entry.encode(item, self._make_requests()[0])
            if type(body) is bytes and (not made or self._make_requests()[0].is_plain()) and (not self.limit or len(body) <= self.limit):
                return body
        except Exception:  # noqa: BLE001  the closer look says what is wrong
            return None
        return None

    @staticmethod
    def checked(results: Any, count: int) -> List[Any]:
        """The results of a handler for `count` requests, or for each of them why there is none."""
        if not isinstance(results, list):
            if count == 1 and pieces.is_stream(results):
                return [results]
            return [ArgosyError(ErrorCode.BAD_OUTPUT, outputs.NOT_A_LIST)] * count
        if len(results) != count:
            return [ArgosyError(ErrorCode.BAD_OUTPUT, outputs.WRONG_LENGTH)] * count
        return results

    def _run_ready(self, jobs: List[wire.Job], data: List[Any]) -> None:
        link = self._link
        requests = [self._inputs.request(job) for job in jobs]
        begin = time.perf_counter_ns()
        try:
            results = self._call(requests, data)
        except Exception as error:  # noqa: BLE001  the job boundary: whatever a handler raises fails jobs, never the worker
            results = self._again(requests, error)
        if link.abandoned:
            raise LinkClosed("a fork of the worker came back from the handler")
        now = time.perf_counter_ns()
        busy_us = (now - begin) // 1000
        self.answer(requests, results, min(busy_us, MAX_MICROSECONDS), begin)
        metrics = self._context._metrics
        if metrics is not self._make_metrics:
            self.add_metrics(metrics)
        self._running.ids = NOBODY
        link.publish(now)

    def add_metrics(self, metrics: Any) -> None:
        """Send what a handler measured with the next answers."""
        try:
            self._link.add_metrics(meters.lines(metrics))
        except Exception as error:  # noqa: BLE001  a value of the model's own class may raise; the answers matter more
            tell("the metrics of a batch are lost: {}\n".format(tracebacks.one_line(error)))

    def _call(self, requests: List[JobRequest], data: List[Any]) -> List[Any]:
        """The results of the handler, one for each request. Raises what it raises, and `ArgosyError` BAD_OUTPUT."""
        context = self._context
        ids = {index: request.job.id for index, request in enumerate(requests)}
        self._running.ids = context.request_ids = ids
        context._request_processor = requests
        context._metrics = self._make_metrics
        return self.checked(self._entry.call(data, context), len(requests))

    def _again(self, requests: List[JobRequest], error: Exception) -> List[Any]:
        """The results after the handler raised `error` for these requests: halves are tried again until the culprits stand alone."""
        if len(requests) == 1 or self._link.abandoned:
            return [error]
        results: List[Any] = []
        middle = len(requests) // 2
        for half in (requests[:middle], requests[middle:]):
            for request in half:
                request.forget_answer()
            try:
                results += self._call(half, [self._entry.prepare(self._inputs, request.job) for request in half])
            except Exception as next_error:  # noqa: BLE001  the job boundary, as above
                results += self._again(half, next_error)
        return results

    def answer(self, requests: List[JobRequest], results: List[Any], busy_us: int, begin_ns: int) -> None:
        """Answer each request with its result; those that come in pieces one after the other, when all the others are answered."""
        link, limit = self._link, self.limit
        streams: List[Tuple[JobRequest, Any]] = []
        for request, item in zip(requests, results):  # noqa: B905  strict= needs Python 3.10
            if isinstance(item, BaseException):
                self.fail(request.job, item, busy_us)
                continue
            try:
                body = item if type(item) is bytes else self._entry.encode(item, request)
                if limit and len(body) > limit:
                    outputs.check_size(body, limit)
                if request.is_plain():
                    link.answer_plain(request.job.seq, body, busy_us)
                else:
                    status, phrase, headers = self.head(request)
                    link.answer(request.job.seq, status, body, busy_us, phrase, headers)
            except ArgosyError as error:
                # asked here, since what comes in pieces cannot be encoded: the others need not be asked
                if pieces.is_stream(item):
                    streams.append((request, item))
                else:
                    self.fail(request.job, error, busy_us)
            except (LinkClosed, wire.WireError):
                raise
            except Exception as error:  # noqa: BLE001  the job boundary: what was returned or set is the model's own class and may raise anything
                self.fail(request.job, error if isinstance(error, MemoryError) else outputs.unserialisable(error), busy_us)

        for request, item in streams:
            self._stream(request, item, begin_ns)

    def _stream(self, request: JobRequest, item: Any, begin_ns: int) -> None:
        """Send the pieces of one answer as they come, until its client has left."""
        context, job = self._context, request.job
        context.request_ids, context.request_processor = {0: job.id}, [request]
        self._running.ids = context.request_ids
        outlet = Outlet(self._link, job.seq)
        error: Optional[Exception] = None
        try:
            is_whole = self._send_stream(request, item, outlet)
        except (LinkClosed, wire.WireError):
            raise
        except Exception as failure:  # noqa: BLE001  the job boundary: whatever a handler raises fails its job, never the worker
            error = failure
        self._close_stream(item)
        busy_us = min((time.perf_counter_ns() - begin_ns) // 1000, MAX_MICROSECONDS)
        if error is not None:
            self.fail(job, error, busy_us, outlet)
        elif not is_whole:
            outlet.drop(busy_us)
        elif outlet.begun:
            outlet.end(busy_us)
        else:
            self.answer([request], [b""], busy_us, begin_ns)

    def _send_stream(self, request: JobRequest, item: Any, outlet: Outlet) -> bool:
        """Whether it was sent to its end; False when nobody waits for it any more. Raises what the handler raises."""
        encode: pieces.Encode = pieces.as_text
        for piece in item:
            if outlet.is_cancelled:
                return False
            if not outlet.begun:
                encode = pieces.encoder(request, piece)
            data = encode(piece)
            outputs.check_size(data, self.limit)
            if not outlet.begun:
                outlet.begin(*self.head(request))
            if not self._send_piece(data, outlet):
                return False
        return True

    def _send_piece(self, data: bytes, outlet: Outlet) -> bool:
        """Whether a piece was sent; the handler rests until there is room for it."""
        for part in pieces.cut(data):
            while outlet.is_full:
                self._link.read_aside()
                if outlet.is_cancelled:
                    return False
            outlet.send(part)
        outlet.flush()
        return True

    def _close_stream(self, item: Any) -> None:
        """Let a generator that was not exhausted clean up."""
        close = getattr(item, "close", None)
        try:
            if callable(close):
                close()
        except Exception as error:  # noqa: BLE001  the job boundary: its answer is decided already
            tell(tracebacks.text(error))

    def head(self, request: JobRequest) -> Head:
        """Status, phrase and header block; the blocks are remembered, since most answers carry the same."""
        headers = request.get_response_headers()
        status = outputs.check_status(request.get_response_status_code())
        reason = request.get_response_status_phrase()
        phrase = outputs.check_phrase(reason) if reason else b""
        try:
            key = tuple(headers.items())
            known = self._heads.get(key)
        except TypeError:  # a value that cannot be hashed cannot be sent either
            return status, phrase, outputs.check_headers(headers)
        if known is None:
            known = outputs.check_headers(headers)
            if len(self._heads) < _CACHED_HEADERS:
                self._heads[key] = known
        return status, phrase, known

    def fail(self, job: wire.Job, error: BaseException, busy_us: int, outlet: Optional[Outlet] = None) -> None:
        """Say that there is no answer to one job, or no rest of it, and why on standard error, under its request id alone."""
        before, self._running.ids = self._running.ids, {0: job.id}
        self._fail_seq(job.seq, error, busy_us, outlet or self._link)
        self._running.ids = before

    def _fail_seq(self, seq: int, error: BaseException, busy_us: int, way: Union[Link, Outlet]) -> None:
        if isinstance(error, ArgosyError):
            if error.detail:
                tell("{}: {}\n".format(error.message, error.detail))
            way.fail(seq, error.code, error.message, error.detail, error.status, busy_us)
        elif isinstance(error, PredictionException):
            self._fail_chosen(seq, error, busy_us, way)
        elif isinstance(error, InvalidInput):
            way.fail(seq, ErrorCode.INVALID_REQUEST, tracebacks.words(error), busy_us=busy_us)
        else:
            detail = tracebacks.text(error)
            tell(detail)
            code, message = (ErrorCode.OUT_OF_MEMORY, OUT_OF_MEMORY) if isinstance(error, MemoryError) else (ErrorCode.HANDLER_FAILED, FAILED)
            if self._tell_exception:
                message = "{}: {}".format(message, tracebacks.one_line(error))
            way.fail(seq, code, message, detail, busy_us=busy_us)

    def _fail_chosen(self, seq: int, error: PredictionException, busy_us: int, way: Union[Link, Outlet]) -> None:
        """A failure that the handler chose. Its code 200 is an answer whose body is the word error."""
        try:
            status = outputs.check_status(error.error_code)
        except ArgosyError as wrong:
            self._fail_seq(seq, wrong, busy_us, way)
            return
        if status == 200 and not (isinstance(way, Outlet) and way.begun):
            self._link.answer(seq, 200, b"error", busy_us)
        else:
            way.fail(seq, ErrorCode.HANDLER_STATUS, tracebacks.words(error.message), status=status, busy_us=busy_us)
