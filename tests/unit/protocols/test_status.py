"""How failures and the server's own JSON look."""

from __future__ import annotations

import json

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.protocols.json_layout import dumps
from argosy.protocols.status import STATUS, Detail, error_reply, phrase


def test_layout_is_the_old_one() -> None:
    """Two blanks, one value a line, fields in order, empty containers closed, HTML characters escaped, a final newline."""
    assert dumps({"b": "<'&=>é\u2028", "a": [], "c": {}, "n": [1, True]}) == (
        b'{\n  "b": "\\u003c\\u0027\\u0026\\u003d\\u003e\xc3\xa9\\u2028",\n  "a": [],\n  "c": {},\n  "n": [\n    1,\n    true\n  ]\n}\n')


def test_half_a_character_does_not_break_the_layout() -> None:
    """A lone surrogate is written as a question mark."""
    assert dumps("\ud800") == b'"?"\n'


@pytest.mark.parametrize(("code", "status", "kind"), [
    (ErrorCode.INTERNAL, 500, "InternalServerException"),
    (ErrorCode.INVALID_REQUEST, 400, "BadRequestException"),
    (ErrorCode.MODEL_NOT_FOUND, 404, "ModelNotFoundException"),
    (ErrorCode.INVALID_MODEL, 400, "InvalidModelException"),
    (ErrorCode.DOWNLOAD_FAILED, 400, "DownloadModelException"),
    (ErrorCode.CONFLICT, 409, "ConflictStatusException"),
    (ErrorCode.NO_WORKER, 503, "ServiceUnavailableException"),
    (ErrorCode.DRAINING, 503, "ServiceUnavailableException"),
    (ErrorCode.DEADLINE_EXCEEDED, 504, "RequestTimeoutException"),
    (ErrorCode.CANCELLED, 499, "InternalServerException"),
    (ErrorCode.WORKER_DIED, 500, "InternalServerException"),
    (ErrorCode.HANDLER_FAILED, 503, "InternalServerException"),
    (ErrorCode.BAD_OUTPUT, 503, "InternalServerException"),
    (ErrorCode.HANDLER_STATUS, 500, "InternalServerException"),
    (ErrorCode.OUT_OF_MEMORY, 507, "InternalServerException"),
    (ErrorCode.LOAD_FAILED, 500, "InternalServerException"),
    (ErrorCode.TOO_LARGE, 413, "RequestTooLargeException"),
    (ErrorCode.TIMED_OUT, 408, "RequestTimeoutException"),
    (ErrorCode.STORAGE_FULL, 507, "InternalServerException"),
    (ErrorCode.FORBIDDEN, 403, "ForbiddenException"),
    (ErrorCode.INVALID_CONFIG, 500, "InternalServerException"),
    (ErrorCode.RESOURCE_NOT_FOUND, 404, "ResourceNotFoundException"),
    (ErrorCode.METHOD_NOT_ALLOWED, 405, "MethodNotAllowedException"),
])  # fmt: skip
def test_statuses_and_types_of_failures(code: ErrorCode, status: int, kind: str) -> None:
    """As Multi Model Server and the reference have them: clients and alarms go by both."""
    reply = error_reply(ArgosyError(code, "text"))
    body = json.loads(reply.body)
    assert (reply.status, body["code"], body["type"]) == (status, status, kind)
    assert list(body) == ["code", "type", "message"]


def test_every_error_code_has_a_status() -> None:
    """No failure is left without one."""
    assert set(STATUS) == set(ErrorCode)


def test_chosen_status_wins() -> None:
    """A handler's own status and text are passed on; unknown ones are named by their class."""
    reply = error_reply(ArgosyError(ErrorCode.HANDLER_STATUS, "golden", status=513))
    assert (reply.status, reply.reason) == (513, "Server Error (513)")
    assert json.loads(reply.body) == {"code": 513, "type": "InternalServerException", "message": "golden"}


@pytest.mark.parametrize(("status", "text"), [
    (404, "Not Found"), (413, "Request Entity Too Large"), (418, "Client Error (418)"), (507, "Insufficient Storage"), (299, "Success (299)"),
    (777, "Unknown Status (777)"),
])  # fmt: skip
def test_phrases(status: int, text: str) -> None:
    """Known statuses have their phrase, others the name of their class."""
    assert phrase(status) == text


def test_refusals_say_when_to_come_back() -> None:
    """Only what will pass by itself carries Retry-After: a failing handler does not."""
    for code in (ErrorCode.NO_WORKER, ErrorCode.DRAINING):
        assert dict(error_reply(ArgosyError(code, "x")).headers)["Retry-After"].isdigit()
    assert not error_reply(ArgosyError(ErrorCode.HANDLER_FAILED, "x")).headers


FAILED = ArgosyError(ErrorCode.HANDLER_FAILED, "Prediction failed: KeyError: 'a'", detail="Traceback (most recent call last):\n  …\nKeyError: 'a'\n")


@pytest.mark.parametrize(("detail", "more"), [
    (Detail.NONE, {}), (Detail.MESSAGE, {"cause": "KeyError: 'a'"}), (Detail.TRACEBACK, {"cause": "KeyError: 'a'", "traceback": FAILED.detail}),
])  # fmt: skip
def test_exceptions_are_told_as_far_as_allowed(detail: Detail, more: dict[str, str]) -> None:
    """A client reads the fixed text, and of the exception only what `error_detail` lets out."""
    body = json.loads(error_reply(FAILED, detail).body)
    assert body == {"code": 503, "type": "InternalServerException", "message": "Prediction failed", **more}


def test_cause_is_the_failure_behind() -> None:
    """What the handler said at load is told beside the old text; what has no cause says nothing."""
    error = ArgosyError(ErrorCode.LOAD_FAILED, "Failed to start workers", detail="one line is no traceback")
    error.__cause__ = ArgosyError(ErrorCode.LOAD_FAILED, "no weights")
    body = json.loads(error_reply(error, Detail.TRACEBACK).body)
    assert body["cause"] == "no weights"
    error.__cause__ = ArgosyError(ErrorCode.LOAD_FAILED, "no function", detail="it has handle")
    assert json.loads(error_reply(error, Detail.TRACEBACK).body)["cause"] == "no function: it has handle"
    assert "traceback" not in body
    assert "cause" not in json.loads(error_reply(ArgosyError(ErrorCode.INTERNAL, "x"), Detail.TRACEBACK).body)


def test_a_refusal_may_know_when_there_is_room() -> None:
    """Then Retry-After says that."""
    assert dict(error_reply(ArgosyError(ErrorCode.NO_WORKER, "x", retry_after_s=7)).headers)["Retry-After"] == "7"
