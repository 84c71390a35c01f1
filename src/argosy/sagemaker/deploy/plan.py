"""Which steps bring an endpoint to what its spec says, and where they put things."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from argosy.sagemaker.deploy import hosting, names
from argosy.sagemaker.deploy.alarms import Alarms
from argosy.sagemaker.deploy.artifact import prepared
from argosy.sagemaker.deploy.aws import Aws
from argosy.sagemaker.deploy.images import LocalImage, Tool, find_image
from argosy.sagemaker.deploy.policy import Needs, Place, execution_policy
from argosy.sagemaker.deploy.registry import PushedImage, RemoteImage, Repository, is_remote
from argosy.sagemaker.deploy.rehearsal import Rehearsal, Sample
from argosy.sagemaker.deploy.removal import Belongings, superseded
from argosy.sagemaker.deploy.requests import config_request, written_places
from argosy.sagemaker.deploy.role import GivenRole, Role
from argosy.sagemaker.deploy.scaling import AutoScaling
from argosy.sagemaker.deploy.smoke import SmokeTest
from argosy.sagemaker.deploy.spec import Spec
from argosy.sagemaker.deploy.step import Draft, Report, Step
from argosy.sagemaker.deploy.storage import Bucket, ModelData, StoredModel, split_url

_CHECK_S = 240.0
"""As long as SageMaker waits for a container, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The way to one spec in one account. `tools` make images; `pause` waits so many seconds."""

    spec: Spec
    aws: Aws
    tools: Mapping[str, Tool]
    report: Report
    pause: Callable[[float], None]

    @property
    def tags(self) -> dict[str, str]:
        """Of everything that is made: whose it is, and what the spec adds."""
        return {**self.spec.tags, names.TAG: self.spec.name}

    @property
    def bucket(self) -> str:
        """The name of the one that the spec names, else of the deployment's own."""
        return self.spec.bucket or names.bucket_of(self.spec.name, self.aws.account, self.aws.region)

    @property
    def repository(self) -> str:
        """The same for images."""
        return self.spec.repository or names.repository_of(self.spec.name)

    @property
    def place(self) -> Place:
        """Where the deployment is."""
        return Place(self.aws.partition, self.aws.region, self.aws.account)

    @property
    def belongings(self) -> Belongings:
        """What it has made so far."""
        return Belongings(self.aws, self.spec.name, self.pause, self.report, self.spec.bucket, self.spec.repository)

    @contextlib.contextmanager
    def steps(self, draft: Draft, sample: Sample | None, *, wait: bool, check: bool) -> Iterator[list[Step[Any]]]:
        """The steps in order; what they need for it, such as an archive that is being packed, is there as long as the block lasts.

        `wait` has them end with an endpoint that answers, `check` begin with a trial on this machine. Raises `ArgosyError` for a model or an image
        that is not there.
        """
        spec = self.spec
        local = None if is_remote(spec.image) else find_image(spec.image, self.tools)
        bucket = Bucket(self.aws, spec.name, self.bucket, self.tags, spec.kms_key)
        alarms: list[Step[Any]] = [Alarms(self.aws, spec.rollout.alarms)] if spec.rollout.alarms else []
        image = self._image(draft, local)
        with self._data(draft, local, image[-1], sample, check=check) as (before, data):
            made = [*alarms, *before, bucket, data, *image, self._role(draft)]
            yield [*made, *self._hosting(draft), *self._after(draft, sample, wait)]

    @contextlib.contextmanager
    def _data(
        self, draft: Draft, local: LocalImage | None, image: Step[Any], sample: Sample | None, *, check: bool
    ) -> Iterator[tuple[list[Step[Any]], Step[Any]]]:
        """The steps before the bucket, and the one that puts the model there."""
        if self.spec.model.startswith("s3://"):
            yield [], StoredModel(self.aws, draft, self.spec.model)
            return
        with prepared(self.spec.model) as artifact:
            data = ModelData(self.aws, draft, self.spec.name, self.bucket, artifact, self.spec.kms_key, self.report)

            def is_new() -> bool:
                return bool(data.decide(data.observe()) or image.decide(image.observe()))

            timeout_s = self.spec.startup_timeout_s or _CHECK_S
            trial = Rehearsal(artifact, local, self.spec.environment, sample, timeout_s, self.pause, is_new)
            yield [trial] if check else [], data

    def _image(self, draft: Draft, local: LocalImage | None) -> list[Step[Any]]:
        if local is None:
            return [RemoteImage(self.aws, draft, self.spec.image)]
        repository = Repository(self.aws, self.repository, self.tags, is_immutable=self.spec.immutable_tags, kms_key=self.spec.kms_key)
        return [repository, PushedImage(self.aws, draft, self.repository, local)]

    def _role(self, draft: Draft) -> Step[Any]:
        if self.spec.role is not None:
            return GivenRole(draft, self.spec.role)
        return Role(self.aws, draft, self.spec.name, self.tags, execution_policy(self.spec.name, self.place, self._needs(draft)))

    def _needs(self, draft: Draft) -> Needs:
        places = written_places(config_request(self.spec, "", self.bucket))
        folder = f"{self.bucket}/{names.folder_of(self.spec.name)}"
        model = "/".join(split_url(draft.model_url))
        reads = (f"{folder}*",) if model.startswith(folder) else (f"{folder}*", model)
        writes = tuple(f"{place.removeprefix('s3://').rstrip('/')}/*" for place in places)
        return Needs(reads, writes, self._repository_of_image(), self.spec.kms_key)

    def _repository_of_image(self) -> tuple[str, str, str]:
        if not is_remote(self.spec.image):
            return self.aws.account, self.aws.region, self.repository
        host, _, path = self.spec.image.partition("/")
        parts = host.split(".")
        repository = path.partition("@")[0].partition(":")[0]
        is_ecr = host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
        return (parts[0], parts[3], repository) if is_ecr else (self.aws.account, self.aws.region, repository)

    def _hosting(self, draft: Draft) -> list[Step[Any]]:
        order = hosting.Order(self.aws, draft, self.spec, self.tags)
        return [
            hosting.Model(order, self.pause), hosting.Configuration(order, self.bucket),
            hosting.Settlement(self.aws, self.spec.name, self.pause), hosting.Endpoint(order, self.pause)]  # fmt: skip

    def _after(self, draft: Draft, sample: Sample | None, wait: bool) -> Sequence[Step[Any]]:
        if not wait:
            return []
        service = hosting.Service(self.aws, draft, self.spec.name, self.pause, self.report)
        queue = self.bucket if self.spec.asynchronous is not None else None
        smoke: list[Step[Any]] = [] if sample is None else [SmokeTest(self.aws, self.spec.name, sample, queue, self.pause)]
        replaced = superseded(self.belongings, draft, self.spec.name, self.bucket)
        return [service, *smoke, AutoScaling(self.aws, self.spec), replaced]
