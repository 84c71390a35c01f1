"""What each step decides, given what there is: plain functions of a wish and a look."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy import Asynchronous, Aws, Rollout, Scaling, Spec, Variant
from argosy.sagemaker.deploy.alarms import Alarms
from argosy.sagemaker.deploy.aws import AwsError
from argosy.sagemaker.deploy.hosting import Endpoint, EndpointSeen, Service, Settlement
from argosy.sagemaker.deploy.names import TAG
from argosy.sagemaker.deploy.registry import Repository, RepositorySeen, is_remote
from argosy.sagemaker.deploy.role import Role, RoleSeen
from argosy.sagemaker.deploy.scaling import AutoScaling, ScalingSeen, tracking
from argosy.sagemaker.deploy.step import Draft, Silence
from argosy.sagemaker.deploy.storage import Bucket, BucketSeen, split_url

OURS = {TAG: "n"}


class Session:
    """What a decision knows of AWS: the region."""

    region_name = "us-east-1"


AWS = Aws(Session(), "123456789012", "aws")
OWN_BUCKET = "argosy-123456789012-us-east-1-n"


def verbs(step: Any, seen: object) -> list[str]:
    """What a step would do."""
    return [action.verb for action in step.decide(seen)]


@pytest.mark.parametrize(("seen", "expected"), [
    (BucketSeen(False, {}), ["create", "block", "encrypt"]),
    (BucketSeen(True, OURS, True, ""), []),
    (BucketSeen(True, OURS, False, ""), ["block"]),
    (BucketSeen(True, OURS, True, None), ["encrypt"]),
    (BucketSeen(True, OURS, True, "a-key"), ["encrypt"]),
    (BucketSeen(True, {}, False, None), ["tag", "block", "encrypt"]),
    (BucketSeen(True, {"team": "x"}), []),
    (BucketSeen(True, {TAG: "other"}), []),
])  # fmt: skip
def test_its_own_bucket(seen: BucketSeen, expected: list[str]) -> None:
    """One without any tag was half made and is finished; one with those of somebody else is left as it is."""
    assert verbs(Bucket(AWS, "n", None, OURS, None), seen) == expected


def test_a_given_bucket_without_tags() -> None:
    """It belongs to somebody."""
    assert verbs(Bucket(AWS, "n", "theirs", OURS, None), BucketSeen(True, {})) == []
    assert verbs(Bucket(AWS, "n", "theirs", OURS, "k"), BucketSeen(True, OURS, True, "k")) == []


@pytest.mark.parametrize(("seen", "expected"), [
    (None, ["create"]),
    (RepositorySeen("u", OURS, True, False), []),
    (RepositorySeen("u", OURS, False, True), ["scan", "mutability"]),
    (RepositorySeen("u", {}, False, True), []),
])  # fmt: skip
def test_a_repository(seen: RepositorySeen | None, expected: list[str]) -> None:
    """Only its own is changed."""
    assert verbs(Repository(AWS, "r", OURS, is_immutable=False, kms_key=None), seen) == expected


def test_a_role() -> None:
    """Its policy is made right; another's role is refused."""
    role = Role(AWS, Draft(), "n", OURS, {"Statement": []})
    assert verbs(role, None) == ["create", "grant"]
    assert verbs(role, RoleSeen(OURS, None)) == ["grant"]
    assert verbs(role, RoleSeen(OURS, {"Statement": [1]})) == ["grant"]
    assert verbs(role, RoleSeen(OURS, {"Statement": []})) == []
    with pytest.raises(ArgosyError, match="give a role with --role") as found:
        role.decide(RoleSeen({}, None))
    assert found.value.code is ErrorCode.CONFLICT


@pytest.mark.parametrize(("seen", "expected"), [
    (None, ["create"]),
    (EndpointSeen("InService", "c-2", ""), []),
    (EndpointSeen("InService", "c-1", ""), ["update"]),
    (EndpointSeen("OutOfService", "c-1", ""), ["update"]),
    (EndpointSeen("UpdateRollbackFailed", "c-1", ""), ["update"]),
    (EndpointSeen("Failed", "c-2", "why"), ["delete", "create"]),
])  # fmt: skip
def test_an_endpoint(seen: EndpointSeen | None, expected: list[str]) -> None:
    """One that failed is made anew: SageMaker allows nothing else."""
    assert verbs(Endpoint(AWS, Draft(config="c-2"), Spec("n"), OURS, lambda _: None), seen) == expected


@pytest.mark.parametrize("status", ["Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"])
def test_what_moves_is_waited_for(status: str) -> None:
    """Before a change, and after it."""
    seen = EndpointSeen(status, "c-2", "")
    assert verbs(Settlement(AWS, "n", lambda _: None), seen) == ["wait"]
    assert verbs(Service(AWS, Draft(config="c-2"), "n", lambda _: None, Silence()), seen) == ["wait"]


