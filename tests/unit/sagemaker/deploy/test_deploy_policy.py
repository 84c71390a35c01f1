"""Policies name what they allow: no star where a name is known."""

from __future__ import annotations

from typing import Any

from argosy.sagemaker.deploy.policy import Needs, Place, deployer_policy, execution_policy

PLACE = Place("aws", "eu-west-1", "123456789012")


def by_sid(policy: dict[str, Any]) -> dict[str, Any]:
    """Its statements by name, which are unique."""
    found = {statement["Sid"]: statement for statement in policy["Statement"]}
    assert len(found) == len(policy["Statement"])
    return found


def test_the_endpoint_reads_its_model_and_no_other() -> None:
    """Each permission of the execution role is for a thing of this deployment; the two that cannot be are told apart."""
    needs = Needs(("bucket/argosy/n/*",), ("out/x/*",), ("123456789012", "eu-west-1", "argosy/n"), "key-1")
    found = by_sid(execution_policy("n", PLACE, needs))
    assert found["ReadModel"]["Resource"] == ["arn:aws:s3:::bucket/argosy/n/*"]
    assert found["FindModel"]["Resource"] == ["arn:aws:s3:::bucket", "arn:aws:s3:::out"]
    assert found["WriteResults"]["Resource"] == ["arn:aws:s3:::out/x/*"]
    assert found["PullImage"]["Resource"] == ["arn:aws:ecr:eu-west-1:123456789012:repository/argosy/n"]
    assert found["UseKey"]["Resource"] == ["arn:aws:kms:eu-west-1:123456789012:key/key-1"]
    group = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/sagemaker/Endpoints/n"
    assert found["WriteLog"]["Resource"] == [group, f"{group}:*"]
    assert {sid for sid, statement in found.items() if statement["Resource"] == "*"} == {"WriteFigures", "EnterRegistry"}
    assert "Condition" in found["WriteFigures"]


def test_an_endpoint_that_writes_nothing_may_write_nothing() -> None:
    """What is not needed is not there."""
    assert set(by_sid(execution_policy("n", PLACE, Needs(("b/m",))))) == {"ReadModel", "FindModel", "WriteLog", "WriteFigures"}


def test_whoever_deploys() -> None:
    """Only calls that AWS ties to no resource are allowed for all; passing the role on is for SageMaker alone; no action is a pattern."""
    found = by_sid(deployer_policy("n", PLACE))
    assert {sid for sid, statement in found.items() if statement["Resource"] == "*"} == {"EnterRegistry", "FindHosting", "Scaling"}
    assert found["PassRole"]["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    assert found["PassRole"]["Resource"] == found["Role"]["Resource"] == ["arn:aws:iam::123456789012:role/argosy-eu-west-1-n"]
    assert found["Bucket"]["Resource"] == ["arn:aws:s3:::argosy-123456789012-eu-west-1-n"]
    assert not [action for statement in found.values() for action in statement["Action"] if "*" in action]


def test_given_places() -> None:
    """A role that is given is not made; bucket, repository and key are the given ones."""
    found = by_sid(deployer_policy("n", PLACE, bucket="b", repository="r", role="arn:aws:iam::1:role/x", kms_key="arn:aws:kms:::key/k"))
    assert "Role" not in found
    assert found["PassRole"]["Resource"] == ["arn:aws:iam::1:role/x"]
    assert found["Bucket"]["Resource"] == ["arn:aws:s3:::b"]
    assert found["Repository"]["Resource"] == ["arn:aws:ecr:eu-west-1:123456789012:repository/r"]
    assert found["UseKey"]["Resource"] == ["arn:aws:kms:::key/k"]


def test_another_partition() -> None:
    """China's regions have ARNs of their own."""
    text = str(deployer_policy("n", Place("aws-cn", "cn-north-1", "1")))
    assert "arn:aws-cn:s3:::" in text
    assert "arn:aws:" not in text
