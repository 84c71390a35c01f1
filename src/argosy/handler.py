"""What the author of a handler sees: the context of a call, its errors and the markers of typed handlers.

Standard library only, Python 3.8 and later: this is imported in the interpreter of the model.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Tuple, TypeVar

__all__ = ["Batch", "CallContext", "Context", "Event", "InvalidInput", "PredictionException", "RequestProcessor"]

T = TypeVar("T")


class Batch(List[T]):
    """Marks the parameter and the result of a typed handler that takes many inputs at once: `def predict(xs: Batch[str]) -> Batch[dict]`."""


class Event:
    """One event of a `text/event-stream`, for a handler that streams: `yield Event({"token": "a"}, event="token")`.

    `data` is text or anything that can be written as JSON. `event` is its type, `id` what a client that reconnects sends as `Last-Event-ID`,
    `retry_ms` how long it waits before. A line break in `event` or `id` fails the request. In a stream of another type only `data` is sent.
    """

    __slots__ = ("data", "event", "id", "retry_ms")

    def __init__(self, data: Any, event: Optional[str] = None, id: Optional[str] = None, retry_ms: Optional[int] = None) -> None:
        self.data = data
        self.event = event
        self.id = id
        self.retry_ms = retry_ms

    def __repr__(self) -> str:
        return "<Event {} {!r:.60}>".format(self.event or "message", self.data)


class PredictionException(Exception):  # the name is part of the contract with existing handlers
    """Raised by a handler that chooses the failure itself: the client gets `error_code` as status and `message` as text.

    Code 200 is odd but old: the client gets an ordinary answer whose body is the word `error`.
    """

    def __init__(self, message: str, error_code: int = 500) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = error_code

    def __str__(self) -> str:
        return "{} : {}".format(self.message, self.error_code)


class InvalidInput(ValueError):
    """Raised by a handler, or by the decoding before it, when the input is the client's fault: the client gets 400 and the text."""


class RequestProcessor:
    """What came with one request and what goes back beside the body: headers in, status and headers out.

    `request_header` maps header names, as the client wrote them, to their values; and each input parameter to `{"content-type": …}`.
    """

    __slots__ = ("_reason_phrase", "_request_header", "_response_header", "_status_code")

    def __init__(self, request_header: Optional[Dict[str, Any]]) -> None:
        self._request_header = request_header
        self._status_code: Any = 200
        self._reason_phrase: Any = None
        self._response_header: Dict[Any, Any] = {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RequestProcessor):
            return NotImplemented
        return self._known() == other._known()

    __hash__ = None  # type: ignore[assignment]  # mutable, compared by value

    def __repr__(self) -> str:
        return "<RequestProcessor status={} headers={}>".format(self._status_code, self._response_header)

    def _known(self) -> Tuple[Any, ...]:
        return self.get_request_properties(), self._status_code, self._reason_phrase, self._response_header

    def get_request_properties(self) -> Dict[str, Any]:
        """All headers of the request, and the content type of each parameter. Names are as the client wrote them."""
        return self._request_header if self._request_header is not None else {}

    def get_request_property(self, key: str) -> Any:
        """One entry of `get_request_properties`; None if it is not there."""
        return self.get_request_properties().get(key)

    def report_status(self, code: int, reason_phrase: Optional[str] = None) -> None:
        """Answer with this status instead of 200."""
        self._status_code = code
        self._reason_phrase = reason_phrase

    def get_response_status_code(self) -> Any:
        """The status of the answer."""
        return self._status_code

    def get_response_status_phrase(self) -> Any:
        """The reason phrase of the answer; None if none was chosen."""
        return self._reason_phrase

    def add_response_property(self, key: str, value: str) -> None:
        """Set a header of the answer; a second value of one name replaces the first."""
        self._response_header[key] = value

    def get_response_headers(self) -> Dict[Any, Any]:
        """The headers that were set on the answer."""
        return self._response_header

    def get_response_header(self, key: str) -> Any:
        """One header that was set on the answer; None if it was not."""
        return self._response_header.get(key)


