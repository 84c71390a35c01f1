"""How failures look over HTTP: the status and type word of every error code, and the reply that says them."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from argosy.errors import ArgosyError, ErrorCode
from argosy.protocols.endpoint import HttpReply
from argosy.protocols.json_layout import dumps

NOT_FOUND = "Requested resource is not found, please refer to API document."
NOT_ALLOWED = "Requested method is not allowed, please refer to API document."
RETRY_AFTER_S = 1
"""When a refused client may try again if the refusal does not say it: a worker that died is back after about so long."""


@dataclass(frozen=True, slots=True)
class Status:
    """What a failure is called over HTTP."""

    code: int
    type: str


class Detail(enum.Enum):
    """How much of what a handler said reaches the one who asked. The values are those of the setting `error_detail`."""

    NONE = "none"
    MESSAGE = "message"
    TRACEBACK = "traceback"


_SERVER = "InternalServerException"

STATUS: Mapping[ErrorCode, Status] = {
    ErrorCode.INTERNAL: Status(500, _SERVER),
    ErrorCode.INVALID_REQUEST: Status(400, "BadRequestException"),
    ErrorCode.MODEL_NOT_FOUND: Status(404, "ModelNotFoundException"),
    ErrorCode.INVALID_MODEL: Status(400, "InvalidModelException"),
    ErrorCode.DOWNLOAD_FAILED: Status(400, "DownloadModelException"),
    ErrorCode.CONFLICT: Status(409, "ConflictStatusException"),
    ErrorCode.NO_WORKER: Status(503, "ServiceUnavailableException"),
    ErrorCode.DRAINING: Status(503, "ServiceUnavailableException"),
    ErrorCode.DEADLINE_EXCEEDED: Status(504, "RequestTimeoutException"),
    ErrorCode.CANCELLED: Status(499, _SERVER),
    ErrorCode.WORKER_DIED: Status(500, _SERVER),
    ErrorCode.HANDLER_FAILED: Status(503, _SERVER),
    ErrorCode.BAD_OUTPUT: Status(503, _SERVER),
    ErrorCode.HANDLER_STATUS: Status(500, _SERVER),
    ErrorCode.OUT_OF_MEMORY: Status(507, _SERVER),
    ErrorCode.LOAD_FAILED: Status(500, _SERVER),
    ErrorCode.TOO_LARGE: Status(413, "RequestTooLargeException"),
    ErrorCode.TIMED_OUT: Status(408, "RequestTimeoutException"),
    ErrorCode.STORAGE_FULL: Status(507, _SERVER),
    ErrorCode.FORBIDDEN: Status(403, "ForbiddenException"),
    ErrorCode.INVALID_CONFIG: Status(500, _SERVER),
    ErrorCode.RESOURCE_NOT_FOUND: Status(404, "ResourceNotFoundException"),
    ErrorCode.METHOD_NOT_ALLOWED: Status(405, "MethodNotAllowedException"),
}
"""Every error code, as Multi Model Server would have answered it where it knew the case."""

_FIXED_TEXT: Mapping[ErrorCode, str] = {ErrorCode.HANDLER_FAILED: "Prediction failed"}
"""What clients read when the real message is the handler's own."""
_RETRY = frozenset({ErrorCode.NO_WORKER, ErrorCode.DRAINING})
_CLASSES = {1: "Informational", 2: "Success", 3: "Redirection", 4: "Client Error", 5: "Server Error"}
_PHRASES = {413: "Request Entity Too Large", 418: "Client Error (418)"}


def phrase(status: int) -> str:
    """The reason phrase of a status; unknown ones are named by their class, like `Server Error (599)`."""
    if status in _PHRASES:
        return _PHRASES[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"{_CLASSES.get(status // 100, 'Unknown Status')} ({status})"


def failure(status: int, type: str, message: str, more: Mapping[str, str] | None = None) -> bytes:
    """The JSON of a failure. `more` are further fields, after those of Multi Model Server."""
    return dumps({"code": status, "type": type, "message": message, **(more or {})})


def error_reply(error: ArgosyError, detail: Detail = Detail.NONE) -> HttpReply:
    """The reply that tells of `error`. A status that the error carries itself wins over the table.

    The handler's own message is the field `cause` from `Detail.MESSAGE` on, and `traceback` is added with `Detail.TRACEBACK` if there is one.
    """
    known = STATUS.get(error.code, STATUS[ErrorCode.INTERNAL])
    status = error.status or known.code
    message = _FIXED_TEXT.get(error.code, error.message)
    headers = (("Retry-After", str(error.retry_after_s or RETRY_AFTER_S)),) if error.code in _RETRY else ()
    return HttpReply(status, failure(status, known.type, message, _told(error, message, detail)), headers=headers, reason=phrase(status))


def not_found() -> ArgosyError:
    """There is no such path."""
    return ArgosyError(ErrorCode.RESOURCE_NOT_FOUND, NOT_FOUND)


def not_allowed() -> ArgosyError:
    """The path is there, but not for this method."""
    return ArgosyError(ErrorCode.METHOD_NOT_ALLOWED, NOT_ALLOWED)


def _told(error: ArgosyError, message: str, detail: Detail) -> dict[str, str]:
    """The further fields of a failure."""
    if detail is Detail.NONE:
        return {}
    cause = _cause(error, message)
    more = {"cause": cause} if cause else {}
    if detail is Detail.TRACEBACK and "\n" in error.detail.strip():
        more["traceback"] = error.detail
    return more


def _cause(error: ArgosyError, message: str) -> str:
    """What really went wrong, when `message` does not say it: the failure behind this one, else the last line of the traceback."""
    if isinstance(error.__cause__, ArgosyError):
        hint = error.__cause__.detail.strip()  # a single line is how to mend it; more lines are a traceback
        return f"{error.__cause__.message}: {hint}" if hint and "\n" not in hint else error.__cause__.message
    lines = error.detail.strip().splitlines()
    last = lines[-1].strip() if lines else ""
    return last or (error.message if error.message != message else "")
