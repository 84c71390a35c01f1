"""The life of a worker: load one model, then answer frames of jobs until told to stop.

The data of a LOAD frame is a JSON object; see `LoadOrder`. The answer is {"ok": true, "pid", "style", "batch", "view", "load_ms"} or
{"ok": false, "code", "message", "detail", "hint"}, after which the process ends.
"""

from __future__ import annotations

import gc
import json
import os
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from argosy import wire
from argosy.errors import ErrorCode
from argosy.handler import Context
from argosy.worker import loader, meters
from argosy.worker.batch import Batches
from argosy.worker.entry import Entry
from argosy.worker.inputs import Inputs
from argosy.worker.link import Link, LinkClosed
from argosy.worker.output import Running, tell
from argosy.worker.process import offer_to_oom_killer

EXIT_LOAD_FAILED = 1
EXIT_BAD_LINK = 3

CANCELLED = "Nobody waits for this request any more"
EXPIRED = "The deadline of the request passed before a worker could start it"


class LoadOrder(NamedTuple):
    """What to load and how; the fields are the keys of the JSON object in a LOAD frame."""

    model_name: str
    model_dir: str
    handler: str
    manifest: Optional[Dict[str, Any]] = None
    batch_size: int = 1
    gpu_id: Optional[int] = None
    decode_input: bool = True
    server_name: str = "MMS"
    server_version: str = "1.1.11"
    error_detail: str = "none"
    """What clients see of exceptions: none, message or traceback."""
    max_response_size: int = 0
    """Bytes; 0 means no limit."""
    swallow_initialize_errors: bool = False
    """Keep a model whose `initialize` raised, as the old server did."""
    response_timeout_s: float = 0.0
    """How long an asynchronous handler may take for an answer, or from one piece of it to the next; 0 means no limit."""
    default_accept: Optional[str] = None
    """What handlers see as `Accept` where clients leave it open."""


def read_order(data: wire.Buffer) -> LoadOrder:
    """A LOAD frame's data. Keys that this version does not know are ignored. Raises `WireError`."""
    try:
        found = json.loads(bytes(data))
        return LoadOrder(**{key: value for key, value in found.items() if key in LoadOrder._fields})
    except (ValueError, TypeError, AttributeError) as error:
        raise wire.WireError("a LOAD frame that cannot be read: {}".format(error)) from error