class Context:
    """What a handler knows beside its input. One object serves every call of a worker; its requests are replaced per batch.

    `idx` is the place of a request in the batch. Nothing here raises for a key that is unknown; an `idx` outside the batch raises IndexError.
    """

    def __init__(
        self, model_name: str, model_dir: str, manifest: Optional[Dict[str, Any]], batch_size: int, gpu: Optional[int], mms_version: str
    ) -> None:
        self.model_name = model_name
        self.manifest = manifest
        self.request_ids: Optional[Dict[int, str]] = None
        self._system_properties: Dict[str, Any] = {
            "model_dir": model_dir,
            "gpu_id": gpu,
            "batch_size": batch_size,
            "server_name": "MMS",
            "server_version": mms_version,
        }
        self._request_processor: Any = None  # a list, or a function that makes it: most handlers never ask
        self._metrics: Any = None  # a store, or a function that makes it: most handlers never ask

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Context) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]  # mutable, compared by value

    def __repr__(self) -> str:
        return "<Context of {} with {} requests>".format(self.model_name, len(self.request_ids or ()))

    @property
    def system_properties(self) -> Dict[str, Any]:
        """`model_dir`, `gpu_id` (None without GPU), `batch_size`, `server_name` and `server_version`."""
        return self._system_properties

    @property
    def request_processor(self) -> Any:
        """A list with one `RequestProcessor` for each request of the batch; None while the model loads."""
        found = self._request_processor
        # not kept here: a thread that outlives its batch would put the requests of that one in the place of the next one's
        return found() if callable(found) else found

    @request_processor.setter
    def request_processor(self, request_processor: Any) -> None:
        self._request_processor = request_processor

    @property
    def metrics(self) -> Any:
        """Where the handler counts and measures: `add_counter`, `add_time`, `add_size`, `add_percent`, `add_error`, `add_metric`."""
        found = self._metrics
        if callable(found):  # looked at once: another thread may ask as well
            self._metrics = found = found()
        return found

    @metrics.setter
    def metrics(self, metrics: Any) -> None:
        self._metrics = metrics

    def __processor(self, idx: int) -> RequestProcessor:
        requests: Optional[List[RequestProcessor]] = self.request_processor
        if requests is None:
            raise IndexError("there is no request while the model loads")
        return requests[idx]

    def get_request_id(self, idx: int = 0) -> Optional[str]:
        """The `x-request-id` of the answer; None outside the batch."""
        return self.request_ids.get(idx) if self.request_ids else None

    def get_request_header(self, idx: int, key: str) -> Any:
        """The value of a header as the client wrote its name; None if it is not there."""
        return self.__processor(idx).get_request_property(key)

    def get_all_request_header(self, idx: int) -> Dict[str, Any]:
        """All headers of a request, and `{"content-type": …}` for each input parameter."""
        return self.__processor(idx).get_request_properties()

    def set_response_content_type(self, idx: int, value: str) -> None:
        """The media type of an answer; without it the answer names none."""
        self.__processor(idx).add_response_property("content-type", value)

    def get_response_content_type(self, idx: int) -> Any:
        """The media type that was set."""
        return self.get_response_headers(idx).get("content-type")

    def get_response_status(self, idx: int) -> Tuple[Any, Any]:
        """Status and reason phrase of an answer."""
        processor = self.__processor(idx)
        return processor.get_response_status_code(), processor.get_response_status_phrase()

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Answer one request with this status (100 to 999); note the order of the arguments."""
        self.__processor(idx).report_status(code, phrase)

    def set_all_response_status(self, code: int = 200, phrase: str = "") -> None:
        """Answer every request of the batch with this status."""
        for processor in self.request_processor or ():
            processor.report_status(code, phrase)

    def get_response_headers(self, idx: int) -> Dict[Any, Any]:
        """The headers that were set on an answer."""
        return self.__processor(idx).get_response_headers()

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        """Set a header of an answer; a second value of one name replaces the first. A value with a line break fails the request."""
        self.__processor(idx).add_response_property(key, value)


class CallContext(Context):
    """The context of typed handlers: a `Context` with short names for its first request."""

    _is_cancelled: Optional[Callable[[], bool]] = None
    """How the worker knows. It is asked when a handler asks."""

    @property
    def id(self) -> str:
        """The id of the request, or of the first one of a batch; empty while the model loads."""
        return self.get_request_id(0) or ""

    @property
    def headers(self) -> Dict[str, str]:
        """The headers of the request, names in lower case."""
        return {name.lower(): value for name, value in self.get_all_request_header(0).items() if isinstance(value, str)}

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more, of a batch for any of the answers. It may become true at any moment."""
        return self._is_cancelled is not None and self._is_cancelled()
