"""Asynchronous invocations by boto3, with S3 of a moto server and with a folder in place of S3."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from argosy.sagemaker.local import AsyncSettings, ContainerSettings, EndpointSettings, Limits, LocalEndpoint, RuntimeSettings, VariantSettings, Watch
from argosy.testing.server import wait_for
from fakes import sagemaker_container
from fakes.sagemaker_container import do

ClientError: Any = importlib.import_module("botocore.exceptions").ClientError
CONTAINER = ContainerSettings(command=(sys.executable, sagemaker_container.__file__, "{port}"))
VARIANT = VariantSettings(containers=(CONTAINER,), startup_timeout_s=30)
WATCH = Watch(start_ping_every_s=0.02, stop_s=5)
PLACES = AsyncSettings("s3://bucket/answers", "s3://bucket/failures", max_concurrent=2)


def settings(queue: AsyncSettings | None = PLACES, **more: Any) -> RuntimeSettings:
    """One endpoint, `later`."""
    return RuntimeSettings((EndpointSettings("later", (VARIANT,), queue=queue),), **{"watch": WATCH, **more})


@contextmanager
def connected(running: LocalEndpoint) -> Iterator[Any]:
    """A client of the endpoint."""
    with closing(running.client()) as client:
        yield client


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """The address of a moto server."""
    server = importlib.import_module("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, moto: str) -> None:
    """The configuration of boto3: keys that mean nothing, and the server of the test."""
    for name, value in {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL_S3": moto}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)


@pytest.fixture
def s3(keys: None) -> Iterator[Any]:
    """A client of S3 with the bucket `bucket`."""
    with closing(importlib.import_module("boto3").session.Session(region_name="us-east-1").client("s3")) as client:
        client.create_bucket(Bucket="bucket")
        yield client


def text_of(s3: Any, location: str) -> Callable[[], bytes]:
    """Reads an object of `bucket`; nothing as long as it is not there."""

    def read() -> bytes:
        try:
            found: bytes = s3.get_object(Bucket="bucket", Key=location.removeprefix("s3://bucket/"))["Body"].read()
        except ClientError:
            return b""
        return found

    return read


def test_from_s3_to_s3(s3: Any) -> None:
    """202 at once with the places; the container sees an ordinary invocation, and the answer becomes an object with its type."""
    s3.put_object(Bucket="bucket", Key="in/1.csv", Body=b"1,2")
    with LocalEndpoint(settings()) as running, connected(running) as client:
        found = client.invoke_endpoint_async(
            EndpointName="later", InputLocation="s3://bucket/in/1.csv", ContentType="text/csv", Accept="application/json", CustomAttributes="c",
            InferenceId="mine")
        assert found["ResponseMetadata"]["HTTPStatusCode"] == 202
        assert found["InferenceId"] == "mine"
        assert found["FailureLocation"].startswith("s3://bucket/failures/")
        seen = json.loads(wait_for(text_of(s3, found["OutputLocation"]), "the answer"))
    assert (seen["path"], seen["body"]) == ("/invocations", "1,2")
    assert (seen["headers"]["Content-Type"], seen["headers"]["Accept"]) == ("text/csv", "application/json")
    assert seen["headers"]["X-Amzn-SageMaker-Inference-Id"] == "mine"
    kind = s3.head_object(Bucket="bucket", Key=found["OutputLocation"].removeprefix("s3://bucket/"))["ContentType"]
    assert kind == "application/json"


def test_large_inputs_and_answers(s3: Any) -> None:
    """Far beyond what a direct invocation may have."""
    s3.put_object(Bucket="bucket", Key="in/large", Body=do(body="0123456789abcdef", times=1 << 19, padding="x" * 7_000_000))
    with LocalEndpoint(settings()) as running, connected(running) as client:
        found = client.invoke_endpoint_async(EndpointName="later", InputLocation="s3://bucket/in/large")
        assert len(wait_for(text_of(s3, found["OutputLocation"]), "the answer")) == 8 << 20


def test_an_input_that_is_not_there_is_told_in_the_failure_object(s3: Any) -> None:
    """With its name."""
    with LocalEndpoint(settings()) as running, connected(running) as client:
        found = client.invoke_endpoint_async(EndpointName="later", InputLocation="s3://bucket/in/none")
        failure = json.loads(wait_for(text_of(s3, found["FailureLocation"]), "the failure"))
    assert failure["Message"] == "There is no object at s3://bucket/in/none."


# -- without S3 --------------------------------------------------------------------------------------------------------


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A folder that stands for S3."""
    folder = tmp_path / "storage"
    (folder / "bucket" / "in").mkdir(parents=True)
    return folder


