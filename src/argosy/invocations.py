"""What handlers behind Amazon SageMaker use: custom attributes, sessions, and requests of many records.

Standard library only, Python 3.8 and later: this is imported in the interpreter of the model.
"""

from __future__ import annotations

import csv
import io
import json
import re
import time
import uuid
from typing import Any, Iterable, List, Optional, Sequence, Union

from argosy.handler import Context, InvalidInput

CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
SESSION = "X-Amzn-SageMaker-Session-Id"
NEW_SESSION = "X-Amzn-SageMaker-New-Session-Id"
CLOSED_SESSION = "X-Amzn-SageMaker-Closed-Session-Id"
WANTS_SESSION = "NEW_SESSION"
"""What a client sends in place of the id of a session that it wants."""

_MOST_ATTRIBUTES = 1024
_MOST_ID = 200
_ID = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")
_JSON_LINES = frozenset({"application/jsonlines", "application/x-jsonlines", "application/jsonl", "application/x-ndjson", "application/json"})


def header(context: Context, name: str, idx: int = 0) -> Optional[str]:
    """The value of a header of a request, in whatever letter case its client wrote the name; None if it is not there."""
    wanted = name.lower()
    return next((str(value) for key, value in context.get_all_request_header(idx).items() if key.lower() == wanted), None)


def custom_attributes(context: Context, idx: int = 0) -> str:
    """What the client gave as custom attributes; empty if it gave none."""
    return header(context, CUSTOM_ATTRIBUTES, idx) or ""


def set_custom_attributes(context: Context, text: str, idx: int = 0) -> None:
    """Give the client custom attributes back. Raises ValueError unless they are at most 1024 printable ASCII characters, all that is allowed."""
    if len(text) > _MOST_ATTRIBUTES or not text.isascii() or not text.isprintable():
        raise ValueError("custom attributes are at most {} printable ASCII characters".format(_MOST_ATTRIBUTES))
    context.set_response_header(idx, CUSTOM_ATTRIBUTES, text)


def wants_session(context: Context, idx: int = 0) -> bool:
    """Whether the client asks for a new session, which `open_session` gives it."""
    return header(context, SESSION, idx) == WANTS_SESSION


def session_id(context: Context, idx: int = 0) -> Optional[str]:
    """The session that a request belongs to; None without one, and while the client asks for a new one."""
    found = header(context, SESSION, idx)
    return None if found == WANTS_SESSION else found


def open_session(context: Context, seconds: float, idx: int = 0, id: Optional[str] = None) -> str:
    """Tell the platform of a session that lasts so long, and return its id: a fresh one unless it is given.

    Requests of a session come to the same instance, but to any of the model's workers: give the model one worker, or keep sessions where all of
    them look. Raises ValueError for an id that is not letters, digits and hyphens, at most 200.
    """
    chosen = str(uuid.uuid4()) if id is None else id
    if len(chosen) > _MOST_ID or not _ID.fullmatch(chosen):
        raise ValueError("the id of a session is at most {} letters, digits and hyphens inside: {!r}".format(_MOST_ID, chosen[:80]))
    value = "{}; Expires={}".format(chosen, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds)))
    # the platform's own examples of containers differ in the name
    context.set_response_header(idx, SESSION, value)
    context.set_response_header(idx, NEW_SESSION, value)
    return chosen


def close_session(context: Context, idx: int = 0) -> None:
    """Tell the platform that the session of the request is over. Nothing without one."""
    found = session_id(context, idx)
    if found is not None:
        context.set_response_header(idx, CLOSED_SESSION, found)


def read_records(body: Any, content_type: str) -> List[Any]:
    """The records of a request, in order: JSON documents one a line, rows of CSV as lists of texts, else lines of text.

    A JSON document over several lines, and a body that was decoded already, is one record; empty lines are none. Raises `InvalidInput`.
    """
    if not isinstance(body, (bytes, bytearray, memoryview, str)):
        return [body]
    text = body if isinstance(body, str) else _decoded(body)
    media = content_type.split(";", 1)[0].strip().lower()
    if media == "text/csv":
        return _rows(text)
    # not splitlines(): JSON and text may hold other characters that it takes for the end of a line
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    return _documents(text, lines, media) if media in _JSON_LINES else list(lines)


def _decoded(body: Union[bytes, bytearray, memoryview]) -> str:
    try:
        return str(body, "utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput("The records are not valid UTF-8: {}".format(error)) from error


def _rows(text: str) -> List[Any]:
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise InvalidInput("The records are not valid CSV: {}".format(error)) from error


def _documents(text: str, lines: Sequence[str], media: str) -> List[Any]:
    if media == "application/json":
        try:
            return [json.loads(text)]
        except (ValueError, RecursionError):  # several documents, or the line that is wrong is told below
            pass
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise InvalidInput("Record {} is not valid JSON: {}".format(number, error)) from error
    return records


def write_records(results: Iterable[Any], content_type: str) -> str:
    """The results of `read_records` in its order, one a line, ready to be returned: CSV rows or values for text/csv, text as it is for other
    text types, else JSON. Raises TypeError or ValueError for what cannot be written, and for a text with a line break.
    """
    media = content_type.split(";", 1)[0].strip().lower()
    if media == "text/csv":
        out = io.StringIO(newline="")
        csv.writer(out, lineterminator="\n").writerows(result if isinstance(result, (list, tuple)) else [result] for result in results)
        return out.getvalue()
    return "".join(_line(result, media.startswith("text/")) + "\n" for result in results)


def _line(result: Any, is_text: bool) -> str:
    line = result if is_text and isinstance(result, str) else json.dumps(result)
    if "\n" in line or "\r" in line:
        raise ValueError("a result of many records is one line: {!r}".format(line[:80]))
    return line
