"""The local runtime as boto3 sees it, in front of containers that do as they are told."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from argosy.sagemaker.local import ContainerSettings, EndpointSettings, Limits, LocalEndpoint, RuntimeSettings, Serverless, VariantSettings, Watch
from argosy.testing.server import wait_for
from fakes import sagemaker_container
from fakes.sagemaker_container import do

ClientError: Any = importlib.import_module("botocore.exceptions").ClientError
EventStreamError: Any = importlib.import_module("botocore.exceptions").EventStreamError
CONTAINER = ContainerSettings(command=(sys.executable, sagemaker_container.__file__, "{port}"))
VARIANT = VariantSettings(containers=(CONTAINER,), startup_timeout_s=30)
WATCH = Watch(ping_every_s=0.05, start_ping_every_s=0.02, stop_s=5, backoff_s=(0.05,))
LIMITS = Limits(invocation_s=20)


def runtime(*endpoints: EndpointSettings, **more: Any) -> RuntimeSettings:
    """Settings with short pauses."""
    return RuntimeSettings(endpoints, **{"watch": WATCH, "limits": LIMITS, **more})


@contextmanager
def patient(running: LocalEndpoint) -> Iterator[Any]:
    """A client that sees every failure: the usual one tries again by itself."""
    config = importlib.import_module("botocore.config").Config(retries={"total_max_attempts": 1}, read_timeout=60)
    session = importlib.import_module("boto3").session.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name="us-east-1")
    client = session.client("sagemaker-runtime", endpoint_url=running.url, config=config)
    with closing(client):
        yield client


def refusal(client: Any, operation: str = "invoke_endpoint", **arguments: Any) -> dict[str, Any]:
    """The response of a call that fails."""
    with pytest.raises(ClientError) as caught:
        getattr(client, operation)(**{"EndpointName": "one", "Body": b"", **arguments})
    found: dict[str, Any] = caught.value.response
    return found


def echoed(client: Any, **arguments: Any) -> dict[str, Any]:
    """What the container saw."""
    found: dict[str, Any] = json.loads(client.invoke_endpoint(**{"EndpointName": "one", "Body": b"", **arguments})["Body"].read())
    return found


def padded(size: int) -> bytes:
    """A body of so many bytes that is answered with `ok`."""
    return do(body="ok", padding="x" * (size - len(do(body="ok", padding=""))))


@pytest.fixture(scope="module")
def several() -> Iterator[LocalEndpoint]:
    """Several endpoints behind one address."""
    weighted = (dataclasses.replace(VARIANT, name="blue", weight=3), dataclasses.replace(VARIANT, name="green", weight=1))
    first, second = dataclasses.replace(CONTAINER, hostname="first"), dataclasses.replace(CONTAINER, hostname="second")
    endpoints = (
        EndpointSettings("one", (VARIANT,)),
        EndpointSettings("ab", weighted),
        EndpointSettings("two", (dataclasses.replace(VARIANT, instances=2),)),
        EndpointSettings("parts", components=(dataclasses.replace(VARIANT, name="left"), dataclasses.replace(VARIANT, name="right"))),
        EndpointSettings("pipeline", (dataclasses.replace(VARIANT, containers=(first, second)),)),
        EndpointSettings("direct", (dataclasses.replace(VARIANT, containers=(first, second), direct=True),)),
        EndpointSettings("small", (dataclasses.replace(VARIANT, serverless=Serverless(max_concurrency=2)),)),
    )
    with LocalEndpoint(runtime(*endpoints)) as running:
        yield running


@pytest.fixture(scope="module")
def client(several: LocalEndpoint) -> Iterator[Any]:
    """A client of it that does not retry."""
    with patient(several) as connected:
        yield connected


# -- what the container sees, and what comes back ----------------------------------------------------------------------


def test_every_optional_argument_reaches_its_place(client: Any) -> None:
    """The container sees those that the service passes on, and none of the client's other headers."""
    seen = echoed(
        client, Body=b"a,b", ContentType="text/csv", Accept="text/plain", CustomAttributes="trace=1", InferenceId="id-1", TargetVariant="AllTraffic",
        EnableExplanations="x", PrefixAwareId="p")
    assert seen["path"] == "/invocations"
    assert seen["body"] == "a,b"
    assert {name: value for name, value in seen["headers"].items() if name not in ("Host", "Content-Length", "Connection")} == {
        "Content-Type": "text/csv", "Accept": "text/plain", "X-Amzn-SageMaker-Custom-Attributes": "trace=1",
        "X-Amzn-SageMaker-Inference-Id": "id-1",
    }  # fmt: skip