def place(storage: Path, location: str) -> Path:
    """The file of an object."""
    return storage / location.removeprefix("s3://")


def test_a_folder_stands_for_s3(storage: Path) -> None:
    """And the body may be inline; file name and folder of the answer are the client's to choose."""
    with LocalEndpoint(settings(storage=str(storage))) as running, connected(running) as client:
        found = client.invoke_endpoint_async(EndpointName="later", Body=do(body="hi"), Filename="mine.txt", S3OutputPathExtension="today/")
        assert found["OutputLocation"] == "s3://bucket/answers/today/mine.txt"
        assert uuid.UUID(found["InferenceId"])
        wait_for(lambda: place(storage, found["OutputLocation"]).exists(), "the answer")
    assert place(storage, found["OutputLocation"]).read_bytes() == b"hi"


def test_a_failure_of_the_model_is_kept(storage: Path) -> None:
    """As JSON, with its status; and there is no answer."""
    with LocalEndpoint(settings(storage=str(storage))) as running, connected(running) as client:
        found = client.invoke_endpoint_async(EndpointName="later", Body=do(status=500, body="no"))
        wait_for(lambda: place(storage, found["FailureLocation"]).exists(), "the failure")
    assert json.loads(place(storage, found["FailureLocation"]).read_bytes())["OriginalStatusCode"] == 500
    assert not place(storage, found["OutputLocation"]).exists()


def test_an_invocation_that_takes_too_long_fails(storage: Path) -> None:
    """By the client's own limit; a broken one as well."""
    with LocalEndpoint(settings(storage=str(storage))) as running, connected(running) as client:
        slow = client.invoke_endpoint_async(EndpointName="later", Body=do(hang=True), InvocationTimeoutSeconds=1)
        broken = client.invoke_endpoint_async(EndpointName="later", Body=do(body="half", breaks=True))
        for found, word in ((slow, "timed out"), (broken, "closed")):
            wait_for(lambda found=found: place(storage, found["FailureLocation"]).exists(), "the failure")  # type: ignore[misc]  # mypy infers no defaults
            assert word in json.loads(place(storage, found["FailureLocation"]).read_bytes())["Message"]


def test_what_is_too_large_fails(storage: Path) -> None:
    """An input is told by its size before it is fetched, an answer when it has become too long; nothing of either is kept."""
    (storage / "bucket").mkdir(parents=True, exist_ok=True)
    (storage / "bucket" / "large").write_bytes(b"x" * 1001)
    with LocalEndpoint(settings(storage=str(storage), limits=Limits(async_bytes=1000))) as running, connected(running) as client:
        for arguments, words in (
            ({"InputLocation": "s3://bucket/large"}, "has 1001 bytes; at most 1000"), ({"Body": do(body="x", times=1001)}, "1000"),
            ({"Body": do(chunks=["x" * 600, "x" * 600])}, "1000"),
        ):  # fmt: skip
            found = client.invoke_endpoint_async(EndpointName="later", **arguments)
            failure = place(storage, found["FailureLocation"])
            wait_for(failure.exists, "the failure")
            assert words in failure.read_text()
            assert not place(storage, found["OutputLocation"]).exists()
        found = client.invoke_endpoint_async(EndpointName="later", Body=do(body="x", times=1000))
        wait_for(lambda: place(storage, found["OutputLocation"]).exists(), "the answer")


