"""What a deployment made is found by its names and its tag, and removed: all of it, or what a change has left behind; nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy import hosting, names
from argosy.sagemaker.deploy.aws import Aws
from argosy.sagemaker.deploy.registry import find_repository
from argosy.sagemaker.deploy.role import find_role
from argosy.sagemaker.deploy.scaling import deregister, find_scaling
from argosy.sagemaker.deploy.step import Action, Draft, Report
from argosy.sagemaker.deploy.storage import bucket_tags

_BATCH = 1000
"""As many objects as one call deletes."""


@dataclass(frozen=True, slots=True)
class Doomed:
    """Something that the deployment made, and how it is removed."""

    text: str
    remove: Callable[[], object]


class Removal:
    """A step that removes what `find` finds; there is nothing to do once that is gone."""

    def __init__(self, title: str, target: str, find: Callable[[], Iterator[Doomed]]) -> None:
        self.title = title
        self.target = target
        self._find = find
        self._found: list[Doomed] = []

    def observe(self) -> list[Doomed]:
        """See `Step`."""
        self._found = list(self._find())
        return self._found

    def decide(self, seen: list[Doomed]) -> Sequence[Action]:
        """See `Step`."""
        return [Action("remove", doomed.text, str(number)) for number, doomed in enumerate(seen)]

    def apply(self, action: Action) -> None:
        """See `Step`."""
        self._found[int(action.subject)].remove()


@dataclass(frozen=True, slots=True)
class Places:
    """Where the deployment's data lies: buckets and repositories, each its own or given."""

    buckets: tuple[str, ...]
    repositories: tuple[str, ...]