def test_no_content_type_is_made_up(client: Any) -> None:
    """A client that gives none sends none, and so do we."""
    assert "Content-Type" not in echoed(client)["headers"]


def test_the_answer_comes_back_whole(client: Any) -> None:
    """Body, type, custom attributes, variant and request id; nothing else of the container's headers."""
    headers = {"Content-Type": "text/x", "X-Amzn-SageMaker-Custom-Attributes": "seen", "X-Secret": "no"}
    found = client.invoke_endpoint(EndpointName="one", Body=do(body="hi", status=201, headers=headers))
    assert found["Body"].read() == b"hi"
    assert (found["ContentType"], found["CustomAttributes"], found["InvokedProductionVariant"]) == ("text/x", "seen", "AllTraffic")
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert len(found["ResponseMetadata"]["RequestId"]) == 36
    assert "x-secret" not in found["ResponseMetadata"]["HTTPHeaders"]


def test_a_chunked_answer_is_an_answer(client: Any) -> None:
    """Put together for clients that do not stream."""
    assert client.invoke_endpoint(EndpointName="one", Body=do(chunks=["a", "bc", "d"]))["Body"].read() == b"abcd"


# -- failures ----------------------------------------------------------------------------------------------------------


def test_a_failure_of_the_model_is_a_model_error(client: Any) -> None:
    """424 with the container's status and words."""
    found = refusal(client, Body=do(status=503, body="model is busy"))
    assert found["Error"]["Code"] == "ModelError"
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert (found["OriginalStatusCode"], found["OriginalMessage"]) == (503, "model is busy")
    assert found["LogStreamArn"].endswith(":log-group:/aws/sagemaker/Endpoints/one")


def test_the_client_raises_the_class_of_the_service(client: Any) -> None:
    """Code that catches `client.exceptions` works."""
    with pytest.raises(client.exceptions.ModelError):
        client.invoke_endpoint(EndpointName="one", Body=do(status=400))
    with pytest.raises(client.exceptions.ValidationError):
        client.invoke_endpoint(EndpointName="none", Body=b"")


@pytest.mark.parametrize(("arguments", "words"), [
    ({"EndpointName": "no such / endpoint"}, "Endpoint no such / endpoint of account 000000000000 not found."),
    ({"TargetVariant": "none"}, "Variant none"), ({"TargetModel": "x.tar.gz"}, "multi-model"), ({"TargetContainerHostname": "x"}, "direct"),
    ({"InferenceComponentName": "x"}, "no inference components"), ({"EndpointName": "parts"}, "component name is needed"),
    ({"EndpointName": "parts", "InferenceComponentName": "x"}, "Inference component x"), ({"EndpointName": "direct"}, "hostname is needed"),
    ({"EndpointName": "direct", "TargetContainerHostname": "third"}, "Container third"), ({"SessionId": "unknown"}, "Session unknown"),
    ({"CustomAttributes": "x" * 1025}, "customAttributes"),
])  # fmt: skip
def test_what_cannot_be_served_is_a_validation_error(client: Any, arguments: dict[str, Any], words: str) -> None:
    """400 with the reason."""
    found = refusal(client, **arguments)
    assert (found["Error"]["Code"], found["ResponseMetadata"]["HTTPStatusCode"]) == ("ValidationError", 400)
    assert words in found["Error"]["Message"]


def test_bodies_have_their_limit(client: Any) -> None:
    """6,291,456 bytes pass, one more does not; the connection is not torn down before the client has read why."""
    assert client.invoke_endpoint(EndpointName="one", Body=padded(6_291_456))["Body"].read() == b"ok"
    found = refusal(client, Body=b"x" * 6_291_457)
    assert (found["Error"]["Code"], found["ResponseMetadata"]["HTTPStatusCode"]) == ("ValidationError", 413)
    assert "6291456" in found["Error"]["Message"]