def test_storage_that_takes_nothing_stops_nobody(storage: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When not even the failure can be written the log has it, and the next request is served."""
    (storage / "broken").parent.mkdir(parents=True, exist_ok=True)
    (storage / "broken").write_text("a file where a bucket should be")
    places = AsyncSettings("s3://broken/answers", "s3://broken/failures", max_concurrent=1)
    with LocalEndpoint(settings(places, storage=str(storage))) as running, connected(running) as client:
        for _ in range(2):
            found = client.invoke_endpoint_async(EndpointName="later", Body=do(body="x"))
            lost = f"the failure of asynchronous invocation {found['InferenceId']} could not be written"
            wait_for(lambda lost=lost: lost in caplog.text, "the log")  # type: ignore[misc]  # mypy infers no defaults


def test_only_so_many_run_at_once_and_none_is_lost_at_the_end(storage: Path) -> None:
    """Two hang, the third waits; when the endpoint stops, each of them gets its failure object."""
    with LocalEndpoint(settings(storage=str(storage))) as running, connected(running) as client:
        taken = [client.invoke_endpoint_async(EndpointName="later", Body=do(hang=True, body=str(number))) for number in range(3)]
        (log,) = running.logs.rglob("*.log")
        wait_for(lambda: log.read_text().count("asked to hang") == 2, "two invocations")
    assert {json.loads(place(storage, found["FailureLocation"]).read_bytes())["Message"] for found in taken} == {
        "The endpoint was stopped before the request was served."}
    assert not (storage / "bucket" / "answers").exists()


def test_a_request_that_waited_too_long_is_not_served(storage: Path) -> None:
    """Its time to live passes while it waits."""
    limits = Limits(async_ttl_s=0.0)
    with LocalEndpoint(settings(storage=str(storage), limits=limits)) as running, connected(running) as client:
        found = client.invoke_endpoint_async(EndpointName="later", Body=b"x")
        wait_for(lambda: place(storage, found["FailureLocation"]).exists(), "the failure")
    assert "expired" in json.loads(place(storage, found["FailureLocation"]).read_bytes())["Message"]


def test_what_cannot_be_served_is_refused_at_once(storage: Path) -> None:
    """With 400, and 413 for a body that is too large; and each kind of endpoint has its own operation."""
    with LocalEndpoint(settings(storage=str(storage))) as running, connected(running) as client:
        for arguments, words in (
            ({}, "Exactly one"), ({"Body": b"x", "InputLocation": "s3://b/k"}, "Exactly one"), ({"InputLocation": "s3://bucket"}, "no address"),
            ({"InputLocation": "s3://bucket/../x"}, "no address"), ({"Body": b"x" * 128_001}, "128000"),
            ({"Body": b"x", "S3OutputPathExtension": "../.."}, "no address"),
        ):  # fmt: skip
            with pytest.raises(client.exceptions.ValidationError, match=words):
                client.invoke_endpoint_async(**{"EndpointName": "later", **arguments})
        with pytest.raises(client.exceptions.ValidationError, match="is asynchronous"):
            client.invoke_endpoint(EndpointName="later", Body=b"x")
    with LocalEndpoint(settings(None)) as running, connected(running) as client, pytest.raises(ClientError, match="is not asynchronous"):
        client.invoke_endpoint_async(EndpointName="later", Body=b"x")


def test_models_come_from_s3(s3: Any, tmp_path: Path) -> None:
    """The archive is fetched and unpacked before the container starts; one that is not there is told by name."""
    tarfile = importlib.import_module("tarfile")
    (tmp_path / "weights.txt").write_text("w")
    with tarfile.open(tmp_path / "m.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "weights.txt", "weights.txt")
    s3.upload_file(str(tmp_path / "m.tar.gz"), "bucket", "m.tar.gz")
    listing = dataclasses.replace(CONTAINER, model_data="s3://bucket/m.tar.gz", command=(*CONTAINER.command, "2", "{model}"))
    endpoint = EndpointSettings("one", (dataclasses.replace(VARIANT, containers=(listing,)),))
    with LocalEndpoint(RuntimeSettings((endpoint,), watch=WATCH)) as running:
        (log,) = running.logs.rglob("*.log")
        assert "model folder ['weights.txt']" in log.read_text()
    missing = dataclasses.replace(listing, model_data="s3://bucket/none.tar.gz")
    endpoint = EndpointSettings("one", (dataclasses.replace(VARIANT, containers=(missing,)),))
    with pytest.raises(Exception, match=r"no object at s3://bucket/none\.tar\.gz"), LocalEndpoint(RuntimeSettings((endpoint,), watch=WATCH)):
        pass