def test_what_rests_is_not_waited_for() -> None:
    """Nothing, an endpoint in service and one that failed do not move; only the right configuration is what was wanted."""
    settlement = Settlement(AWS, "n", lambda _: None)
    assert verbs(settlement, None) == verbs(settlement, EndpointSeen("InService", "", "")) == verbs(settlement, EndpointSeen("Failed", "", "")) == []
    service = Service(AWS, Draft(config="c-2"), "n", lambda _: None, Silence())
    assert verbs(service, EndpointSeen("InService", "c-2", "")) == []
    assert verbs(service, EndpointSeen("InService", "c-1", "")) == verbs(service, None) == ["wait"]


def test_scaling() -> None:
    """Limits and policy each only if they differ; variants that are not wanted, or all, are let go."""
    spec = Spec("n", scaling=Scaling(1, 3, 50.0))
    resource = "endpoint/n/variant/main"
    policy = tracking(Scaling(1, 3, 50.0), "n", is_asynchronous=False)
    assert verbs(AutoScaling(AWS, spec), ScalingSeen({}, {})) == ["register", "track"]
    assert verbs(AutoScaling(AWS, spec), ScalingSeen({resource: (1, 3)}, {resource: policy})) == []
    # AWS may say more than it was told
    assert verbs(AutoScaling(AWS, spec), ScalingSeen({resource: (1, 3)}, {resource: {**policy, "DisableScaleIn": False}})) == []
    assert verbs(AutoScaling(AWS, spec), ScalingSeen({resource: (1, 4)}, {resource: policy})) == ["register"]
    assert verbs(AutoScaling(AWS, spec), ScalingSeen({resource: (1, 3)}, {resource: {**policy, "TargetValue": 1.0}})) == ["track"]
    assert verbs(AutoScaling(AWS, spec), ScalingSeen({"endpoint/n/variant/old": (1, 3)}, {})) == ["remove", "register", "track"]
    assert verbs(AutoScaling(AWS, Spec("n")), ScalingSeen({resource: (1, 3)}, {resource: policy})) == ["remove"]
    two = Spec("n", scaling=Scaling(), variants=(Variant("a"), Variant("b")))
    assert verbs(AutoScaling(AWS, two), ScalingSeen({}, {})) == ["register", "track"] * 2


def test_queued_requests_scale_by_what_waits() -> None:
    """Nobody invokes the instances of an asynchronous endpoint, so its backlog counts."""
    policy = tracking(Scaling(), "n", is_asynchronous=Spec("n", asynchronous=Asynchronous()).asynchronous is not None)
    assert policy["CustomizedMetricSpecification"]["MetricName"] == "ApproximateBacklogSizePerInstance"
    assert "PredefinedMetricSpecification" not in policy


def test_alarms() -> None:
    """All of them, or none: the absent ones are named."""
    alarms = Alarms(AWS, Rollout(alarms=("a", "b", "c")).alarms)
    assert alarms.decide({"a", "b", "c", "d"}) == []
    with pytest.raises(ArgosyError, match="no CloudWatch alarm b, c"):
        alarms.decide({"a"})


@pytest.mark.parametrize(("image", "expected"), [
    ("123456789012.dkr.ecr.us-east-1.amazonaws.com/a/b:1", True),
    ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/a", True),
    (f"123456789012.dkr.ecr.us-east-1.amazonaws.com/a@sha256:{'0' * 64}", True),
    (f"registry:5000/a@sha256:{'0' * 64}", True),
    ("paddle-mms", False),
    ("localhost/paddle-mms:1", False),
    ("oci:folder:1", False),
    ("x@sha256:short", False),
])  # fmt: skip
def test_what_needs_no_push(image: str, expected: bool) -> None:
    """Images in ECR, and those with a digest."""
    assert is_remote(image) is expected


@pytest.mark.parametrize("url", ["http://b/k", "s3://", "s3://b", "s3://b/", "b/k", ""])
def test_what_is_no_object(url: str) -> None:
    """A bucket and a key are needed."""
    with pytest.raises(ArgosyError, match="is not s3://BUCKET/KEY"):
        split_url(url)
    assert split_url("s3://b/k/l") == ("b", "k/l")


@pytest.mark.parametrize(("code", "reason", "is_absence", "advice"), [
    ("NoSuchKey", "x", True, ""),
    ("ValidationException", "Could not find model \"arn\".", True, ""),
    ("ValidationException", "1 validation error detected", False, ""),
    ("AccessDeniedException", "not authorized", False, "argosy sagemaker policy"),
    ("ExpiredToken", "expired", False, "Renew the AWS credentials"),
    ("ResourceLimitExceeded", "limit", False, "larger quota"),
    ("BucketAlreadyExists", "taken", False, "--bucket"),
    ("", "Could not connect", False, ""),
])  # fmt: skip
def test_what_aws_says(code: str, reason: str, is_absence: bool, advice: str) -> None:
    """Absence is told from failure; a failure says what to do where that is known."""
    error = AwsError("s3:get_object", code, reason)
    assert error.is_absence is is_absence
    assert error.message.startswith("s3:get_object failed: ")
    assert reason.rstrip(".") in error.message
    assert advice in error.message
    assert (error.code is ErrorCode.FORBIDDEN) == (code in ("AccessDeniedException", "ExpiredToken"))
