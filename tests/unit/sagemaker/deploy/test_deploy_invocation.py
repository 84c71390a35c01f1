"""Requests to an endpoint of AWS, when it refuses, breaks off, or takes its time."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy.aws import AwsError
from argosy.sagemaker.deploy.invocation import Options, Pending, Reply, invoke, invoke_later, stream, wait_for
from fakes.scripted_aws import Script, body, refusal

exceptions: Any = importlib.import_module("botocore.exceptions")
PENDING = Pending("id-1", "s3://b/out", "s3://b/failed")
NOTHING = Options()


class Broken:
    """A body that breaks off."""

    def read(self) -> bytes:
        """As a body does."""
        raise exceptions.ReadTimeoutError(endpoint_url="u")


def test_what_the_model_refuses_is_told_in_its_words() -> None:
    """As a failure of the handler, with the name of the endpoint."""
    script = Script({"invoke_endpoint": refusal("ModelError", "Received client error (400) from primary")})
    with pytest.raises(ArgosyError, match="The model of e refused the request: Received client error") as caught:
        invoke(script.aws, "e", b"x", NOTHING)
    assert caught.value.code is ErrorCode.HANDLER_FAILED


@pytest.mark.parametrize(("problem", "words"), [
    (refusal("ValidationError", "Endpoint e of account 1 not found."), "sagemaker-runtime:invoke_endpoint failed: Endpoint e of account 1"),
    (refusal("AccessDeniedException", "not authorized"), "argosy sagemaker policy"),
    (exceptions.EndpointConnectionError(endpoint_url="https://x"), "Could not connect to the endpoint URL"),
])  # fmt: skip
def test_what_aws_refuses_names_the_call(problem: Exception, words: str) -> None:
    """And says what to do where that is known."""
    with pytest.raises(AwsError, match=words):
        invoke(Script({"invoke_endpoint": problem}).aws, "e", b"x", NOTHING)


def test_an_answer_that_breaks_off_is_a_failure() -> None:
    """None of it is given as the whole."""
    script = Script({"invoke_endpoint": {"Body": Broken(), "ResponseMetadata": {"HTTPHeaders": {}}}})
    with pytest.raises(AwsError, match="invoke_endpoint failed: Read timeout"):
        invoke(script.aws, "e", b"x", NOTHING)


def test_an_answer_comes_with_what_is_known_of_it() -> None:
    """What is empty is not sent."""
    answer = {"Body": body(b"yes"), "ContentType": "text/plain", "InvokedProductionVariant": "v", "ResponseMetadata": {"HTTPHeaders": {"x": "y"}}}
    script = Script({"invoke_endpoint": answer})
    assert invoke(script.aws, "e", b"x", Options("text/csv", target_model="m")) == Reply(b"yes", "text/plain", "v", {"x": "y"})
    assert script.asked("invoke_endpoint") == [{"EndpointName": "e", "Body": b"x", "ContentType": "text/csv", "TargetModel": "m"}]


def test_a_stream_is_given_piece_by_piece() -> None:
    """As it comes."""
    events = iter([{"PayloadPart": {"Bytes": b"a"}}, {"PayloadPart": {"Bytes": b"b"}}])
    pieces = stream(Script({"invoke_endpoint_with_response_stream": {"Body": events}}).aws, "e", b"x", NOTHING)
    assert next(pieces) == b"a"
    assert list(pieces) == [b"b"]


@pytest.mark.parametrize(("event", "words"), [
    ({"ModelStreamError": {"Message": "too slow", "ErrorCode": "ModelInvocationTimeExceeded"}}, "The stream of e ended early: too slow"),
    ({"InternalStreamFailure": {}}, "no reason is given"), ({}, "no reason is given"),
])  # fmt: skip
def test_a_stream_that_ends_early_says_so(event: object, words: str) -> None:
    """After the pieces that came."""
    events = [{"PayloadPart": {"Bytes": b"a"}}, event]
    pieces = stream(Script({"invoke_endpoint_with_response_stream": {"Body": events}}).aws, "e", b"x", NOTHING)
    assert next(pieces) == b"a"
    with pytest.raises(ArgosyError, match=words) as caught:
        next(pieces)
    assert caught.value.code is ErrorCode.HANDLER_FAILED


def test_a_stream_whose_connection_breaks_is_a_failure_of_the_call() -> None:
    """In the middle too."""

    def events() -> Iterator[object]:
        yield {"PayloadPart": {"Bytes": b"a"}}
        raise exceptions.ReadTimeoutError(endpoint_url="u")

    pieces = stream(Script({"invoke_endpoint_with_response_stream": {"Body": events()}}).aws, "e", b"x", NOTHING)
    with pytest.raises(AwsError, match="invoke_endpoint_with_response_stream failed"):
        list(pieces)


def test_a_request_for_later_lies_in_the_folder_of_the_deployment() -> None:
    """Encrypted and tagged, under a name that nobody guesses; an asynchronous endpoint has neither target models nor variants."""
    script = Script({"invoke_endpoint_async": {"InferenceId": "id-1", "OutputLocation": "s3://b/out", "FailureLocation": "s3://b/failed"}})
    assert invoke_later(script.aws, "e", b"x", "b", Options("text/csv", target_model="m", target_variant="v")) == PENDING
    (put,), (asked,) = script.asked("put_object"), script.asked("invoke_endpoint_async")
    assert (put["Bucket"], put["Body"], put["Tagging"], put["ServerSideEncryption"]) == ("b", b"x", "argosy%3Adeployment=e", "AES256")
    assert put["Key"].startswith("argosy/e/async-input/")
    assert asked == {"EndpointName": "e", "InputLocation": f"s3://b/{put['Key']}", "ContentType": "text/csv"}
    assert invoke_later(script.aws, "e", b"x", "b", NOTHING) == PENDING
    assert script.asked("put_object")[1]["Key"] != put["Key"]


def test_a_request_that_cannot_be_put_is_not_queued() -> None:
    """The endpoint would look for nothing."""
    script = Script({"put_object": refusal("AccessDenied")})
    with pytest.raises(AwsError, match="s3:put_object failed"):
        invoke_later(script.aws, "e", b"x", "b", NOTHING)
    assert script.asked("invoke_endpoint_async") == []


def test_an_answer_is_waited_for() -> None:
    """With a pause between two looks."""
    absent, pauses = refusal("NoSuchKey"), list[float]()
    script = Script({"get_object": [absent, absent, absent, absent, {"Body": body(b"late")}]})
    assert wait_for(script.aws, PENDING, pauses.append) == b"late"
    assert pauses == [2.0, 2.0]


def test_a_request_that_failed_is_told_in_the_words_of_the_model() -> None:
    """They are cut where they are long, and need not be text."""
    script = Script({"get_object": [refusal("NoSuchKey"), {"Body": body(b"boom \xff" + b"x" * 1000)}]})
    with pytest.raises(ArgosyError, match="The request id-1 failed: boom \N{REPLACEMENT CHARACTER}x") as caught:
        wait_for(script.aws, PENDING, lambda _: None)
    assert caught.value.code is ErrorCode.HANDLER_FAILED
    assert len(caught.value.message) < 600


def test_nobody_waits_for_ever() -> None:
    """The message says where the answer may still come."""
    pauses: list[float] = []
    with pytest.raises(ArgosyError, match="There is no answer in s3://b/out after 4 s; it may still come") as caught:
        wait_for(Script().aws, Pending("id", "s3://b/out", ""), pauses.append, 4.0)
    assert caught.value.code is ErrorCode.TIMED_OUT
    assert sum(pauses) == 6.0


def test_a_place_that_may_not_be_read_is_no_absence() -> None:
    """It would be waited for in vain."""
    with pytest.raises(AwsError, match="s3:get_object failed"):
        wait_for(Script({"get_object": refusal("AccessDenied")}).aws, PENDING, lambda _: None)
