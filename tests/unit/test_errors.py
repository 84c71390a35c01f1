"""Failures with a code."""

from __future__ import annotations

from argosy.errors import ArgosyError, ErrorCode


def test_numbers_stay() -> None:
    """They travel between servers and workers of different versions: a number is never given to another failure."""
    assert [code.name for code in sorted(ErrorCode)] == [
        "INTERNAL", "INVALID_REQUEST", "MODEL_NOT_FOUND", "INVALID_MODEL", "DOWNLOAD_FAILED", "CONFLICT", "NO_WORKER", "DRAINING",
        "DEADLINE_EXCEEDED", "CANCELLED", "WORKER_DIED", "HANDLER_FAILED", "BAD_OUTPUT", "HANDLER_STATUS", "OUT_OF_MEMORY", "LOAD_FAILED",
        "TOO_LARGE", "TIMED_OUT", "STORAGE_FULL", "FORBIDDEN", "INVALID_CONFIG", "RESOURCE_NOT_FOUND", "METHOD_NOT_ALLOWED",
    ]  # fmt: skip
    assert [int(code) for code in sorted(ErrorCode)] == list(range(len(ErrorCode)))


def test_what_a_failure_says() -> None:
    """Its text is the message for the caller; the detail is not in it."""
    error = ArgosyError(ErrorCode.CONFLICT, "Model m is there.", detail="/secret/path")
    assert str(error) == error.message == "Model m is there."
    assert repr(error) == "<ArgosyError CONFLICT: Model m is there.>"
    assert (error.detail, error.status, error.retry_after_s) == ("/secret/path", 0, 0)