def test_answers_have_the_same_limit(client: Any) -> None:
    """A longer one is a failure of the model."""
    assert len(client.invoke_endpoint(EndpointName="one", Body=do(body="x", times=6_291_456))["Body"].read()) == 6_291_456
    assert refusal(client, Body=do(body="x", times=6_291_457))["OriginalStatusCode"] == 0


def test_serverless_bodies_are_smaller(client: Any) -> None:
    """4 MB."""
    assert client.invoke_endpoint(EndpointName="small", Body=padded(4_194_304))["Body"].read() == b"ok"
    assert "4194304" in refusal(client, EndpointName="small", Body=b"x" * 4_194_305)["Error"]["Message"]


def test_a_failure_that_breaks_off_keeps_its_status(client: Any) -> None:
    """The status is the news, and what had come of the text is kept; of a long text the beginning."""
    found = refusal(client, Body=do(status=500, body="half", breaks=True))
    assert (found["OriginalStatusCode"], found["OriginalMessage"]) == (500, "half")
    assert len(refusal(client, Body=do(status=500, body="x", times=200_000))["OriginalMessage"]) == 2048


def test_an_answer_that_breaks_off_is_a_model_error(client: Any) -> None:
    """And not half an answer."""
    assert "closed" in refusal(client, Body=do(body="half", breaks=True))["OriginalMessage"]
    assert "closed" in refusal(client, Body=do(chunks=["half"], breaks=True))["OriginalMessage"]


# -- variants, instances, containers -----------------------------------------------------------------------------------


def test_variants_share_the_traffic_by_weight(client: Any) -> None:
    """Exactly, over whole rounds; and by name at will."""
    found = Counter(client.invoke_endpoint(EndpointName="ab", Body=b"")["InvokedProductionVariant"] for _ in range(8))
    assert found == {"blue": 6, "green": 2}
    assert client.invoke_endpoint(EndpointName="ab", Body=b"", TargetVariant="green")["InvokedProductionVariant"] == "green"


def test_instances_take_turns(client: Any) -> None:
    """Idle ones in order."""
    ports = [echoed(client, EndpointName="two")["headers"]["Host"] for _ in range(2)]
    assert len(ports) == 2
    opened = [client.invoke_endpoint(EndpointName="two", SessionId="NEW_SESSION", Body=_session(name))["NewSessionId"] for name in ("a", "b")]
    assert opened == [f"{name}; Expires=2099-01-01T00:00:00Z" for name in ("a", "b")]


def test_components_are_called_by_name(client: Any) -> None:
    """The container is told which it is."""
    found = client.invoke_endpoint(EndpointName="parts", InferenceComponentName="right", Body=b"")
    assert found["InvokedProductionVariant"] == "right"
    assert json.loads(found["Body"].read())["headers"]["X-Amzn-SageMaker-Inference-Component"] == "right"


def test_a_pipeline_hands_answers_on(client: Any) -> None:
    """The second container gets the answer of the first one, with its type."""
    first = do(body=do(body="from the second").decode(), headers={"Content-Type": "application/x-step"})
    assert client.invoke_endpoint(EndpointName="pipeline", Body=first)["Body"].read() == b"from the second"
    seen = echoed(client, EndpointName="pipeline", Body=do(body="step", headers={"Content-Type": "application/x-step"}), CustomAttributes="c")
    assert (seen["body"], seen["headers"]["Content-Type"]) == ("step", "application/x-step")
    assert seen["headers"]["X-Amzn-SageMaker-Custom-Attributes"] == "c"


def test_a_failure_in_a_pipeline_names_its_container(client: Any) -> None:
    """The one that failed."""
    assert "from second with" in refusal(client, EndpointName="pipeline", Body=do(body=do(status=500).decode()))["Error"]["Message"]


def test_containers_are_invoked_directly(client: Any) -> None:
    """By their host name, one alone."""
    assert client.invoke_endpoint(EndpointName="direct", TargetContainerHostname="second", Body=do(body="alone"))["Body"].read() == b"alone"


# -- sessions ----------------------------------------------------------------------------------------------------------


def _session(name: str) -> bytes:
    return do(body="", headers={"X-Amzn-SageMaker-New-Session-Id": f"{name}; Expires=2099-01-01T00:00:00Z"})


