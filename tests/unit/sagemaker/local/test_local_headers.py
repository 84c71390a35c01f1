"""Headers are checked by the rules of the service, and only those of the service reach the container or the client."""

from __future__ import annotations

import pytest

from argosy.sagemaker.local.failures import InvocationFailure
from argosy.sagemaker.local.headers import from_container, read_headers

SM = "x-amzn-sagemaker-"


def test_the_container_sees_what_the_service_passes_on() -> None:
    """In the service's spelling; everything else is stripped."""
    asked = read_headers({
        "content-type": "text/csv", "accept": "application/json", f"{SM}custom-attributes": "trace=1", f"{SM}inference-id": "i 1",
        f"{SM}target-model": "a/b.tar.gz", f"{SM}session-id": "s-1", f"{SM}target-variant": "blue", f"{SM}target-container-hostname": "c1",
        f"{SM}enable-explanations": "x", "authorization": "secret", "user-agent": "boto", "x-amz-date": "d", "x-other": "y", "host": "h",
    })  # fmt: skip
    assert dict(asked.for_container()) == {
        "Content-Type": "text/csv", "Accept": "application/json", "X-Amzn-SageMaker-Custom-Attributes": "trace=1",
        "X-Amzn-SageMaker-Inference-Id": "i 1", "X-Amzn-SageMaker-Target-Model": "a/b.tar.gz", "X-Amzn-SageMaker-Session-Id": "s-1",
    }  # fmt: skip
    assert asked["target-variant"] == "blue"


def test_nothing_is_added_to_a_bare_request() -> None:
    """A client that names no content type gets none."""
    assert read_headers({}).for_container() == []


def test_streams_and_queues_have_headers_of_their_own() -> None:
    """What they take behind the prefix becomes the plain header; the plain one does not count there."""
    headers = {"accept": "*/*", f"{SM}accept": "text/plain", "content-type": "binary/octet-stream", f"{SM}content-type": "text/csv"}
    stream = read_headers(headers, prefixed=frozenset(("accept",)))
    assert stream.for_container() == [("Content-Type", "binary/octet-stream"), ("Accept", "text/plain")]
    both = read_headers(headers, prefixed=frozenset(("accept", "content-type")))
    assert both.for_container() == [("Content-Type", "text/csv"), ("Accept", "text/plain")]


@pytest.mark.parametrize(("name", "value"), [
    ("custom-attributes", "x" * 1025), ("custom-attributes", "é"), ("target-model", " a"), ("target-model", "x" * 1025), ("target-variant", "a_b"),
    ("target-variant", "x" * 64), ("target-container-hostname", ""), ("inference-id", "x" * 65), ("inference-component", "-"),
    ("session-id", "NEW_session"), ("session-id", "x" * 257), ("inputlocation", "http://b/k"), ("filename", "a.b.c"), ("filename", "x" * 33),
    ("filename", "../x"), ("s3outputpathextension", "s3://x"), ("requestttlseconds", "59"), ("requestttlseconds", "21601"),
    ("requestttlseconds", "many"), ("invocationtimeoutseconds", "0"), ("invocationtimeoutseconds", "3601"), ("invocationtimeoutseconds", "9" * 5000),
])  # fmt: skip
def test_a_value_against_the_rules_is_refused(name: str, value: str) -> None:
    """With 400 ValidationError that names the parameter."""
    with pytest.raises(InvocationFailure) as caught:
        read_headers({SM + name: value})
    assert (caught.value.status, caught.value.kind) == (400, "ValidationError")
    assert name.replace("-", "") in caught.value.message.lower()


def test_plain_headers_have_their_limit_too() -> None:
    """1024 ASCII characters."""
    with pytest.raises(InvocationFailure, match="content-type"):
        read_headers({"content-type": "x" * 1025})


def test_numbers_are_read() -> None:
    """Within their limits."""
    asked = read_headers({f"{SM}requestttlseconds": "60", f"{SM}invocationtimeoutseconds": "3600"})
    assert dict(asked.numbers) == {"requestttlseconds": 60, "invocationtimeoutseconds": 3600}


def test_the_client_sees_what_the_service_passes_back() -> None:
    """Its variant, and the three headers that a model may set."""
    headers = {f"{SM}custom-attributes": "a", f"{SM}new-session-id": "s; Expires=x", f"{SM}closed-session-id": "t", "x-secret": "y", "server": "z"}
    assert dict(from_container(headers, "blue")) == {
        "x-Amzn-Invoked-Production-Variant": "blue", "X-Amzn-SageMaker-Custom-Attributes": "a",
        "X-Amzn-SageMaker-New-Session-Id": "s; Expires=x", "X-Amzn-SageMaker-Closed-Session-Id": "t",
    }  # fmt: skip
