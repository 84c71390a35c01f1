"""What SageMaker is told follows from the wish, and from nothing else."""

from __future__ import annotations

from argosy.sagemaker.deploy import Asynchronous, Capture, Rollout, Serverless, Spec, Variant
from argosy.sagemaker.deploy.requests import config_request, model_request, rollout_request, written_places
from argosy.sagemaker.deploy.step import Draft

DRAFT = Draft(model_url="s3://b/m", image="i@sha256:1", role="arn:r")


def test_a_model() -> None:
    """Image, data, role; an environment only where there is one."""
    request = {"PrimaryContainer": {"Image": "i@sha256:1", "ModelDataUrl": "s3://b/m"}, "ExecutionRoleArn": "arn:r"}
    assert model_request(Spec("n"), DRAFT) == request
    request["PrimaryContainer"] = {"Image": "i@sha256:1", "ModelDataUrl": "s3://b/m", "Environment": {"A": "b"}}
    assert model_request(Spec("n", environment={"A": "b"}), DRAFT) == request


def test_instances() -> None:
    """Every variant with its size and weight, and the timeouts of all."""
    spec = Spec("n", variants=(Variant("a", "ml.c5.large", 2, 9.0), Variant("b")), startup_timeout_s=600, download_timeout_s=700, kms_key="k")
    shared = {"ModelName": "m", "ContainerStartupHealthCheckTimeoutInSeconds": 600, "ModelDataDownloadTimeoutInSeconds": 700}
    assert config_request(spec, "m", "bucket") == {
        "ProductionVariants": [
            {**shared, "VariantName": "a", "InitialVariantWeight": 9.0, "InstanceType": "ml.c5.large", "InitialInstanceCount": 2},
            {**shared, "VariantName": "b", "InitialVariantWeight": 1.0, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}],
        "KmsKeyId": "k"}  # fmt: skip


def test_serverless() -> None:
    """Memory and concurrency; what SageMaker refuses there (a key for disks, timeouts) is left out."""
    spec = Spec("n", variants=(Variant(serverless=Serverless(1024, 7)),), startup_timeout_s=600, kms_key="k")
    (variant,) = config_request(spec, "m", "bucket")["ProductionVariants"]
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": 1024, "MaxConcurrency": 7}
    assert "InstanceType" not in variant
    assert "ContainerStartupHealthCheckTimeoutInSeconds" not in variant
    assert "KmsKeyId" not in config_request(spec, "m", "bucket")


def test_queue_and_capture() -> None:
    """Both write to the deployment's folder, or where they are told to; the role learns of exactly these places."""
    config = config_request(Spec("n", asynchronous=Asynchronous(max_concurrency=3), capture=Capture(20)), "m", "bucket")
    assert config["AsyncInferenceConfig"] == {
        "OutputConfig": {"S3OutputPath": "s3://bucket/argosy/n/async-output", "S3FailurePath": "s3://bucket/argosy/n/async-output-failed"},
        "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 3}}  # fmt: skip
    assert config["DataCaptureConfig"]["InitialSamplingPercentage"] == 20
    assert written_places(config) == (
        "s3://bucket/argosy/n/async-output", "s3://bucket/argosy/n/async-output-failed", "s3://bucket/argosy/n/captured")  # fmt: skip
    other = config_request(Spec("n", asynchronous=Asynchronous("s3://x/y"), capture=Capture(1, "s3://z")), "m", "bucket")
    assert written_places(other) == ("s3://x/y", "s3://x/y-failed", "s3://z")
    assert written_places(config_request(Spec("n"), "m", "bucket")) == ()


def test_rollouts() -> None:
    """Blue/green in three ways; alarms make it go back."""
    assert rollout_request(Rollout()) == {
        "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 60}}}  # fmt: skip
    step = {"Type": "CAPACITY_PERCENT", "Value": 25}
    assert rollout_request(Rollout("linear", 25, 5, ("a", "b"))) == {
        "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "LINEAR", "WaitIntervalInSeconds": 5, "LinearStepSize": step}},
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "a"}, {"AlarmName": "b"}]}}  # fmt: skip
