"""From a job to what the handler gets: named parameters, each decoded by its content type as MMS does, and the request's headers."""

from __future__ import annotations

import functools
import json
from typing import Any, Callable, Dict, Optional, Tuple

from argosy import wire
from argosy.handler import InvalidInput, RequestProcessor

Decoder = Callable[[wire.Buffer], Any]
_CACHED_TYPES = 256


def decode_json(value: wire.Buffer) -> Any:
    """The JSON document in `value`. Raises `InvalidInput`."""
    try:
        return json.loads(bytes(value))
    except (ValueError, RecursionError) as error:
        raise InvalidInput("The body is not valid JSON: {}".format(error)) from error


def decode_text(value: wire.Buffer) -> str:
    """UTF-8 text, whatever charset the content type names. Raises `InvalidInput`."""
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput("The body is not valid UTF-8 text: {}".format(error)) from error


def media_type(content_type: str) -> str:
    """A content type without its parameters; letter case is kept."""
    return content_type.split(";", 1)[0].strip()


def decoder_of(media: str) -> Decoder:
    """How a value of this media type reaches the handler: exactly `application/json`, anything that begins with `text`, or bytes."""
    if media == "application/json":
        return decode_json
    if media.startswith("text"):
        return decode_text
    return bytearray


class JobRequest(RequestProcessor):
    """The request processor of a job: its header block is read only when the handler asks for it."""

    __slots__ = ("_known_headers", "_media", "job")

    def __init__(self, job: wire.Job, media: str) -> None:
        self.job = job
        self._media = media
        self._known_headers: Optional[Dict[str, Any]] = None
        self._status_code: Any = 200
        self._reason_phrase: Any = None
        self._response_header: Dict[Any, Any] = {}

    def forget_answer(self) -> None:
        """Drop what was set for the answer; the job is tried again."""
        self._status_code, self._reason_phrase, self._response_header = 200, None, {}

    def is_plain(self) -> bool:
        """Whether nothing was set for the answer."""
        return self._status_code == 200 and not self._response_header and not self._reason_phrase

    @property
    def _request_header(self) -> Dict[str, Any]:  # type: ignore[override]  # a slot of the base class, read lazily here
        known = self._known_headers
        if known is None:
            known = self._known_headers = self._read()
        return known

    def _read(self) -> Dict[str, Any]:
        job = self.job
        headers: Dict[str, Any] = dict(wire.read_headers(job.headers))
        for name, content_type, _ in wire.read_parts(job.parts):
            headers[name] = {"content-type": content_type}
        if job.body is not None or job.arena_offset >= 0:
            headers["body"] = {"content-type": self._media}
        return headers


class AcceptingRequest(JobRequest):
    """A request that shows `accept` when its client left open what it accepts."""

    __slots__ = ("_accept",)

    def __init__(self, job: wire.Job, media: str, accept: str) -> None:
        super().__init__(job, media)
        self._accept = accept

    def _read(self) -> Dict[str, Any]:
        headers = super()._read()
        name = next((name for name in headers if name.lower() == "accept"), "Accept")
        if headers.get(name, "*/*") in ("", "*/*"):
            headers[name] = self._accept
        return headers


class Inputs:
    """Decodes jobs. `decode` False leaves every value as bytes. `arena` is the memory that large bodies lie in.

    `default_accept` is what handlers see where clients leave open what they accept.
    """

    def __init__(self, decode: bool, arena: Optional[memoryview] = None, default_accept: Optional[str] = None) -> None:
        self._make: Callable[[wire.Job, str], JobRequest] = JobRequest
        if default_accept:
            self._make = functools.partial(AcceptingRequest, accept=default_accept)
        self._decode = decode
        self._arena = arena
        self._types: Dict[str, Tuple[str, Decoder]] = {}

    def _of_type(self, content_type: str) -> Tuple[str, Decoder]:
        """Media type and decoder, remembered: few types come over and over."""
        media = media_type(content_type)
        found = (media, decoder_of(media) if self._decode else bytearray)
        if len(self._types) < _CACHED_TYPES:
            self._types[content_type] = found
        return found

    def body(self, job: wire.Job) -> Optional[wire.Buffer]:
        """The body where it lies, not copied; None if there is none. Raises `WireError` for a body outside the arena."""
        if job.arena_offset < 0:
            return job.body
        arena = self._arena
        end = job.arena_offset + job.body_length
        if arena is None or end > len(arena):
            raise wire.WireError("a body lies outside the arena")
        return arena[job.arena_offset : end]

    def request(self, job: wire.Job) -> JobRequest:
        """What the handler's context shows of the job."""
        found = self._types.get(job.content_type) or self._of_type(job.content_type)
        return self._make(job, found[0])

    def parameters(self, job: wire.Job) -> Dict[str, Any]:
        """The parameters by name: parts first, then `body`; of one name the last wins. Raises `InvalidInput`."""
        data: Dict[str, Any] = {}
        if job.parts:
            for name, content_type, value in wire.read_parts(job.parts):
                data[name] = (self._types.get(content_type) or self._of_type(content_type))[1](value)
        body = job.body if job.arena_offset < 0 else self.body(job)
        if body is not None:
            data["body"] = (self._types.get(job.content_type) or self._of_type(job.content_type))[1](body)
        return data
