"""Runs a handler in the calling process, without a server: for tests of handlers and for debuggers."""

from __future__ import annotations

import inspect
import json
import os
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from argosy import wire
from argosy.errors import ArgosyError, ErrorCode
from argosy.handler import Context
from argosy.worker import compat, loader, meters, outputs, pieces
from argosy.worker.entry import Entry
from argosy.worker.inputs import Inputs


class LoadedHandler:
    """A handler that is loaded in this process. `last` is the context's view of the last request: status and headers that the handler set."""

    def __init__(self, entry: Entry, context: Context) -> None:
        self.entry = entry
        self.context = entry.context or context
        self.last: Any = None
        self._inputs = Inputs(decode=True)
        self._loop: Any = None
        """The event loop of an asynchronous handler, once it has been called."""

    def __repr__(self) -> str:
        return "<LoadedHandler {} of {}>".format(self.entry.style, self.context.model_name)

    def predict(self, value: Any = None, *, content_type: str = "", headers: Optional[Mapping[str, str]] = None, **parts: Any) -> Any:
        """What the handler returns for one input. Raises what the handler raises, and `InvalidInput` when the input does not fit.

        A handler that streams gives an iterator of what it yields; an asynchronous one is run to its end, on an event loop of its own.

        Bytes go as they are, text as `text/plain`, anything else as JSON, unless `content_type` says otherwise; `parts` are query or form parameters.
        """
        (result,) = self._call([_job(0, value, content_type, headers or {}, parts)])
        if isinstance(result, BaseException):
            raise result
        return result

    def predict_batch(self, values: List[Any]) -> List[Any]:
        """What the handler returns for several inputs at once; an exception in place of a result stands for a request that fails alone."""
        return self._call([_job(seq, value, "", {}, {}) for seq, value in enumerate(values)])

    def close(self) -> None:
        """Give back what the handler holds."""
        if self._loop is not None:
            self._loop.close()
            self._loop = None
        self.entry.close()

    def _call(self, jobs: List[wire.Job]) -> List[Any]:
        context = self.context
        requests = [self._inputs.request(job) for job in jobs]
        context.request_ids = {index: job.id for index, job in enumerate(jobs)}
        context.request_processor = requests
        context.metrics = meters.MetricsStore(context.request_ids, context.model_name)
        self.last = requests[-1]
        results = self.entry.call([self.entry.prepare(self._inputs, job) for job in jobs], context)
        if self.entry.manner.asynchronous:
            results = [self._awaited(result) for result in results] if isinstance(results, list) else self._awaited(results)
        if len(jobs) == 1 and pieces.is_stream(results):
            results = [results]
        if not isinstance(results, list):
            raise ArgosyError(ErrorCode.BAD_OUTPUT, outputs.NOT_A_LIST)
        if len(results) != len(jobs):
            raise ArgosyError(ErrorCode.BAD_OUTPUT, outputs.WRONG_LENGTH)
        return results


    def _awaited(self, result: Any) -> Any:
        """What comes of a result that has to be waited for."""
        import asyncio  # plain handlers do without

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        if inspect.isawaitable(result):
            result = self._loop.run_until_complete(result)
        return self._pieces(result) if hasattr(type(result), "__anext__") else result

    def _pieces(self, source: Any) -> Iterator[Any]:
        try:
            while True:
                try:
                    piece = self._loop.run_until_complete(source.__anext__())
                except StopAsyncIteration:
                    return
                yield piece
        finally:
            close = getattr(source, "aclose", None)
            if close is not None and self._loop is not None:
                self._loop.run_until_complete(close())


def _body(value: Any, content_type: str) -> Tuple[Optional[bytes], str]:
    if value is None:
        return None, content_type
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value), content_type or "application/octet-stream"
    if isinstance(value, str):
        return value.encode("utf-8"), content_type or "text/plain"
    return json.dumps(value).encode("utf-8"), content_type or "application/json"


def _job(seq: int, value: Any, content_type: str, headers: Mapping[str, str], parts: Mapping[str, Any]) -> wire.Job:
    body, kind = _body(value, content_type)
    known = dict(headers)
    if kind:
        known.setdefault("Content-Type", kind)
    block = wire.parts_block([(name, "", _body(part, "")[0] or b"") for name, part in parts.items()])
    view = None if body is None else memoryview(body)
    return wire.Job(seq, 0, "local-{}".format(seq), kind, wire.header_block(list(known.items())), block, view, -1, len(body or b""))


def _manifest(folder: str) -> Optional[Dict[str, Any]]:
    path = os.path.join(folder, "MAR-INF", "MANIFEST.json")
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as file:
        found: Dict[str, Any] = json.load(file)
    return found


def load(path: str, handler: str = "", *, batch_size: int = 1, gpu_id: Optional[int] = None) -> LoadedHandler:
    """Load a handler: `service.py`, `service.py:function`, or a model's folder (with `handler`, or the one that its manifest names).

    Raises `ArgosyError` with the reason, as the server would report it.
    """
    file, colon, function = os.fspath(path).partition(":")
    folder = os.path.abspath(file)
    if not os.path.isdir(folder):
        folder, handler = os.path.split(os.path.abspath(file))
        handler += colon + function
    manifest = _manifest(folder)
    if not handler and manifest:
        handler = str((manifest.get("model") or {}).get("handler") or "")
    name = str(((manifest or {}).get("model") or {}).get("modelName") or os.path.basename(folder))
    compat.install()
    context = Context(name, folder, manifest, batch_size, gpu_id, "1.1.11")
    context.metrics = meters.MetricsStore({}, name)
    return LoadedHandler(loader.load(handler, context), context)