class Worker:
    """One worker process, without the process: what it does with the frames of a link."""

    def __init__(
        self, link: Link, arena: Optional[memoryview] = None, running: Optional[Running] = None, on_loaded: Callable[[], None] = lambda: None
    ) -> None:
        """`on_loaded` is called when the model is loaded, before the server is told."""
        self._link = link
        self._on_loaded = on_loaded
        self._running = running or Running()
        self._arena = arena
        self._entry: Optional[Entry] = None
        self._batches: Optional[Batches] = None
        self._serve_all: Optional[Callable[[Link], int]] = None
        """Serves what comes after LOAD, if the handler is asynchronous."""
        self._batch_size = 1
        self._model_name = ""
        self._report: Dict[str, Any] = {}

    def __repr__(self) -> str:
        return "<Worker of {} {}>".format(self._model_name or "nothing", self._entry)

    def run(self) -> int:
        """Serve until the server says stop or goes away; the result is the exit status."""
        try:
            return self._serve()
        except LinkClosed:
            return 0
        except wire.WireError as error:
            tell("worker {}: the link to the server broke: {}\n".format(os.getpid(), error))
            return EXIT_BAD_LINK
        finally:
            self._close()

    def preload(self) -> int:
        """Load the model that the server names and tell it how that went; 0 if the model is loaded, else the exit status."""
        try:
            frame = self._link.receive()
            if frame.kind != wire.LOAD:
                raise wire.WireError("a frame of kind {} does not belong here".format(frame.kind))
            return 0 if self._load(read_order(frame.data)) else EXIT_LOAD_FAILED
        except (LinkClosed, wire.WireError) as error:
            tell("worker {}: the link to the server broke: {}\n".format(os.getpid(), error))
            return EXIT_BAD_LINK

    def tell_ready(self) -> None:
        """Tell the server that workers can be forked from this process, which has loaded nothing of the model's and never will."""
        gc.collect()
        gc.freeze()  # a worker's collector would write to all that it shares with the others
        self._tell({"ok": True})

    def adopt(self, link: Link) -> int:
        """Go on as another worker, on a link of its own, with the model if it is loaded already; the result is the exit status."""
        self._link = link
        if self._batches is None:
            self._on_loaded = offer_to_oom_killer()
            return self.run()
        self._batches.adopt(link)
        self._report["pid"] = os.getpid()
        self._tell(self._report)
        return self.run()

    def _serve(self) -> int:
        if self._serve_all is not None:  # loaded before, in the process that this one was forked from
            return self._serve_all(self._link)
        while True:
            frame = self._link.receive()
            if frame.kind == wire.JOBS and self._batches is not None:
                self._answer(wire.read_jobs(frame.data, frame.count), self._batches)
            elif frame.kind == wire.LOAD and self._batches is None:
                if not self._load(read_order(frame.data)):
                    return EXIT_LOAD_FAILED
                if self._serve_all is not None:
                    return self._serve_all(self._link)
            elif frame.kind == wire.STOP:
                return 0
            elif frame.kind not in (wire.CANCEL, wire.CREDIT):
                raise wire.WireError("a frame of kind {} does not belong here".format(frame.kind))

    def _close(self) -> None:
        if self._entry is None or self._link.abandoned:
            return
        try:
            self._entry.close()
        except Exception as error:  # noqa: BLE001  the model is going away; its last words are logged
            tell("close failed: {!r}\n".format(error))

    def _load(self, order: LoadOrder) -> bool:
        """Load the model and tell the server; False if it could not be loaded."""
        self._model_name = order.model_name
        self._batch_size = max(1, order.batch_size)
        context = Context(order.model_name, order.model_dir, order.manifest, self._batch_size, order.gpu_id, order.server_version)
        context.system_properties["server_name"] = order.server_name
        context.metrics = load_metrics = meters.MetricsStore({0: "load-{}".format(os.getpid())}, order.model_name)
        begin = time.perf_counter()
        try:
            self._entry = loader.load(order.handler, context, order.swallow_initialize_errors)
        except loader.LoadFailed as error:
            self._tell({"ok": False, "code": int(error.code), "message": error.message, "detail": error.detail, "hint": error.hint})
            return False
        if not self._entry.batch:
            self._batch_size = 1
        inputs = Inputs(order.decode_input, self._arena, order.default_accept)
        entry, called_with = self._entry, self._entry.context or context
        self._batches = Batches(entry, called_with, inputs, self._link, order.max_response_size, order.error_detail, self._running)
        if entry.manner.asynchronous:
            self._serve_all = _concurrently(entry, called_with, inputs, self._batches, self._running, order.response_timeout_s)
        load_ms = round((time.perf_counter() - begin) * 1000, 3)
        self._report = {"ok": True, "pid": os.getpid(), "load_ms": load_ms, **self._entry.describe()}
        # what the model consists of stays: the collector need not look at it again and again, which takes long for large models
        gc.collect()
        gc.freeze()
        self._on_loaded()
        self._tell(self._report)
        if load_metrics.store:
            self._link.send(wire.METRIC, meters.lines(load_metrics))
        return True

    def _tell(self, loaded: Dict[str, Any]) -> None:
        self._link.send(wire.LOADED, json.dumps(loaded).encode())

    def _answer(self, jobs: List[wire.Job], batches: Batches) -> None:
        """Answer the jobs of one frame in batches."""
        link, size = self._link, self._batch_size
        arrived = time.perf_counter()
        batch: List[wire.Job] = []
        is_cancelled = link.is_cancelled
        for job in jobs:
            if is_cancelled(job.seq):
                link.fail(job.seq, ErrorCode.CANCELLED, CANCELLED)
            elif job.timeout_ms and (time.perf_counter() - arrived) * 1000 > job.timeout_ms:
                link.fail(job.seq, ErrorCode.DEADLINE_EXCEEDED, EXPIRED)
            elif size == 1:
                batches.run_one(job)
            else:
                batch.append(job)
                if len(batch) == size:
                    batches.run(batch)
                    batch = []
        if batch:
            batches.run(batch)
        link.flush()


def _concurrently(
    entry: Entry, context: Context, inputs: Inputs, batches: Batches, running: Running, timeout_s: float
) -> Callable[[Link], int]:
    """What serves an asynchronous handler on a link."""
    from argosy.worker.concurrent import Concurrent  # asyncio costs memory and time that workers of plain handlers can do without

    return lambda link: Concurrent(entry, context, inputs, link, batches, running, timeout_s).serve()
