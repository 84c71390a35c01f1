"""How a deployment is told: what runs, what is wanted, and what costs money."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.sagemaker.deploy.names import TAG
from argosy.sagemaker.deploy.removal import Belongings
from argosy.sagemaker.deploy.status import ABSENT, Status, VariantStatus, read_status
from argosy.sagemaker.deploy.step import Silence
from fakes.scripted_aws import Script

MODEL = {"PrimaryContainer": {"Image": "repository:tag", "ModelDataUrl": "s3://b/argosy/n/models/m.tar.gz"}}


def status(**answers: Any) -> Status:
    """The status of a deployment on an AWS with these answers."""
    aws = Script({"list_tags": {"Tags": [{"Key": TAG, "Value": "n"}]}, **answers}).aws
    return read_status(aws, "n", Belongings(aws, "n", lambda seconds: None, Silence()))


def with_variants(*variants: dict[str, Any], running: list[dict[str, Any]] | None = None) -> Status:
    """The status of an endpoint with these variants in its configuration."""
    endpoint = {"EndpointStatus": "InService", "EndpointConfigName": "n-1", "ProductionVariants": running or []}
    return status(describe_endpoint=endpoint, describe_endpoint_config={"ProductionVariants": list(variants)}, describe_model=MODEL)


def variant(name: str, **more: Any) -> dict[str, Any]:
    """A variant of a configuration."""
    return {"VariantName": name, "ModelName": "n-1", **more}


def test_nothing_is_there() -> None:
    """An absent endpoint is a status, no failure, and costs nothing."""
    found = status()
    assert found == Status("n", ABSENT, "", "", "", "", (), ())
    assert found.costs == ()


def test_an_endpoint_whose_configuration_or_model_is_gone() -> None:
    """Its own words are told all the same."""
    found = status(describe_endpoint={"EndpointStatus": "Failed", "FailureReason": "no room", "EndpointConfigName": "n-1"})
    assert (found.endpoint, found.reason, found.config, found.variants) == ("Failed", "no room", "n-1", ())
    config = {"ProductionVariants": [variant("a", InitialInstanceCount=1, InstanceType="ml.m5.large")]}
    found = status(describe_endpoint={"EndpointStatus": "InService", "EndpointConfigName": "n-1"}, describe_endpoint_config=config)
    assert (found.image, found.model_url, [each.name for each in found.variants]) == ("", "", ["a"])


def test_what_runs_counts_before_what_was_wished() -> None:
    """Of weight and number of instances; where nothing runs yet the wish is told."""
    wished = variant("a", InitialInstanceCount=1, InitialVariantWeight=2.0, InstanceType="ml.m5.large")
    found = with_variants(wished, variant("b", InitialInstanceCount=4, InstanceType="ml.g5.xlarge"), running=[
        {"VariantName": "a", "CurrentWeight": 0.5, "CurrentInstanceCount": 3, "DesiredInstanceCount": 5}])  # fmt: skip
    assert found.variants == (VariantStatus("a", 0.5, 3, 5, "ml.m5.large"), VariantStatus("b", 1.0, 4, 4, "ml.g5.xlarge"))
    assert (found.image, found.model_url) == ("repository:tag", "s3://b/argosy/n/models/m.tar.gz")
    assert found.costs == (
        "a: 3 × ml.m5.large, billed by the second, used or not", "b: 4 × ml.g5.xlarge, billed by the second, used or not")  # fmt: skip


def test_a_serverless_variant_has_no_instances() -> None:
    """Its memory is its capacity, and only requests are billed."""
    found = with_variants(variant("s", ServerlessConfig={"MemorySizeInMB": 2048, "MaxConcurrency": 5}))
    assert found.variants == (VariantStatus("s", 1.0, None, None, "2048 MB"),)
    assert found.costs == ("s: serverless 2048 MB, billed by the request",)


@pytest.mark.parametrize(("belongings", "is_billed"), [
    (("bucket b",), True), (("image repository argosy/n, with its images",), True), (("3 objects below s3://b/argosy/n/",), True),
    (("role r", "log group g", "model m", "endpoint configuration bucket"), False), ((), False),
])  # fmt: skip
def test_data_is_billed_although_nothing_runs(belongings: tuple[str, ...], is_billed: bool) -> None:
    """Whoever has deleted the endpoint alone is told what is left."""
    found = Status("n", ABSENT, "", "", "", "", (), belongings)
    assert found.costs == (("what lies in S3 and ECR, billed by the gigabyte and month",) if is_billed else ())