class Belongings:
    """Everything in an account and region that belongs to one deployment."""

    def __init__(
        self, aws: Aws, name: str, pause: hosting.Pause, report: Report, bucket: str | None = None, repository: str | None = None
    ) -> None:
        self._aws = aws
        self._name = name
        self._pause = pause
        self._report = report
        self._bucket = bucket
        self._repository = repository

    def __repr__(self) -> str:
        return f"<Belongings of {self._name} in {self._aws!r}>"

    # -- what hosts the model

    def scaling(self) -> Iterator[Doomed]:
        """Registered variants."""
        for resource in find_scaling(self._aws, self._name).limits:
            yield Doomed(f"scaling of {resource}", partial(deregister, self._aws, resource))

    def endpoint(self) -> Iterator[Doomed]:
        """The endpoint. Raises `ArgosyError` CONFLICT if somebody else made it."""
        seen = hosting.find_endpoint(self._aws, self._name)
        if seen is None:
            return
        if not hosting.is_own(self._aws, self._name, hosting.endpoint_arn(self._aws, self._name)):
            raise ArgosyError(ErrorCode.CONFLICT, f"There is an endpoint {self._name} that this deployment did not make; it is left alone.")
        yield Doomed(f"endpoint {self._name} ({seen.status})", self._delete_endpoint)

    def _delete_endpoint(self) -> None:
        # one that changes cannot be deleted
        if hosting.at_rest(self._aws, self._name, self._pause, self._report.note) is not None:
            self._aws.find("sagemaker", "delete_endpoint", EndpointName=self._name)
            hosting.at_rest(self._aws, self._name, self._pause)

    def configs(self, current: str = "") -> Iterator[Doomed]:
        """Endpoint configurations but for the current one."""
        found = self._aws.pages("sagemaker", "list_endpoint_configs", "EndpointConfigs", NameContains=self._name)
        for name in self._own([(item["EndpointConfigName"], item["EndpointConfigArn"]) for item in found], current):
            yield Doomed(f"endpoint configuration {name}", self._calling("sagemaker", "delete_endpoint_config", EndpointConfigName=name))

    def models(self, current: str = "") -> Iterator[Doomed]:
        """Models but for the current one."""
        for name in self.model_names(current):
            yield Doomed(f"model {name}", self._calling("sagemaker", "delete_model", ModelName=name))

    def model_names(self, current: str = "") -> list[str]:
        """Models but for the current one, by name."""
        found = self._aws.pages("sagemaker", "list_models", "Models", NameContains=self._name)
        return list(self._own([(item["ModelName"], item["ModelArn"]) for item in found], current))

    def _own(self, found: list[tuple[str, str]], current: str) -> Iterator[str]:
        for name, arn in found:
            if name != current and names.is_versioned(name, self._name) and hosting.is_own(self._aws, self._name, arn):
                yield name

    def _calling(self, service: str, operation: str, **arguments: object) -> Callable[[], object]:
        return partial(self._aws.find, service, operation, **arguments)

    # -- what it needs

    def role(self) -> Iterator[Doomed]:
        """Its own role."""
        name = names.role_of(self._name, self._aws.region)
        seen = find_role(self._aws, name)
        if seen is not None and seen.tags.get(names.TAG) == self._name:
            yield Doomed(f"role {name}", partial(self._delete_role, name))

    def _delete_role(self, name: str) -> None:
        for policy_name in self._aws.pages("iam", "list_role_policies", "PolicyNames", RoleName=name):
            self._aws.find("iam", "delete_role_policy", RoleName=name, PolicyName=policy_name)
        self._aws.find("iam", "delete_role", RoleName=name)

    def logs(self) -> Iterator[Doomed]:
        """The log group of the endpoint."""
        group = names.log_group_of(self._name)
        if self._aws.find("logs", "describe_log_streams", logGroupName=group, limit=1) is not None:
            yield Doomed(f"log group {group}", self._calling("logs", "delete_log_group", logGroupName=group))

    # -- its data

    @cached_property
    def places(self) -> Places:
        """Where its data lies: the places that are its own, those that are given, and those that its models name."""
        buckets = [names.bucket_of(self._name, self._aws.account, self._aws.region), self._bucket]
        repositories = [names.repository_of(self._name), self._repository]
        for model in self.model_names():
            found = self._aws.find("sagemaker", "describe_model", ModelName=model)
            container = {} if found is None else found["PrimaryContainer"]
            buckets.append(str(container.get("ModelDataUrl", "")).removeprefix("s3://").partition("/")[0])
        return Places(tuple(dict.fromkeys(filter(None, buckets))), tuple(dict.fromkeys(filter(None, repositories))))

    def repositories(self) -> Iterator[Doomed]:
        """Its own repositories, with all images."""
        for name in self.places.repositories:
            seen = find_repository(self._aws, name)
            if seen is not None and seen.tags.get(names.TAG) == self._name:
                removal = self._calling("ecr", "delete_repository", repositoryName=name, force=True)
                yield Doomed(f"image repository {name}, with its images", removal)

    def objects(self, buckets: Sequence[str] | None = None, current: str = "", part: str = "") -> Iterator[Doomed]:
        """The objects of its folder (or of a part of that) in these buckets, or in all of its places, but for the current one."""
        for bucket in self.places.buckets if buckets is None else buckets:
            prefix = names.folder_of(self._name) + part
            found = [str(item["Key"]) for item in self._aws.pages("s3", "list_objects_v2", "Contents", Bucket=bucket, Prefix=prefix)]
            keys = [key for key in found if f"s3://{bucket}/{key}" != current]
            for start in range(0, len(keys), _BATCH):
                batch = keys[start : start + _BATCH]
                noun = "object" if len(batch) == 1 else "objects"
                yield Doomed(f"{len(batch)} {noun} below s3://{bucket}/{prefix}", partial(self._delete_objects, bucket, batch))

    def _delete_objects(self, bucket: str, keys: list[str]) -> None:
        answer = self._aws.call("s3", "delete_objects", Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True})
        if failed := answer.get("Errors"):
            message = f"s3:delete_objects left {len(failed)} objects in {bucket}: {failed[0].get('Message', failed[0].get('Code'))}."
            raise ArgosyError(ErrorCode.INTERNAL, message)

    def uploads(self) -> Iterator[Doomed]:
        """Uploads that were interrupted: their parts cost as much as objects."""
        for bucket in self.places.buckets:
            for item in self._aws.pages("s3", "list_multipart_uploads", "Uploads", Bucket=bucket, Prefix=names.folder_of(self._name)):
                removal = self._calling("s3", "abort_multipart_upload", Bucket=bucket, Key=item["Key"], UploadId=item["UploadId"])
                yield Doomed(f"unfinished upload s3://{bucket}/{item['Key']}", removal)

    def buckets(self) -> Iterator[Doomed]:
        """Its own buckets; one with objects that are not the deployment's is kept, and that is said."""
        derived = names.bucket_of(self._name, self._aws.account, self._aws.region)
        for bucket in self.places.buckets:
            tags = bucket_tags(self._aws, bucket)
            half_made = bucket == derived and not tags and self._aws.find("s3", "head_bucket", Bucket=bucket) is not None
            if tags.get(names.TAG) != self._name and not half_made:
                continue
            found = self._aws.pages("s3", "list_objects_v2", "Contents", Bucket=bucket)
            if foreign := [item["Key"] for item in found if not item["Key"].startswith(names.folder_of(self._name))]:
                self._report.note(f"the bucket {bucket} is kept: it holds {len(foreign)} objects of others, as {foreign[0]}")
                continue
            yield Doomed(f"bucket {bucket}", self._calling("s3", "delete_bucket", Bucket=bucket))


def everything(belongings: Belongings, name: str, *, keep_data: bool) -> list[Removal]:
    """The steps that remove a deployment.

    The models go after the data, since they alone know where a given bucket is: a removal that stops can go on.
    """
    hosted = [("autoscaling", belongings.scaling), ("endpoint", belongings.endpoint), ("endpoint configurations", belongings.configs)]
    data = [
        ("image repository", belongings.repositories), ("unfinished uploads", belongings.uploads), ("objects", belongings.objects),
        ("bucket", belongings.buckets), ("log", belongings.logs)]  # fmt: skip
    rest = [("models", belongings.models), ("execution role", belongings.role)]
    return [Removal(title, name, find) for title, find in [*hosted, *([] if keep_data else data), *rest]]


def superseded(belongings: Belongings, draft: Draft, name: str, bucket: str) -> Removal:
    """The step that removes what an update has replaced: configurations, models and archives but for the current ones."""

    def find() -> Iterator[Doomed]:
        yield from belongings.configs(draft.config)
        yield from belongings.models(draft.model)
        yield from belongings.objects((bucket,), draft.model_url, "models/")

    return Removal("what was replaced", name, find)
