"""From what the handler returned to an answer: body, status, phrase and headers, all checked."""

from __future__ import annotations

import dataclasses
import enum
import json
import re
from typing import Any, Dict

from argosy import wire
from argosy.errors import ArgosyError, ErrorCode
from argosy.worker.tracebacks import one_line, words

NOT_A_LIST = "Invalid model predict output"
WRONG_LENGTH = "number of batch response mismatched"
UNSERIALISABLE = "Unsupported model output data type."

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_BREAKS = re.compile("[\r\n\0]")


def encode_body(item: Any) -> wire.Buffer:
    """The bytes of one result: bytes as they are, text as UTF-8, all else as JSON. Raises `ArgosyError` BAD_OUTPUT."""
    if isinstance(item, (bytes, bytearray)):
        return item
    try:
        if isinstance(item, str):
            return item.encode("utf-8")
        return json.dumps(item, indent=2).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise unserialisable(error) from error


def unserialisable(error: Exception) -> ArgosyError:
    """The failure of a result that cannot become JSON."""
    return ArgosyError(ErrorCode.BAD_OUTPUT, UNSERIALISABLE, detail=one_line(error))


def as_json(item: Any) -> Any:
    """What typed handlers may return beside plain JSON: dataclasses, enums, and arrays that have `tolist`. Raises TypeError."""
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return dataclasses.asdict(item)
    if isinstance(item, enum.Enum):
        return item.value
    tolist = getattr(item, "tolist", None)
    if callable(tolist):
        return tolist()
    raise TypeError("{} cannot be written as JSON".format(type(item).__name__))


def check_status(code: Any) -> int:
    """A status as a number of 100 to 999. Raises `ArgosyError` BAD_OUTPUT."""
    if type(code) is int and 100 <= code <= 999:
        return code
    try:
        number = int(code)
    except (TypeError, ValueError):
        number = 0
    if not 100 <= number <= 999:
        raise ArgosyError(ErrorCode.BAD_OUTPUT, "The handler set a response status that is not a number of 100 to 999: {:.80}".format(words(code)))
    return number


def check_phrase(phrase: Any) -> bytes:
    """A reason phrase as bytes; None is empty. Raises `ArgosyError` BAD_OUTPUT for line breaks."""
    text = "" if phrase is None else _text(phrase, "reason phrase")
    if _BREAKS.search(text):
        raise ArgosyError(ErrorCode.BAD_OUTPUT, "The handler set a reason phrase with a line break or a NUL: {:.80}".format(repr(text)))
    return text.encode("utf-8", "replace")


def check_headers(headers: Dict[Any, Any]) -> bytes:
    """Response headers as a header block. Numbers and bytes become text. Raises `ArgosyError` BAD_OUTPUT for what HTTP cannot carry."""
    pairs = []
    for key, value in headers.items():
        name, text = _text(key, "header name"), _text(value, "value of the header {:.40}".format(words(key)))
        if not _TOKEN.match(name):
            raise ArgosyError(ErrorCode.BAD_OUTPUT, "The handler set a response header with an impossible name: {:.80}".format(repr(name)))
        if _BREAKS.search(text):
            raise ArgosyError(ErrorCode.BAD_OUTPUT, "The handler set the response header {:.80} to a value with a line break or a NUL".format(name))
        pairs.append((name, text))
    return wire.header_block(pairs)


def _text(value: Any, what: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, (int, float)):
        return str(value)
    raise ArgosyError(ErrorCode.BAD_OUTPUT, "The handler set a {} that is no text but {}".format(what, type(value).__name__))


def check_size(body: wire.Buffer, limit: int) -> None:
    """Raises `ArgosyError` BAD_OUTPUT when the body is larger than `limit` bytes; 0 means no limit."""
    if limit and len(body) > limit:
        message = "The response of {} bytes is larger than {} bytes; raise max_response_size to allow it".format(len(body), limit)
        raise ArgosyError(ErrorCode.BAD_OUTPUT, message)
