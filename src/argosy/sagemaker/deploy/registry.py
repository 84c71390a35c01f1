"""The image in ECR: a repository of one's own, or a given one, and the push."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy import names
from argosy.sagemaker.deploy.aws import Aws
from argosy.sagemaker.deploy.images import LocalImage, Login
from argosy.sagemaker.deploy.step import Action, Draft, unmade

_ECR = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.[a-z]+)?/([a-z0-9._/-]+)(?::([\w.-]+)|@(sha256:[0-9a-f]{64}))?")
_PINNED = re.compile(r".+@sha256:[0-9a-f]{64}")


def is_remote(image: str) -> bool:
    """Whether it is the URI of an image in a registry, which needs no push."""
    return _ECR.fullmatch(image) is not None or _PINNED.fullmatch(image) is not None


@dataclass(frozen=True, slots=True)
class RepositorySeen:
    """A repository as it is."""

    uri: str
    tags: Mapping[str, str]
    is_scanned: bool
    is_immutable: bool


def find_repository(aws: Aws, name: str) -> RepositorySeen | None:
    """The repository, None if there is none."""
    found = aws.find("ecr", "describe_repositories", repositoryNames=[name])
    if found is None:
        return None
    data = found["repositories"][0]
    tags = aws.call("ecr", "list_tags_for_resource", resourceArn=data["repositoryArn"])
    is_scanned = bool(data.get("imageScanningConfiguration", {}).get("scanOnPush"))
    return RepositorySeen(str(data["repositoryUri"]), names.tags_from(tags["tags"]), is_scanned, data.get("imageTagMutability") == "IMMUTABLE")


class Repository:
    """A repository that scans what is pushed. One that was there before, and is not the deployment's own, is used as it is."""

    title = "image repository"

    def __init__(self, aws: Aws, name: str, tags: Mapping[str, str], *, is_immutable: bool, kms_key: str | None) -> None:
        self._aws = aws
        self.target = name
        self._tags = tags
        self._is_immutable = is_immutable
        self._kms_key = kms_key

    def observe(self) -> RepositorySeen | None:
        """See `Step`."""
        return find_repository(self._aws, self.target)

    def decide(self, seen: RepositorySeen | None) -> Sequence[Action]:
        """See `Step`."""
        if seen is None:
            return [Action("create", f"image repository {self.target}")]
        if seen.tags.get(names.TAG) != self._tags[names.TAG]:
            return []
        wanted = [
            (not seen.is_scanned, Action("scan", f"scans of what is pushed to {self.target}")),
            (seen.is_immutable != self._is_immutable, Action("mutability", f"{'fixed' if self._is_immutable else 'movable'} tags in {self.target}")),
        ]
        return [action for is_missing, action in wanted if is_missing]

    def apply(self, action: Action) -> None:
        """See `Step`."""
        mutability = "IMMUTABLE" if self._is_immutable else "MUTABLE"
        scans = {"scanOnPush": True}
        if action.verb == "create":
            key = {"encryptionConfiguration": {"encryptionType": "KMS", "kmsKey": self._kms_key}} if self._kms_key else {}
            self._aws.call(
                "ecr", "create_repository", repositoryName=self.target, tags=names.tag_list(self._tags), imageTagMutability=mutability,
                imageScanningConfiguration=scans, **key)  # fmt: skip
        elif action.verb == "scan":
            self._aws.call("ecr", "put_image_scanning_configuration", repositoryName=self.target, imageScanningConfiguration=scans)
        else:
            self._aws.call("ecr", "put_image_tag_mutability", repositoryName=self.target, imageTagMutability=mutability)


@dataclass(frozen=True, slots=True)
class ImageSeen:
    """The repository's address, and the digest of the image in it; None for what is not there."""

    uri: str | None
    digest: str | None


class PushedImage:
    """A local image in the repository, under a tag that its content gives; the digest in the registry is what the model will name."""

    title = "image"

    def __init__(self, aws: Aws, draft: Draft, repository: str, image: LocalImage) -> None:
        self._aws = aws
        self._draft = draft
        self._repository = repository
        self._image = image
        self._tag = f"{names.LABEL}{image.short}"
        self.target = image.reference

    def observe(self) -> ImageSeen:
        """See `Step`; hands the image on if it is there."""
        repository = find_repository(self._aws, self._repository)
        if repository is None:
            return ImageSeen(None, None)
        digest = find_digest(self._aws, self._repository, self._tag)
        if digest is not None:
            self._draft.image = f"{repository.uri}@{digest}"
        return ImageSeen(repository.uri, digest)

    def decide(self, seen: ImageSeen) -> Sequence[Action]:
        """See `Step`."""
        if seen.digest is not None:
            return []
        return [Action("push", f"image {seen.uri or self._repository}:{self._tag}, pushed by {self._image.tool.name}")]

    def apply(self, action: Action) -> None:
        """Push it, and ask the registry what it has got."""
        uri = self.observe().uri
        if uri is None:
            raise unmade(f"The repository {self._repository}")
        self._image.tool.push(self._image.reference, f"{uri}:{self._tag}", self._login(uri))
        if self.observe().digest is None:
            raise ArgosyError(ErrorCode.INTERNAL, f"{uri} does not have the image that was pushed to it; try again.")

    def _login(self, uri: str) -> Login:
        data = self._aws.call("ecr", "get_authorization_token")["authorizationData"][0]
        user, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
        return Login(uri.partition("/")[0], password, user)


def find_digest(aws: Aws, repository: str, tag: str, registry: str | None = None) -> str | None:
    """The digest of the image with that tag, None if there is none."""
    owner: dict[str, Any] = {"registryId": registry} if registry else {}
    found = aws.find("ecr", "describe_images", repositoryName=repository, imageIds=[{"imageTag": tag}], **owner)
    return None if found is None or not found["imageDetails"] else str(found["imageDetails"][0]["imageDigest"])


class RemoteImage:
    """An image that is in a registry already: nothing to do, but a tag becomes the digest that it stands for today."""

    title = "image"

    def __init__(self, aws: Aws, draft: Draft, uri: str) -> None:
        self._aws = aws
        self._draft = draft
        self.target = uri

    def observe(self) -> None:
        """Raises `ArgosyError` INVALID_REQUEST if the registry does not have it."""
        self._draft.image = self.target if _PINNED.fullmatch(self.target) else self._pinned()

    def _pinned(self) -> str:
        found = _ECR.fullmatch(self.target)
        if found is None:
            raise unmade(self.target)
        account, region, repository, tag = found[1], found[2], found[3], found[4] or "latest"
        if region != self._aws.region:
            raise ArgosyError(ErrorCode.INVALID_REQUEST, f"The image {self.target} lies in {region}; SageMaker wants it in {self._aws.region}.")
        digest = find_digest(self._aws, repository, tag, account)
        if digest is None:
            raise ArgosyError(ErrorCode.INVALID_REQUEST, f"There is no image {self.target} in ECR.")
        return f"{self.target.partition('/')[0]}/{repository}@{digest}"

    def decide(self, seen: None) -> Sequence[Action]:
        """See `Step`."""
        return []

    def apply(self, action: Action) -> None:
        """See `Step`."""
