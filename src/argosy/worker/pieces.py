"""From what a streaming handler yields to the bytes of its answer: plain text, bytes, lines of JSON, or events."""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Iterator, List

from argosy import wire
from argosy.errors import ArgosyError, ErrorCode
from argosy.handler import Event
from argosy.worker import outputs
from argosy.worker.inputs import JobRequest, media_type

Encode = Callable[[Any], bytes]

TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"
LINES = "application/x-ndjson"
EVENTS = "text/event-stream"
_LINE_TYPES = frozenset({LINES, "application/ndjson", "application/jsonl", "application/jsonlines", "application/json-lines"})
_BREAK = re.compile("\r\n|\r|\n")


def is_stream(item: Any) -> bool:
    """Whether a result of a handler comes in pieces: a generator or another iterator."""
    return hasattr(type(item), "__next__")


def encoder(request: JobRequest, first: Any) -> Encode:
    """How the pieces of an answer become bytes, by its content type.

    That is the one that the handler set, else events if the request's Accept names them or the first piece is one, else what the first piece is.
    Sets the content type if the handler did not. The result raises `ArgosyError` BAD_OUTPUT for pieces that cannot be sent.
    """
    headers = request.get_response_headers()
    chosen = next((value for name, value in headers.items() if str(name).lower() == "content-type"), None)
    if chosen is None:
        chosen = headers["content-type"] = EVENTS if isinstance(first, Event) or accepts_events(request) else _type_of(first)
    media = media_type(str(chosen)).lower()
    return as_event if media == EVENTS else as_line if media in _LINE_TYPES else as_text


def _type_of(first: Any) -> str:
    if isinstance(first, str):
        return TEXT
    return BYTES if isinstance(first, (bytes, bytearray, memoryview)) else LINES


def accepts_events(request: JobRequest) -> bool:
    """Whether the client asks for `text/event-stream` by name."""
    for name, value in request.get_request_properties().items():
        if name.lower() == "accept" and isinstance(value, str):
            for choice in value.lower().split(","):
                media, _, rest = choice.partition(";")
                if media.strip() == EVENTS and re.sub("[ .0]", "", rest) != "q=":
                    return True
    return False


def as_text(piece: Any) -> bytes:
    """Text as UTF-8, bytes as they are, all else as a line of JSON."""
    if isinstance(piece, Event):
        piece = piece.data
    if isinstance(piece, (bytes, bytearray, memoryview)):
        return bytes(piece)
    return _utf8(piece if isinstance(piece, str) else _json(piece) + "\n")


def as_line(piece: Any) -> bytes:
    """One line of JSON; bytes as they are."""
    if isinstance(piece, Event):
        piece = piece.data
    return bytes(piece) if isinstance(piece, (bytes, bytearray, memoryview)) else _utf8(_json(piece) + "\n")


def as_event(piece: Any) -> bytes:
    """One event, its data text or JSON; bytes as they are, for handlers that write events themselves."""
    if isinstance(piece, (bytes, bytearray, memoryview)):
        return bytes(piece)
    event = piece if isinstance(piece, Event) else Event(piece)
    lines: List[str] = []
    for name, value in (("event", event.event), ("id", event.id), ("retry", event.retry_ms)):
        if value is not None:
            if _BREAK.search(str(value)) or "\0" in str(value):
                message = "The handler yielded an event whose {} has a line break or a NUL: {:.80}".format(name, repr(value))
                raise ArgosyError(ErrorCode.BAD_OUTPUT, message)
            lines.append("{}: {}\n".format(name, value))
    data = event.data if isinstance(event.data, str) else _json(event.data)
    lines += ["data: {}\n".format(line) for line in _BREAK.split(data)]
    return _utf8("".join(lines) + "\n")


def _json(piece: Any) -> str:
    try:
        return json.dumps(piece, default=outputs.as_json)
    except (TypeError, ValueError, RecursionError) as error:
        raise outputs.unserialisable(error) from error


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise outputs.unserialisable(error) from error


def cut(data: bytes) -> Iterator[wire.Buffer]:
    """What fits into frames, of at most `wire.PIECE` bytes each; nothing of nothing."""
    if len(data) <= wire.PIECE:
        return iter((data,) if data else ())
    view = memoryview(data)
    return (view[at : at + wire.PIECE] for at in range(0, len(data), wire.PIECE))
