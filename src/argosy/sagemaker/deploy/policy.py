"""Least privilege, as data: what the execution role of an endpoint may do, and what whoever deploys must be allowed to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from argosy.sagemaker.deploy import names

VERSION = "2012-10-17"
TRUST: dict[str, Any] = {
    "Version": VERSION,
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
"""SageMaker alone may take the execution role."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a deployment lives."""

    partition: str
    region: str
    account: str

    def arn(self, service: str, resource: str, *, is_global: bool = False) -> str:
        """The ARN of something there; what is global belongs to no region."""
        return f"arn:{self.partition}:{service}:{'' if is_global else self.region}:{self.account}:{resource}"

    def bucket(self, path: str) -> str:
        """The ARN of a bucket, or of something in one."""
        return f"arn:{self.partition}:s3:::{path}"


@dataclass(frozen=True, slots=True)
class Needs:
    """What an endpoint reads and writes: `reads` and `writes` are BUCKET/KEY patterns, the repository is account, region and name."""

    reads: tuple[str, ...]
    writes: tuple[str, ...] = ()
    repository: tuple[str, str, str] | None = None
    kms_key: str | None = None


def _allow(sid: str, actions: Sequence[str], resources: Sequence[str] | str, condition: Mapping[str, Any] | None = None) -> dict[str, Any]:
    allowed = {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": resources if isinstance(resources, str) else list(resources)}
    return {**allowed, "Condition": dict(condition)} if condition else allowed


def execution_policy(name: str, place: Place, needs: Needs) -> dict[str, Any]:
    """What the execution role of that deployment may do: read its model, pull its image, write its log and its figures; nothing else."""
    group = place.arn("logs", f"log-group:{names.log_group_of(name)}")
    statements = [
        _allow("ReadModel", ["s3:GetObject"], [place.bucket(path) for path in needs.reads]),
        _allow("FindModel", ["s3:ListBucket"], sorted({place.bucket(path.partition("/")[0]) for path in (*needs.reads, *needs.writes)})),
        _allow("WriteLog", ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"], [group, f"{group}:*"]),
        _allow("WriteFigures", ["cloudwatch:PutMetricData"], "*", {"StringLike": {"cloudwatch:namespace": ["AWS/SageMaker", "/aws/sagemaker/*"]}}),
    ]
    if needs.writes:
        statements.append(_allow("WriteResults", ["s3:PutObject", "s3:AbortMultipartUpload"], [place.bucket(path) for path in needs.writes]))
    if needs.repository:
        account, region, repository = needs.repository
        arn = f"arn:{place.partition}:ecr:{region}:{account}:repository/{repository}"
        statements.append(_allow("PullImage", ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], [arn]))
        statements.append(_allow("EnterRegistry", ["ecr:GetAuthorizationToken"], "*"))
    if needs.kms_key:
        statements.append(_allow("UseKey", ["kms:Decrypt", "kms:GenerateDataKey"], [_key_arn(place, needs.kms_key)]))
    return {"Version": VERSION, "Statement": statements}


def _key_arn(place: Place, key: str) -> str:
    return key if key.startswith("arn:") else place.arn("kms", f"key/{key}")


def deployer_policy(
    name: str, place: Place, *, bucket: str | None = None, repository: str | None = None, role: str | None = None, kms_key: str | None = None
) -> dict[str, Any]:
    """What whoever deploys, watches and deletes that deployment must be allowed to do, and nothing more.

    A bucket, a repository or a role (its ARN) that is given need not be made, so nothing is asked for that.
    """
    own_bucket = bucket or names.bucket_of(name, place.account, place.region)
    own_role = role or place.arn("iam", f"role/{names.role_of(name, place.region)}", is_global=True)
    statements = [
        *_storage(place, own_bucket, name), *_registry(place, repository or names.repository_of(name)),
        *_role(own_role, is_given=role is not None), *_hosting(place, name), *_scaling(place), *_watching(place, name)]  # fmt: skip
    if kms_key:
        statements.append(_allow("UseKey", ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey", "kms:CreateGrant"], [_key_arn(place, kms_key)]))
    return {"Version": VERSION, "Statement": statements}


def _storage(place: Place, bucket: str, name: str) -> list[dict[str, Any]]:
    return [
        _allow("Bucket", [
            "s3:CreateBucket", "s3:DeleteBucket", "s3:GetBucketPublicAccessBlock", "s3:GetBucketTagging", "s3:GetEncryptionConfiguration",
            "s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:PutBucketPublicAccessBlock", "s3:PutBucketTagging",
            "s3:PutEncryptionConfiguration",
        ], [place.bucket(bucket)]),
        _allow("Objects", [
            "s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject", "s3:PutObjectTagging",
        ], [place.bucket(f"{bucket}/{names.folder_of(name)}*")]),
    ]  # fmt: skip


def _registry(place: Place, repository: str) -> list[dict[str, Any]]:
    return [
        _allow("Repository", [
            "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:CreateRepository",
            "ecr:DeleteRepository", "ecr:DescribeImages", "ecr:DescribeRepositories", "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload",
            "ecr:ListTagsForResource", "ecr:PutImage", "ecr:PutImageScanningConfiguration", "ecr:PutImageTagMutability", "ecr:TagResource",
            "ecr:UploadLayerPart",
        ], [place.arn("ecr", f"repository/{repository}")]),
        _allow("EnterRegistry", ["ecr:GetAuthorizationToken"], "*"),
    ]  # fmt: skip


def _role(arn: str, *, is_given: bool) -> list[dict[str, Any]]:
    passing = _allow("PassRole", ["iam:PassRole"], [arn], {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}})
    made = _allow("Role", [
        "iam:CreateRole", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:GetRole", "iam:GetRolePolicy", "iam:ListRolePolicies",
        "iam:PutRolePolicy", "iam:TagRole",
    ], [arn])  # fmt: skip
    return [passing] if is_given else [made, passing]


def _hosting(place: Place, name: str) -> list[dict[str, Any]]:
    # SageMaker's names arrive in small letters
    arns = [place.arn("sagemaker", f"{kind}/{name.lower()}{rest}") for kind, rest in (("endpoint", ""), ("endpoint-config", "-*"), ("model", "-*"))]
    return [
        _allow("Hosting", [
            "sagemaker:AddTags", "sagemaker:CreateEndpoint", "sagemaker:CreateEndpointConfig", "sagemaker:CreateModel", "sagemaker:DeleteEndpoint",
            "sagemaker:DeleteEndpointConfig", "sagemaker:DeleteModel", "sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig",
            "sagemaker:DescribeModel", "sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointAsync",
            "sagemaker:InvokeEndpointWithResponseStream", "sagemaker:ListTags", "sagemaker:UpdateEndpoint",
        ], arns),
        _allow("FindHosting", ["sagemaker:ListEndpointConfigs", "sagemaker:ListModels"], "*"),
    ]  # fmt: skip


def _scaling(place: Place) -> list[dict[str, Any]]:
    linked = "role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
    service = {"StringEquals": {"iam:AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com"}}
    return [
        _allow("Scaling", [
            "application-autoscaling:DeregisterScalableTarget", "application-autoscaling:DescribeScalableTargets",
            "application-autoscaling:DescribeScalingPolicies", "application-autoscaling:PutScalingPolicy",
            "application-autoscaling:RegisterScalableTarget", "cloudwatch:DeleteAlarms", "cloudwatch:DescribeAlarms", "cloudwatch:PutMetricAlarm",
        ], "*"),
        _allow("LinkScaling", ["iam:CreateServiceLinkedRole"], [place.arn("iam", linked, is_global=True)], service),
    ]  # fmt: skip


def _watching(place: Place, name: str) -> list[dict[str, Any]]:
    group = place.arn("logs", f"log-group:{names.log_group_of(name)}")
    actions = ["logs:DeleteLogGroup", "logs:DescribeLogStreams", "logs:FilterLogEvents", "logs:GetLogEvents"]
    return [_allow("Log", actions, [group, f"{group}:*"])]
