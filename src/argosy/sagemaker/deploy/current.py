"""What is deployed, read back as the wish that would deploy it again: an update starts from that and changes what it is told to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy import hosting, names
from argosy.sagemaker.deploy.aws import Aws
from argosy.sagemaker.deploy.scaling import find_scaling
from argosy.sagemaker.deploy.spec import Asynchronous, Capture, Scaling, Serverless, Spec, Variant
from argosy.sagemaker.deploy.storage import bucket_tags, split_url


def current_spec(aws: Aws, name: str) -> Spec:
    """The deployment of that name as it is. Raises `ArgosyError` MODEL_NOT_FOUND if there is no endpoint of it, CONFLICT for somebody else's."""
    endpoint = hosting.find_endpoint(aws, name)
    if endpoint is None:
        raise ArgosyError(ErrorCode.MODEL_NOT_FOUND, f"There is no endpoint {name} in {aws.region}: deploy it first.")
    if not hosting.is_own(aws, name, hosting.endpoint_arn(aws, name)):
        raise ArgosyError(ErrorCode.CONFLICT, f"There is an endpoint {name} that this deployment did not make: it cannot be read back as one.")
    config = aws.call("sagemaker", "describe_endpoint_config", EndpointConfigName=endpoint.config)
    model = aws.call("sagemaker", "describe_model", ModelName=config["ProductionVariants"][0]["ModelName"])
    bucket = split_url(model["PrimaryContainer"]["ModelDataUrl"])[0]
    tags = {key: value for key, value in bucket_tags(aws, bucket).items() if key != names.TAG}
    return spec_of(aws, name, config, model, tags, scaling_of(aws, name))


def spec_of(aws: Aws, name: str, config: Mapping[str, Any], model: Mapping[str, Any], tags: Mapping[str, str], scaling: Scaling | None) -> Spec:
    """The wish behind a configuration and its model."""
    container = model["PrimaryContainer"]
    first = config["ProductionVariants"][0]
    bucket = split_url(container["ModelDataUrl"])[0]
    own_role = f"arn:{aws.partition}:iam::{aws.account}:role/{names.role_of(name, aws.region)}"
    return Spec(
        name, model=container["ModelDataUrl"], image=container["Image"],
        bucket=None if bucket == names.bucket_of(name, aws.account, aws.region) else bucket,
        role=None if model["ExecutionRoleArn"] == own_role else model["ExecutionRoleArn"], kms_key=config.get("KmsKeyId"),
        variants=tuple(_variant(variant) for variant in config["ProductionVariants"]), asynchronous=_asynchronous(config), capture=_capture(config),
        scaling=scaling, environment=container.get("Environment", {}), tags=tags,
        startup_timeout_s=first.get("ContainerStartupHealthCheckTimeoutInSeconds"),
        download_timeout_s=first.get("ModelDataDownloadTimeoutInSeconds"),
    )  # fmt: skip


def _variant(found: Mapping[str, Any]) -> Variant:
    name, weight = found["VariantName"], float(found.get("InitialVariantWeight", 1.0))
    if capacity := found.get("ServerlessConfig"):
        return Variant(name, weight=weight, serverless=Serverless(capacity["MemorySizeInMB"], capacity["MaxConcurrency"]))
    return Variant(name, found["InstanceType"], found["InitialInstanceCount"], weight)


def _asynchronous(config: Mapping[str, Any]) -> Asynchronous | None:
    found = config.get("AsyncInferenceConfig")
    if not found:
        return None
    return Asynchronous(found["OutputConfig"]["S3OutputPath"], found.get("ClientConfig", {}).get("MaxConcurrentInvocationsPerInstance"))


def _capture(config: Mapping[str, Any]) -> Capture | None:
    found = config.get("DataCaptureConfig")
    return Capture(found["InitialSamplingPercentage"], found["DestinationS3Uri"]) if found and found.get("EnableCapture") else None


def scaling_of(aws: Aws, name: str) -> Scaling | None:
    """How the first variant scales, None if it does not."""
    seen = find_scaling(aws, name)
    for resource, (minimum, maximum) in seen.limits.items():
        policy = seen.policies.get(resource, {})
        return Scaling(minimum, maximum, policy.get("TargetValue", 100.0), policy.get("ScaleInCooldown", 300), policy.get("ScaleOutCooldown", 60))
    return None
