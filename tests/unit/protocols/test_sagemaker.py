"""The endpoints for containers of Amazon SageMaker."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from argosy.plugins import Context, Model, Request, Response, Worker
from argosy.protocols.custom import read_endpoint
from argosy.protocols.sagemaker import ExecutionParameters, SageMakerPing

REQUEST = Request("GET", "/", {}, {}, b"", "id")


def model(name: str, batch_size: int, *running: bool, concurrency: int = 1) -> Model:
    """A model with these workers."""
    workers = tuple(Worker(1, is_running, lambda _: 0) for is_running in running)
    return Model(name, f"{name}.mar", "service:handle", batch_size, workers, concurrency)


def context(*models: Model, size: int = 6553500, handler: str = "", transforms: int = 0, strategy: str = "multi_record") -> Context:
    """A server with these models."""
    config = {
        "max_request_size": str(size), "default_service_handler": handler, "max_concurrent_transforms": str(transforms), "batch_strategy": strategy}
    return Context(config, {one.name: one for one in models})


@pytest.mark.parametrize(("models", "size", "transforms", "payload_mb"), [
    ((), 6553500, 1, 6),
    ((model("a", 1, True, True, False),), 6 * 2**20, 2, 6),
    ((model("a", 4, True, True), model("b", 1, True)), 2**20 - 1, 9, 1),
    ((model("a", 1, False),), 2**30, 1, 100),
    ((model("a", 1, True, True, False, concurrency=64), model("b", 3, True)), 6 * 2**20, 131, 6),
])
def test_batch_transform_learns_what_the_server_takes(models: tuple[Model, ...], size: int, transforms: int, payload_mb: int) -> None:
    """What loaded workers take at once, and whole megabytes that fit: 0 would mean no limit, and beyond 100 SageMaker refuses the job."""
    reply = ExecutionParameters().get(REQUEST, context(*models, size=size))
    assert json.loads(reply.body) == {"MaxConcurrentTransforms": transforms, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": payload_mb}
    assert reply.content_type == "application/json"


def test_the_operator_may_say_how_many_and_how_large() -> None:
    """The settings win over what was counted."""
    reply = ExecutionParameters().get(REQUEST, context(model("a", 1, True), transforms=7, strategy="single_record"))
    assert json.loads(reply.body) == {"MaxConcurrentTransforms": 7, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 6}


def ping(endpoint: SageMakerPing, asked: Context) -> Response:
    """Its answer."""
    return asyncio.run(_ping(endpoint, asked))


async def _ping(endpoint: SageMakerPing, asked: Context) -> Response:
    return await endpoint.get(REQUEST, asked)


def test_health_begins_with_the_first_worker_and_stays() -> None:
    """503 while models load, in the words of old; 200 from then on, also when workers restart."""
    endpoint = SageMakerPing({})
    for waiting in (context(), context(model("a", 1, False))):
        reply = ping(endpoint, waiting)
        assert (reply.status, reply.reason, reply.body) == (503, "Model loading...", "Models are not loaded")
    for ready in (context(model("a", 1, False), model("b", 1, False, True)), context(model("a", 1, False))):
        reply = ping(endpoint, ready)
        assert (reply.status, reply.reason, reply.body) == (200, None, '{\n\t"Status": "Healthy"\n}\n')


@pytest.mark.parametrize("environ", [{"SAGEMAKER_MULTI_MODE": "true"}, {"SAGEMAKER_MULTI_MODEL": "True"}, {"SAGEMAKER_MULTI_MODE": "1"}])
@pytest.mark.parametrize(("handler", "status"), [
    ("{folder}/service.py:handle", 200), ("{folder}/service:handle", 200), ("{folder}/service", 200), ("{folder}/other.py:handle", 503),
    ("package.module:handle", 200), ("", 200), ("other.py", 503),
])
def test_a_multi_model_container_needs_its_service_file(tmp_path: Path, environ: dict[str, str], handler: str, status: int) -> None:
    """Models come later, so that only the file of the default handler counts, if there is such a file."""
    (tmp_path / "service.py").touch()
    reply = ping(SageMakerPing(environ), context(handler=handler.format(folder=tmp_path)))
    assert reply.status == status
    if status == 503:
        assert (reply.reason, reply.body) == ("Service file unavailable",) * 2


@pytest.mark.parametrize("environ", [{"SAGEMAKER_MULTI_MODE": "false"}, {"SAGEMAKER_MULTI_MODEL": "False"}, {"SAGEMAKER_MULTI_MODEL": ""}])
def test_a_container_that_is_not_multi_model_says_so(environ: dict[str, str]) -> None:
    """In any letter case."""
    assert ping(SageMakerPing(environ), context(handler="/nowhere.py:handle")).body == "Models are not loaded"


def test_both_are_endpoints() -> None:
    """Of the inference listener, under the names of old."""
    found = [read_endpoint(one, "") for one in (ExecutionParameters, SageMakerPing)]
    assert [(one.pattern, one.listener, sorted(one.methods)) for one in found] == [
        ("execution-parameters", "inference", ["GET", "HEAD"]), ("ping", "inference", ["GET", "HEAD"]),
    ]  # fmt: skip
