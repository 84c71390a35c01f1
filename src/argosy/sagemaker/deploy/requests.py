"""What SageMaker is told, made from a wish by plain functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from argosy.sagemaker.deploy import names
from argosy.sagemaker.deploy.spec import Asynchronous, Capture, Rollout, Spec, Variant
from argosy.sagemaker.deploy.step import Draft

_ASYNC_FOLDER = "async-output"
_CAPTURE_FOLDER = "captured"


def model_request(spec: Spec, draft: Draft) -> dict[str, Any]:
    """What `create_model` gets, but for name and tags; the name is made from this."""
    container = {"Image": draft.image, "ModelDataUrl": draft.model_url, **({"Environment": dict(spec.environment)} if spec.environment else {})}
    return {"PrimaryContainer": container, "ExecutionRoleArn": draft.role}


def config_request(spec: Spec, model: str, bucket: str) -> dict[str, Any]:
    """What `create_endpoint_config` gets, but for name and tags; the name is made from this. `bucket` is where answers go unless said."""
    request: dict[str, Any] = {"ProductionVariants": [variant_request(spec, variant, model) for variant in spec.variants]}
    if spec.asynchronous is not None:
        request["AsyncInferenceConfig"] = _asynchronous(spec.asynchronous, f"s3://{bucket}/{names.folder_of(spec.name)}{_ASYNC_FOLDER}")
    if spec.capture is not None:
        request["DataCaptureConfig"] = _capture(spec.capture, f"s3://{bucket}/{names.folder_of(spec.name)}{_CAPTURE_FOLDER}")
    if spec.kms_key and not any(variant.serverless for variant in spec.variants):
        request["KmsKeyId"] = spec.kms_key
    return request


def variant_request(spec: Spec, variant: Variant, model: str) -> dict[str, Any]:
    """One production variant."""
    shared: dict[str, Any] = {"VariantName": variant.name, "ModelName": model, "InitialVariantWeight": variant.weight}
    if variant.serverless is not None:
        return {**shared, "ServerlessConfig": {"MemorySizeInMB": variant.serverless.memory_mb, "MaxConcurrency": variant.serverless.max_concurrency}}
    if spec.startup_timeout_s is not None:
        shared["ContainerStartupHealthCheckTimeoutInSeconds"] = spec.startup_timeout_s
    if spec.download_timeout_s is not None:
        shared["ModelDataDownloadTimeoutInSeconds"] = spec.download_timeout_s
    return {**shared, "InstanceType": variant.instance_type, "InitialInstanceCount": variant.instance_count}


def _asynchronous(wish: Asynchronous, default: str) -> dict[str, Any]:
    output = wish.output or default
    limits = {} if wish.max_concurrency is None else {"ClientConfig": {"MaxConcurrentInvocationsPerInstance": wish.max_concurrency}}
    return {"OutputConfig": {"S3OutputPath": output, "S3FailurePath": f"{output}-failed"}, **limits}


def _capture(wish: Capture, default: str) -> dict[str, Any]:
    return {
        "EnableCapture": True, "InitialSamplingPercentage": wish.percent, "DestinationS3Uri": wish.destination or default,
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}]}  # fmt: skip


def written_places(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The s3:// folders that an endpoint with that configuration writes to."""
    output = config.get("AsyncInferenceConfig", {}).get("OutputConfig", {})
    found = (output.get("S3OutputPath"), output.get("S3FailurePath"), config.get("DataCaptureConfig", {}).get("DestinationS3Uri"))
    return tuple(place for place in found if place)


def rollout_request(rollout: Rollout) -> dict[str, Any]:
    """The `DeploymentConfig` of an update: blue/green, and back on an alarm."""
    step = {"Type": "CAPACITY_PERCENT", "Value": rollout.percent}
    routing: dict[str, Any] = {"Type": rollout.kind.upper().replace("-", "_"), "WaitIntervalInSeconds": rollout.wait_s}
    routing |= {"canary": {"CanarySize": step}, "linear": {"LinearStepSize": step}}.get(rollout.kind, {})
    request: dict[str, Any] = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}
    if rollout.alarms:
        request["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in rollout.alarms]}
    return request
