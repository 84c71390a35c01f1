"""What is deployed is read back as the wish that would deploy it again."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy import Aws, Spec
from argosy.sagemaker.deploy.current import current_spec, scaling_of, spec_of
from argosy.sagemaker.deploy.names import TAG, bucket_of
from argosy.sagemaker.deploy.requests import config_request, model_request
from argosy.sagemaker.deploy.spec import Asynchronous, Capture, Scaling, Serverless, Variant
from argosy.sagemaker.deploy.step import Draft
from fakes.scripted_aws import ACCOUNT, Script, refusal

BUCKET = bucket_of("n", ACCOUNT, "us-east-1")
OURS = [{"Key": TAG, "Value": "n"}]
OWN_ROLE = f"arn:aws:iam::{ACCOUNT}:role/argosy-us-east-1-n"
IMAGE = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/argosy/n@sha256:0"


def answers(spec: Spec, bucket: str = BUCKET, role: str = OWN_ROLE) -> dict[str, Any]:
    """What AWS says of a deployment that this spec made."""
    draft = Draft(f"s3://{bucket}/argosy/n/models/x/m.tar.gz", IMAGE, role, "n-0123456789ab", "n-ba9876543210")
    return {
        "describe_endpoint": {"EndpointStatus": "InService", "EndpointConfigName": draft.config}, "list_tags": {"Tags": OURS},
        "describe_endpoint_config": config_request(spec, draft.model, bucket), "describe_model": model_request(spec, draft),
        "get_bucket_tagging": {"TagSet": [*OURS, *({"Key": key, "Value": value} for key, value in spec.tags.items())]},
    }  # fmt: skip


def read_back(spec: Spec, **where: str) -> Spec:
    """The spec that is read from what it made."""
    return current_spec(Script(answers(spec, **where)).aws, "n")


def test_no_endpoint_is_told_as_such() -> None:
    """With the region, for it may be in another one."""
    with pytest.raises(ArgosyError, match="There is no endpoint n in us-east-1: deploy it first") as caught:
        current_spec(Script().aws, "n")
    assert caught.value.code is ErrorCode.MODEL_NOT_FOUND


@pytest.mark.parametrize("tags", [[], [{"Key": TAG, "Value": "m"}]])
def test_the_endpoint_of_somebody_else_is_not_read(tags: list[dict[str, str]]) -> None:
    """It may have parts that no spec has: an update would take them away."""
    script = Script({**answers(Spec("n")), "list_tags": {"Tags": tags}, "describe_model": {"Containers": []}})
    with pytest.raises(ArgosyError, match="an endpoint n that this deployment did not make") as caught:
        current_spec(script.aws, "n")
    assert caught.value.code is ErrorCode.CONFLICT


def test_what_may_not_be_read_is_told() -> None:
    """By the call that was refused."""
    with pytest.raises(ArgosyError, match="sagemaker:describe_model failed"):
        current_spec(Script({**answers(Spec("n")), "describe_model": refusal("AccessDeniedException")}).aws, "n")


def test_its_own_bucket_and_role_are_not_wishes() -> None:
    """They follow from the name; what was given is a wish."""
    own = read_back(Spec("n"))
    assert (own.bucket, own.role, own.image, own.model) == (None, None, IMAGE, f"s3://{BUCKET}/argosy/n/models/x/m.tar.gz")
    given = read_back(Spec("n"), bucket="given", role=f"arn:aws:iam::{ACCOUNT}:role/given")
    assert (given.bucket, given.role) == ("given", f"arn:aws:iam::{ACCOUNT}:role/given")


@pytest.mark.parametrize("spec", [
    Spec("n", variants=(Variant("a", "ml.m5.large", 2, 3.0), Variant("b", "ml.c5.large", 1, 1.0))),
    Spec("n", variants=(Variant("a", serverless=Serverless(2048, 7)),)),
    Spec("n", asynchronous=Asynchronous("s3://b/answers", 3)),
    Spec("n", asynchronous=Asynchronous("s3://b/answers")),
    Spec("n", capture=Capture(25, "s3://b/captured")),
    Spec("n", environment={"A": "1"}, tags={"team": "x"}, kms_key="arn:aws:kms:us-east-1:1:key/k", startup_timeout_s=600, download_timeout_s=900),
])  # fmt: skip
def test_every_wish_is_read_back(spec: Spec) -> None:
    """An update changes what it is told to and nothing else."""
    found = read_back(spec)
    for name in ("variants", "asynchronous", "capture", "environment", "tags", "kms_key", "startup_timeout_s", "download_timeout_s"):
        assert getattr(found, name) == getattr(spec, name), name


def test_capture_that_is_switched_off_is_none() -> None:
    """Though its settings are still there."""
    script = answers(Spec("n", capture=Capture(25, "s3://b/captured")))
    script["describe_endpoint_config"]["DataCaptureConfig"]["EnableCapture"] = False
    assert current_spec(Script(script).aws, "n").capture is None


TARGETS = {"ScalableTargets": [{"ResourceId": "endpoint/other/variant/v", "MinCapacity": 9, "MaxCapacity": 9},
                               {"ResourceId": "endpoint/n/variant/v", "MinCapacity": 1, "MaxCapacity": 4}]}  # fmt: skip


@pytest.mark.parametrize(("policies", "expected"), [
    ([{"ResourceId": "endpoint/n/variant/v", "TargetTrackingScalingPolicyConfiguration": {
        "TargetValue": 70.0, "ScaleInCooldown": 1, "ScaleOutCooldown": 2}}], Scaling(1, 4, 70.0, 1, 2)),
    ([], Scaling(1, 4, 100.0, 300, 60)),
])  # fmt: skip
def test_scaling_is_that_of_its_own_variants(policies: list[dict[str, Any]], expected: Scaling) -> None:
    """Not of an endpoint whose name begins alike; without a policy it has AWS's own values."""
    assert scaling_of(Script({"describe_scalable_targets": TARGETS, "describe_scaling_policies": {"ScalingPolicies": policies}}).aws, "n") == expected


def test_what_does_not_scale_has_no_scaling() -> None:
    """Nor has an account without any."""
    assert scaling_of(Script().aws, "n") is None


def test_a_configuration_and_its_model_are_enough() -> None:
    """For whoever has them already; nothing is asked."""
    script, aws = answers(Spec("n")), Aws(Script(), ACCOUNT, "aws")
    found = spec_of(aws, "n", script["describe_endpoint_config"], script["describe_model"], {"team": "x"}, None)
    assert (found.name, found.tags, found.scaling) == ("n", {"team": "x"}, None)
