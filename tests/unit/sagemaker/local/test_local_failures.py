"""Failures carry the statuses, names and fields of the runtime's service model."""

from __future__ import annotations

import json

import pytest

from argosy.sagemaker.local.failures import (
    InvocationFailure,
    Source,
    dependency_failed,
    endpoint_not_found,
    internal,
    not_ready,
    throttled,
    too_large,
    unavailable,
    validation_error,
)

SOURCE = Source("primary", "arn:aws:logs:us-east-1:000000000000:log-group:/aws/sagemaker/Endpoints/e", "/logs/e.log")


@pytest.mark.parametrize(("failure", "status", "kind"), [
    (validation_error("x"), 400, "ValidationError"), (endpoint_not_found("e", "1"), 400, "ValidationError"),
    (too_large(10), 413, "ValidationError"), (not_ready("x"), 429, "ModelNotReadyException"), (throttled("x"), 429, "ThrottlingException"),
    (internal("x"), 500, "InternalFailure"), (unavailable("x"), 503, "ServiceUnavailable"),
    (dependency_failed("x"), 530, "InternalDependencyException"), (SOURCE.model_error(500, "x"), 424, "ModelError"),
], ids=lambda value: value.kind if isinstance(value, InvocationFailure) else "")  # fmt: skip
def test_each_failure_has_its_status_and_name(failure: InvocationFailure, status: int, kind: str) -> None:
    """The client picks its exception by the name, and retries by the status."""
    assert (failure.status, failure.kind) == (status, kind)
    assert json.loads(failure.body)["Message"] == failure.message


def test_a_model_error_says_what_the_container_said() -> None:
    """Status, text and log of the container are fields of their own."""
    body = json.loads(SOURCE.model_error(503, "busy").body)
    assert body["OriginalStatusCode"] == 503
    assert body["OriginalMessage"] == "busy"
    assert body["LogStreamArn"] == SOURCE.log_stream
    assert body["Message"] == 'Received server error (503) from primary with message "busy". See /logs/e.log for more information.'


def test_the_side_of_a_model_error_follows_the_status() -> None:
    """A 4xx of the container is the client's."""
    assert "Received client error (400)" in SOURCE.model_error(400, "").message
    assert "Received server error (500)" in SOURCE.model_error(500, "").message


def test_what_never_answered_has_the_status_zero() -> None:
    """Timeouts, broken connections and answers that are too long."""
    for failure in (SOURCE.timed_out(), SOURCE.broken(), SOURCE.answer_too_long(5)):
        assert (failure.status, failure.more["OriginalStatusCode"]) == (424, 0)
    assert "timed out while waiting for a response from container primary" in SOURCE.timed_out().message


def test_long_texts_are_cut_to_what_the_service_model_allows() -> None:
    """2048 characters for each text."""
    failure = SOURCE.model_error(500, "x" * 10_000)
    body = json.loads(failure.body)
    assert len(body["Message"]) == 2048
    assert len(body["OriginalMessage"]) == 2048