def test_a_session_stays_with_its_instance_until_it_is_closed(client: Any, several: LocalEndpoint) -> None:
    """The model makes and closes it; the instance sees its id."""
    client.invoke_endpoint(EndpointName="two", SessionId="NEW_SESSION", Body=_session("sticky"))
    before = [path.read_text().count("POST") for path in _logs(several, "two")]
    for _ in range(6):
        assert echoed(client, EndpointName="two", SessionId="sticky")["headers"]["X-Amzn-SageMaker-Session-Id"] == "sticky"
    grown = [path.read_text().count("POST") - count for path, count in zip(_logs(several, "two"), before, strict=True)]
    assert sorted(grown) == [0, 6]
    closing = do(body="", headers={"X-Amzn-SageMaker-Closed-Session-Id": "sticky"})
    assert client.invoke_endpoint(EndpointName="two", SessionId="sticky", Body=closing)["ClosedSessionId"] == "sticky"
    assert "Session sticky" in refusal(client, EndpointName="two", SessionId="sticky")["Error"]["Message"]


def _logs(running: LocalEndpoint, endpoint: str) -> list[Path]:
    """The containers' logs; what they have printed about a request is there once it is answered."""
    return sorted((running.logs / endpoint).rglob("*.log"))


# -- streams -----------------------------------------------------------------------------------------------------------


def stream(client: Any, body: bytes, **more: Any) -> Any:
    """The reply to a streamed invocation."""
    return client.invoke_endpoint_with_response_stream(**{"EndpointName": "one", "Body": body, **more})


def test_each_chunk_is_a_part(client: Any) -> None:
    """With type, variant and attributes; and the accepted type reaches the container under its plain name."""
    found = stream(client, do(chunks=["one ", "two ", "three"], headers={"Content-Type": "text/x", "X-Amzn-SageMaker-Custom-Attributes": "c"}))
    assert [event["PayloadPart"]["Bytes"] for event in found["Body"]] == [b"one ", b"two ", b"three"]
    assert (found["ContentType"], found["CustomAttributes"], found["InvokedProductionVariant"]) == ("text/x", "c", "AllTraffic")
    parts = stream(client, b"x", ContentType="text/csv", Accept="text/event-stream")["Body"]
    seen = json.loads(b"".join(event["PayloadPart"]["Bytes"] for event in parts))
    assert (seen["headers"]["Accept"], seen["headers"]["Content-Type"]) == ("text/event-stream", "text/csv")


def test_parts_come_as_they_are_made(client: Any) -> None:
    """The first ones are there while the container still waits for what it says last."""
    found = stream(client, do(chunks=["early"], stall=True))
    assert next(iter(found["Body"]))["PayloadPart"]["Bytes"] == b"early"
    found["Body"].close()


def test_a_failure_before_the_first_part_is_a_model_error(client: Any) -> None:
    """As without a stream."""
    assert refusal(client, "invoke_endpoint_with_response_stream", Body=do(status=400, body="no"))["OriginalStatusCode"] == 400


def test_a_stream_that_breaks_ends_with_an_exception(client: Any) -> None:
    """After what had come."""
    with closing(stream(client, do(chunks=["half"], breaks=True))["Body"]) as body:
        events = iter(body)
        assert next(events)["PayloadPart"]["Bytes"] == b"half"
        with pytest.raises(EventStreamError, match="ModelStreamError"):
            next(events)


def test_a_session_is_not_made_by_a_stream(client: Any) -> None:
    """The service model says so."""
    assert "NEW_SESSION" not in refusal(client, "invoke_endpoint_with_response_stream", SessionId="NEW_SESSION")["Error"]["Message"]


# -- time --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hasty() -> Iterator[Any]:
    """A client of an endpoint whose invocations may take a fifth of a second."""
    settings = runtime(EndpointSettings("one", (VARIANT,)), limits=Limits(invocation_s=0.2))
    with LocalEndpoint(settings) as running, patient(running) as client:
        yield client


