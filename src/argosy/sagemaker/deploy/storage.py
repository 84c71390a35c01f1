"""The first steps: a bucket of one's own, or a given one, and the model in it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy import names
from argosy.sagemaker.deploy.artifact import Artifact
from argosy.sagemaker.deploy.aws import Aws, AwsError
from argosy.sagemaker.deploy.spec import refuse
from argosy.sagemaker.deploy.step import Action, Draft, Report

_BLOCKED = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
_DEFAULT_REGION = "us-east-1"
"""The only one that must not be named when a bucket is made."""


@dataclass(frozen=True, slots=True)
class BucketSeen:
    """A bucket as it is. What it is protected by is asked only if it belongs to the deployment."""

    exists: bool
    tags: Mapping[str, str]
    is_blocked: bool = False
    key: str | None = None
    """The KMS key of its encryption; empty for S3's own keys, None when that could not be seen."""


class Bucket:
    """A bucket that is private and encrypted. One that was there before, and is not the deployment's own, is used as it is."""

    title = "bucket"

    def __init__(self, aws: Aws, deployment: str, name: str | None, tags: Mapping[str, str], kms_key: str | None) -> None:
        self._aws = aws
        self._own = names.bucket_of(deployment, aws.account, aws.region)
        self.target = name or self._own
        self._tags = tags
        self._kms_key = kms_key or ""

    def observe(self) -> BucketSeen:
        """See `Step`."""
        head = _head(self._aws, self.target)
        if head is None:
            return BucketSeen(False, {})
        tags = bucket_tags(self._aws, self.target)
        if not self._is_own(tags):
            return BucketSeen(True, tags)
        return BucketSeen(True, tags, self._is_blocked(), self._key())

    def _is_own(self, tags: Mapping[str, str]) -> bool:
        """A bucket of the deployment's own name without tags is one whose making was interrupted."""
        return tags.get(names.TAG) == self._tags[names.TAG] or (self.target == self._own and not tags)

    def _is_blocked(self) -> bool:
        found = self._aws.find("s3", "get_public_access_block", Bucket=self.target)
        return found is not None and found["PublicAccessBlockConfiguration"] == _BLOCKED

    def _key(self) -> str | None:
        found = self._aws.find("s3", "get_bucket_encryption", Bucket=self.target)
        rules = [] if found is None else found["ServerSideEncryptionConfiguration"]["Rules"]
        chosen = [rule["ApplyServerSideEncryptionByDefault"] for rule in rules if "ApplyServerSideEncryptionByDefault" in rule]
        return str(chosen[0].get("KMSMasterKeyID", "")) if chosen else None

    def decide(self, seen: BucketSeen) -> Sequence[Action]:
        """See `Step`."""
        if seen.exists and not self._is_own(seen.tags):
            return []
        wanted = [
            (not seen.exists, Action("create", f"bucket {self.target}")),
            (seen.exists and not self._tags.items() <= seen.tags.items(), Action("tag", f"tags of the bucket {self.target}")),
            (not seen.is_blocked, Action("block", f"no public access to the bucket {self.target}")),
            (seen.key != self._kms_key, Action("encrypt", f"encryption of the bucket {self.target} by {self._kms_key or 'keys of S3'}")),
        ]
        return [action for is_missing, action in wanted if is_missing]

    def apply(self, action: Action) -> None:
        """See `Step`."""
        {"create": self._create, "tag": self._tag, "block": self._block, "encrypt": self._encrypt}[action.verb]()

    def _create(self) -> None:
        """Make it and mark it; one that cannot be marked is removed again, so that none is left that nobody knows."""
        region = self._aws.region
        place = {} if region == _DEFAULT_REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        self._aws.call("s3", "create_bucket", Bucket=self.target, **place)
        try:
            self._tag()
        except AwsError:
            self._aws.find("s3", "delete_bucket", Bucket=self.target)
            raise

    def _tag(self) -> None:
        self._aws.call("s3", "put_bucket_tagging", Bucket=self.target, Tagging={"TagSet": names.tag_list(self._tags)})

    def _block(self) -> None:
        self._aws.call("s3", "put_public_access_block", Bucket=self.target, PublicAccessBlockConfiguration=_BLOCKED)

    def _encrypt(self) -> None:
        how = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": self._kms_key} if self._kms_key else {"SSEAlgorithm": "AES256"}
        rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": how}]}
        self._aws.call("s3", "put_bucket_encryption", Bucket=self.target, ServerSideEncryptionConfiguration=rules)


