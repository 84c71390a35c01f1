"""The SageMaker Python SDK in local mode, unchanged, through a `docker` command: an endpoint and a batch transform of our server.

`ARGOSY_SAGEMAKER_SDK` names the python of an environment with sagemaker-core 2.27.0.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fakes import docker_shim, images
from fakes.endpoint_container import free_port, manifest

SDK = os.environ.get("ARGOSY_SAGEMAKER_SDK", "")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not SDK, reason="ARGOSY_SAGEMAKER_SDK does not name the python of an environment with the SDK")]

HANDLER = '''
from argosy import invocations

def handle(data, context):
    if data is None:
        return None
    kind = invocations.header(context, "Content-Type")
    if kind == "text/csv":
        records = invocations.read_records(data[0]["body"], kind)
        return [invocations.write_records([[len(record)] for record in records], kind)]
    if data[0]["body"] == "refuse":
        invocations.set_custom_attributes(context, "refused")
        raise ValueError("as told")
    attributes = invocations.header(context, "X-Amzn-SageMaker-Custom-Attributes")
    accept = invocations.header(context, "Accept")
    return ["Prediction : %s %s %s" % (data[0]["body"], attributes, accept)]
'''
CLIENT = '''
import json, sys
import boto3
from sagemaker.core.local.local_session import LocalSession

what = json.loads(sys.argv[1])
opt_out = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
session = LocalSession(boto3.Session(region_name="us-east-1"), sagemaker_config=opt_out)
session.config = {"local": {"serving_port": what["port"], "container_root": what["root"], "local_code": True}}
client, runtime, said = session.sagemaker_client, session.sagemaker_runtime_client, {}
container = {"Image": what["image"], "ModelDataUrl": "file://" + what["archive"], "Environment": what["env"]}
client.create_model("model", container)

variant = {"VariantName": "AllTraffic", "ModelName": "model", "InitialInstanceCount": 1, "InstanceType": "local"}
client.create_endpoint_config("config", [variant])
client.create_endpoint("endpoint", "config")
said["status"] = client.describe_endpoint("endpoint")["EndpointStatus"]
try:
    answer = runtime.invoke_endpoint("great", "endpoint", "text/plain", "text/x", CustomAttributes="trace=1", InferenceId="i")
    said["body"], said["type"] = answer["Body"].read().decode(), answer["ContentType"]
    failed = runtime.invoke_endpoint("refuse", "endpoint", "text/plain")
    said["failed"] = [failed["ResponseMetadata"]["HTTPStatusCode"], failed["Body"].read().decode()]
finally:
    client.delete_endpoint("endpoint")

source = {"DataSource": {"S3DataSource": {"S3Uri": "file://" + what["input"]}}, "ContentType": "text/csv", "SplitType": "Line"}
for strategy in ("MultiRecord", "SingleRecord"):
    target = {"S3OutputPath": "file://" + what["output"] + "/" + strategy, "Accept": "text/csv", "AssembleWith": "Line"}
    resources = {"InstanceType": "local", "InstanceCount": 1}
    client.create_transform_job(strategy, "model", source, target, resources, BatchStrategy=strategy)
    said[strategy] = client.describe_transform_job(strategy)["TransformJobStatus"]
print("said:" + json.dumps(said))
'''


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A model as the archiver packs it for SageMaker. The SDK unpacks it in place, so that it lies beside its files in the model's folder."""
    source = tmp_path / "source" / "sentiment"
    (source / "MAR-INF").mkdir(parents=True)
    (source / "MAR-INF" / "MANIFEST.json").write_text(manifest("sentiment"))
    (source / "service.py").write_text(HANDLER)
    (tmp_path / "data").mkdir()
    with tarfile.open(tmp_path / "data" / "sentiment.tar.gz", "w:gz") as tar:
        tar.add(source, "sentiment")
    return tmp_path / "data" / "sentiment.tar.gz"


@pytest.fixture(params=["process", "image"])
def docker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment whose `docker` runs our server as a process, or our image by podman."""
    name = f"argosy-test-sdk-{os.getpid()}"
    if request.param == "image" and (reason := images.why_not()):
        pytest.skip(reason)
    command = tmp_path / "bin" / "docker"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\nexec {SDK} {docker_shim.__file__} \"$@\"\n")
    command.chmod(0o755)
    base = dict(os.environ) if request.param == "process" else images.environment()
    more = {"ARGOSY_SHIM_PYTHON": sys.executable} if request.param == "process" else {"ARGOSY_SHIM_NAME": name}
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_EC2_METADATA_DISABLED": "true"}
    yield {**base, **keys, **more, "PATH": f"{command.parent}:{base['PATH']}", "HOME": str(tmp_path)}
    if request.param == "image":
        images.podman("rm", "--force", "--ignore", "--time", "0", name)


def run(env: Mapping[str, str], tmp_path: Path, archive: Path) -> dict[str, Any]:
    """What the SDK was told by an endpoint, and by batch transforms of two files."""
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "a.csv").write_text("".join(f"{'x,' * number}x\n" for number in range(5)))
    (tmp_path / "input" / "b.csv").write_text("only\n")
    for folder in ("root", "output/MultiRecord", "output/SingleRecord"):
        (tmp_path / folder).mkdir(parents=True)
    wish = {
        "port": free_port(), "root": str(tmp_path / "root"), "image": images.BASE, "archive": str(archive), "input": str(tmp_path / "input"),
        "output": str(tmp_path / "output"), "env": {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"},
    }  # fmt: skip
    (tmp_path / "client.py").write_text(CLIENT)
    done = subprocess.run(
        [SDK, tmp_path / "client.py", json.dumps(wish)], env=env, capture_output=True, text=True, check=False, timeout=240, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("said:")]
    said: dict[str, Any] = json.loads(line.removeprefix("said:"))
    return said


def test_an_endpoint_and_batch_transforms(docker: dict[str, str], tmp_path: Path, archive: Path) -> None:
    """In service, answers with type and attributes, failures with their status; and one result a record, in order, however they are grouped."""
    said = run(docker, tmp_path, archive)
    assert (said["status"], said["body"]) == ("InService", "Prediction : great trace=1 text/x")
    status, text = said["failed"]
    assert (status, "as told" in text) == (503, False)
    for strategy in ("MultiRecord", "SingleRecord"):
        assert said[strategy] == "Completed"
        results = {path.name: path.read_text().split() for path in (tmp_path / "output" / strategy).rglob("*.out")}
        assert results == {"a.csv.out": ["1", "2", "3", "4", "5"], "b.csv.out": ["1"]}
