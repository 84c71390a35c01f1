"""How a deployment is: its endpoint, what it is made of, and what costs money as long as it exists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from argosy.sagemaker.deploy.aws import Aws
from argosy.sagemaker.deploy.removal import Belongings, everything

ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class VariantStatus:
    """A variant as it runs. Instances are None for a serverless one."""

    name: str
    weight: float
    instances: int | None
    wanted: int | None
    capacity: str
    """The instance type, or the memory."""


@dataclass(frozen=True, slots=True)
class Status:
    """A deployment as it is. `endpoint` is SageMaker's word for it, or absent; `belongings` is everything that `delete` would remove."""

    name: str
    endpoint: str
    reason: str
    config: str
    image: str
    model_url: str
    variants: tuple[VariantStatus, ...]
    belongings: tuple[str, ...]

    @property
    def costs(self) -> tuple[str, ...]:
        """What is billed while it exists."""
        return tuple(_costs(self))


def _costs(status: Status) -> Iterator[str]:
    for variant in status.variants:
        if variant.instances is None:
            yield f"{variant.name}: serverless {variant.capacity}, billed by the request"
        else:
            yield f"{variant.name}: {variant.instances} × {variant.capacity}, billed by the second, used or not"
    if any(text.startswith(("image repository", "bucket")) or " below s3://" in text for text in status.belongings):
        yield "what lies in S3 and ECR, billed by the gigabyte and month"


def read_status(aws: Aws, name: str, belongings: Belongings) -> Status:
    """The status of that deployment. Raises `ArgosyError`."""
    found = aws.find("sagemaker", "describe_endpoint", EndpointName=name) or {}
    config = aws.find("sagemaker", "describe_endpoint_config", EndpointConfigName=found["EndpointConfigName"]) if found else None
    wished = {} if config is None else {variant["VariantName"]: variant for variant in config["ProductionVariants"]}
    first = next(iter(wished.values()), None)
    model = {} if first is None else aws.find("sagemaker", "describe_model", ModelName=first["ModelName"]) or {}
    container = model.get("PrimaryContainer", {})
    owned = [doomed.text for step in everything(belongings, name, keep_data=False) for doomed in step.observe()]
    running = {variant["VariantName"]: variant for variant in found.get("ProductionVariants", [])}
    return Status(
        name, str(found.get("EndpointStatus", ABSENT)), str(found.get("FailureReason", "")), str(found.get("EndpointConfigName", "")),
        str(container.get("Image", "")), str(container.get("ModelDataUrl", "")),
        tuple(_variant(variant, running.get(label, {})) for label, variant in wished.items()), tuple(owned))  # fmt: skip


def _variant(wished: dict[str, Any], running: dict[str, Any]) -> VariantStatus:
    weight = float(running.get("CurrentWeight", wished.get("InitialVariantWeight", 1.0)))
    if capacity := wished.get("ServerlessConfig"):
        return VariantStatus(wished["VariantName"], weight, None, None, f"{capacity['MemorySizeInMB']} MB")
    count = int(wished["InitialInstanceCount"])
    return VariantStatus(
        wished["VariantName"], weight, int(running.get("CurrentInstanceCount", count)), int(running.get("DesiredInstanceCount", count)),
        str(wished["InstanceType"]))  # fmt: skip