def test_an_answer_that_does_not_come_is_a_model_error(hasty: Any) -> None:
    """In the words of the service, with the status 0; wherever it hangs."""
    found = refusal(hasty, Body=do(hang=True))
    assert (found["Error"]["Code"], found["OriginalStatusCode"]) == ("ModelError", 0)
    assert "invocation timed out while waiting for a response from container primary" in found["OriginalMessage"]
    assert refusal(hasty, Body=do(chunks=["x"], stall=True))["OriginalStatusCode"] == 0


def test_a_stream_that_takes_too_long_ends_with_an_exception(hasty: Any) -> None:
    """With a code that says so."""
    with closing(stream(hasty, do(chunks=["x"], stall=True))["Body"]) as body, pytest.raises(EventStreamError) as caught:
        list(body)
    assert "ModelStreamError" in str(caught.value)
    assert "did not finish" in str(caught.value)


# -- concurrency, restarts, stop ---------------------------------------------------------------------------------------


def test_a_serverless_endpoint_takes_so_many_at_once(several: LocalEndpoint) -> None:
    """One more is refused with 429."""
    with patient(several) as client, ThreadPoolExecutor(2) as pool:
        streams = list(pool.map(lambda _: stream(client, do(chunks=["x"], stall=True), EndpointName="small")["Body"], range(2)))
        found = refusal(client, EndpointName="small")
        assert (found["Error"]["Code"], found["ResponseMetadata"]["HTTPStatusCode"]) == ("ThrottlingException", 429)
        for body in streams:
            body.close()


def test_a_container_that_dies_is_started_again() -> None:
    """Its invocation fails, an invocation meanwhile is told to come again, and then all is well; sessions of its first life are gone."""
    with LocalEndpoint(runtime(EndpointSettings("one", (VARIANT,)))) as running, patient(running) as client:
        client.invoke_endpoint(EndpointName="one", SessionId="NEW_SESSION", Body=_session("old"))
        assert refusal(client, Body=do(die=True))["Error"]["Code"] == "ModelError"
        wait_for(lambda: _is_served(client), "the container to be back")
        assert "Session old" in refusal(client, SessionId="old")["Error"]["Message"]
        (log,) = _logs(running, "one")
        assert "dying as told" in log.read_text()


def _is_served(client: Any) -> bool:
    try:
        client.invoke_endpoint(EndpointName="one", Body=b"")
    except (client.exceptions.ServiceUnavailable, client.exceptions.ModelError):
        return False
    return True


def test_a_container_that_is_ill_is_started_again() -> None:
    """When it fails its pings several times in a row."""
    with LocalEndpoint(runtime(EndpointSettings("one", (VARIANT,)))) as running, patient(running) as client:
        (log,) = _logs(running, "one")
        client.invoke_endpoint(EndpointName="one", Body=do(ping_status=500))
        wait_for(lambda: log.read_text().count("model folder") == 2, "a second start")
        wait_for(lambda: _is_served(client), "the container to be back")


def test_an_instance_that_takes_no_connection_is_passed_over() -> None:
    """Nothing was begun there, so another one may have it; when nobody takes it, the client is told to come again."""
    seldom = dataclasses.replace(WATCH, ping_every_s=600.0)
    pair = EndpointSettings("one", (dataclasses.replace(VARIANT, instances=2),))
    with LocalEndpoint(runtime(pair, watch=seldom)) as running, patient(running) as client:
        client.invoke_endpoint(EndpointName="one", Body=do(deaf=True))
        assert len([client.invoke_endpoint(EndpointName="one", Body=b"") for _ in range(4)]) == 4
        client.invoke_endpoint(EndpointName="one", Body=do(deaf=True))
        found = refusal(client)
        assert (found["Error"]["Code"], found["ResponseMetadata"]["HTTPStatusCode"]) == ("ServiceUnavailable", 503)


def test_traffic_goes_to_the_instances_that_live() -> None:
    """A dead instance costs the invocation that killed it, and no other one."""
    slow = dataclasses.replace(WATCH, backoff_s=(60.0,))
    pair = EndpointSettings("one", (dataclasses.replace(VARIANT, instances=2),))
    with LocalEndpoint(runtime(pair, watch=slow)) as running, patient(running) as client:
        refusal(client, Body=do(die=True))
        assert [client.invoke_endpoint(EndpointName="one", Body=b"")["InvokedProductionVariant"] for _ in range(8)] == ["AllTraffic"] * 8