def _head(aws: Aws, bucket: str) -> dict[str, Any] | None:
    try:
        return aws.find("s3", "head_bucket", Bucket=bucket)
    except AwsError as error:
        if error.aws_code == "301":
            raise refuse(f"The bucket {bucket} lies in another region than {aws.region}: SageMaker wants both in one.") from error
        if error.aws_code == "403":
            message = f"The bucket {bucket} belongs to another account, or may not be seen. Give another one with --bucket, or ask for access to it."
            raise ArgosyError(ErrorCode.FORBIDDEN, message, detail=error.message) from error
        raise


def bucket_tags(aws: Aws, bucket: str) -> dict[str, str]:
    """Its tags; none if it has none or is not there."""
    found = aws.find("s3", "get_bucket_tagging", Bucket=bucket)
    return {} if found is None else names.tags_from(found["TagSet"])


class ModelData:
    """The archive in the bucket, under a name that its content gives, with its SHA-256."""

    title = "model data"

    def __init__(self, aws: Aws, draft: Draft, deployment: str, bucket: str, artifact: Artifact, kms_key: str | None, report: Report) -> None:
        self._aws = aws
        self._bucket = bucket
        self._artifact = artifact
        self._kms_key = kms_key
        self._report = report
        self._key = names.model_key(deployment, artifact.sha256, artifact.stem)
        self._tags = names.object_tag(deployment)
        self.target = draft.model_url = f"s3://{bucket}/{self._key}"

    def observe(self) -> str | None:
        """The digest of what lies there, None for nothing."""
        found = self._aws.find("s3", "head_object", Bucket=self._bucket, Key=self._key)
        return None if found is None else str(found["Metadata"].get("sha256", ""))

    def decide(self, seen: str | None) -> Sequence[Action]:
        """See `Step`."""
        return [] if seen == self._artifact.sha256 else [Action("upload", f"{self.target} ({self._artifact.size / 1e6:,.1f} MB)")]

    def apply(self, action: Action) -> None:
        """Upload it; what is there is whole, or not there."""
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self._kms_key} if self._kms_key else {"ServerSideEncryption": "AES256"}
        arguments = {"Metadata": {"sha256": self._artifact.sha256}, "ChecksumAlgorithm": "SHA256", "Tagging": self._tags, **encryption}
        self._aws.upload(str(self._artifact.path), self._bucket, self._key, arguments, self._counted())

    def _counted(self) -> Any:
        """Counts the pieces, which are sent by several threads."""
        lock, done = threading.Lock(), [0]

        def count(size: int) -> None:
            with lock:
                done[0] += size
                self._report.progress(min(done[0], self._artifact.size), self._artifact.size)

        return count


class StoredModel:
    """A model that lies in S3 already: nothing to do, but it must be there."""

    title = "model data"

    def __init__(self, aws: Aws, draft: Draft, url: str) -> None:
        self._aws = aws
        self._bucket, self._key = split_url(url)
        self.target = draft.model_url = url

    def observe(self) -> None:
        """Raises `ArgosyError` MODEL_NOT_FOUND if it is not there."""
        if self._aws.find("s3", "head_object", Bucket=self._bucket, Key=self._key) is None:
            raise ArgosyError(ErrorCode.MODEL_NOT_FOUND, f"There is no {self.target}.")

    def decide(self, seen: None) -> Sequence[Action]:
        """See `Step`."""
        return []

    def apply(self, action: Action) -> None:
        """See `Step`."""


def split_url(url: str) -> tuple[str, str]:
    """Bucket and key. Raises `ArgosyError` INVALID_REQUEST unless the URL has both."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or not bucket or not key:
        raise refuse(f"{url!r} is not s3://BUCKET/KEY.")
    return bucket, key
