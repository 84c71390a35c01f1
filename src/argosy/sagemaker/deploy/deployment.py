"""A deployment from a program or a notebook: make it, change it, ask it, watch it, remove it."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from argosy.sagemaker.deploy import hosting, invocation, names, watching
from argosy.sagemaker.deploy.alarms import Alarms
from argosy.sagemaker.deploy.artifact import prepared
from argosy.sagemaker.deploy.aws import Aws, connect
from argosy.sagemaker.deploy.current import current_spec, scaling_of
from argosy.sagemaker.deploy.images import LocalImage, Tool, find_image, tools
from argosy.sagemaker.deploy.invocation import Options, Pending, Reply
from argosy.sagemaker.deploy.policy import Needs, Place, deployer_policy, execution_policy
from argosy.sagemaker.deploy.registry import PushedImage, RemoteImage, Repository, is_remote
from argosy.sagemaker.deploy.rehearsal import Rehearsal, Sample
from argosy.sagemaker.deploy.removal import Belongings, everything, superseded
from argosy.sagemaker.deploy.requests import config_request, written_places
from argosy.sagemaker.deploy.role import GivenRole, Role
from argosy.sagemaker.deploy.scaling import AutoScaling
from argosy.sagemaker.deploy.smoke import SmokeTest
from argosy.sagemaker.deploy.spec import Scaling, Spec, refuse
from argosy.sagemaker.deploy.status import Status, read_status
from argosy.sagemaker.deploy.step import Action, Draft, Report, Silence, Step, carry_out
from argosy.sagemaker.deploy.storage import Bucket, ModelData, StoredModel, split_url
from argosy.sagemaker.deploy.watching import Line

_CHECK_S = 240.0
"""As long as SageMaker waits for a container, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is deployed, and what this run did for that; names are empty where a dry run cannot know them."""

    endpoint: str
    model: str
    config: str
    image: str
    model_url: str
    actions: tuple[Action, ...]


class Deployment:
    """A model, its image and the endpoint that serves them, all found again by the deployment's name.

    Takes a `Spec`, or the name and the other values of one. AWS is the standard chain's unless `aws` is given; it is asked only when something
    is done. `report` is told how it goes; `pause` waits so many seconds. Every method raises `ArgosyError`.
    """

    def __init__(
        self, spec: Spec | str, *, region: str | None = None, profile: str | None = None, aws: Aws | None = None, report: Report | None = None,
        pause: Callable[[float], None] = time.sleep, image_tools: Mapping[str, Tool] | None = None, **values: Any,
    ) -> None:
        self.spec = Spec(spec, **values) if isinstance(spec, str) else dataclasses.replace(spec, **values)
        self._aws = aws
        self._region = region
        self._profile = profile
        self._report: Report = report or Silence()
        self._pause = pause
        self._tools = tools() if image_tools is None else image_tools

    def __repr__(self) -> str:
        return f"<Deployment {self.spec.name} of {self.spec.model or 'what is deployed'}>"

    @property
    def aws(self) -> Aws:
        """The account and region."""
        if self._aws is None:
            self._aws = connect(self._region, self._profile)
        return self._aws

    @property
    def _tags(self) -> dict[str, str]:
        return {**self.spec.tags, names.TAG: self.spec.name}

    @property
    def _bucket(self) -> str:
        return self.spec.bucket or names.bucket_of(self.spec.name, self.aws.account, self.aws.region)

    @property
    def _repository(self) -> str:
        return self.spec.repository or names.repository_of(self.spec.name)

    # -- making and changing it

    def deploy(
        self, *, dry_run: bool = False, wait: bool = True, check: bool = True, sample: bytes | None = None,
        content_type: str = "application/octet-stream",
    ) -> Deployed:
        """Bring the endpoint to what the spec says; what is there already is not made again.

        `check` tries the archive on this machine first, `sample` is sent to it there and to the endpoint at the end. Without `wait` it returns
        when the endpoint has been told. A dry run changes nothing. Raises `Stopped` at the step that fails; another call goes on from there.
        """
        if not self.spec.model or not self.spec.image:
            raise refuse(f"Deploying {self.spec.name} needs a model and an image.")
        trial = None if sample is None else Sample(sample, content_type)
        draft = Draft()
        with self._steps(draft, trial, wait=wait, check=check) as steps:
            actions = carry_out(steps, self._report, is_dry=dry_run, advice=self._advice())
        return Deployed(self.spec.name, draft.model, draft.config, draft.image, draft.model_url, tuple(actions))

    def update(self, *, dry_run: bool = False, wait: bool = True, check: bool = True, sample: bytes | None = None,
               content_type: str = "application/octet-stream", **changes: Any) -> Deployed:  # fmt: skip
        """Change these values of what is deployed, and nothing else; see `deploy`. Raises `ArgosyError` MODEL_NOT_FOUND if nothing is."""
        self.spec = dataclasses.replace(self.current(), **changes)
        return self.deploy(dry_run=dry_run, wait=wait, check=check, sample=sample, content_type=content_type)

    def current(self) -> Spec:
        """What is deployed, as the spec that would deploy it. Raises `ArgosyError` MODEL_NOT_FOUND if nothing is."""
        return current_spec(self.aws, self.spec.name)

    @contextlib.contextmanager
    def _steps(self, draft: Draft, sample: Sample | None, *, wait: bool, check: bool) -> Iterator[list[Step[Any]]]:
        spec = self.spec
        local = None if is_remote(spec.image) else find_image(spec.image, self._tools)
        bucket = Bucket(self.aws, spec.name, self._bucket, self._tags, spec.kms_key)
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
            data = ModelData(self.aws, draft, self.spec.name, self._bucket, artifact, self.spec.kms_key, self._report)

            def is_new() -> bool:
                return bool(data.decide(data.observe()) or image.decide(image.observe()))

            timeout_s = self.spec.startup_timeout_s or _CHECK_S
            trial = Rehearsal(artifact, local, self.spec.environment, sample, timeout_s, self._pause, is_new)
            yield [trial] if check else [], data

    def _image(self, draft: Draft, local: LocalImage | None) -> list[Step[Any]]:
        if local is None:
            return [RemoteImage(self.aws, draft, self.spec.image)]
        repository = Repository(self.aws, self._repository, self._tags, is_immutable=self.spec.immutable_tags, kms_key=self.spec.kms_key)
        return [repository, PushedImage(self.aws, draft, self._repository, local)]

    def _role(self, draft: Draft) -> Step[Any]:
        if self.spec.role is not None:
            return GivenRole(draft, self.spec.role)
        return Role(self.aws, draft, self.spec.name, self._tags, execution_policy(self.spec.name, self._place, self._needs(draft)))

    @property
    def _place(self) -> Place:
        return Place(self.aws.partition, self.aws.region, self.aws.account)

    def _needs(self, draft: Draft) -> Needs:
        places = written_places(config_request(self.spec, "", self._bucket))
        folder = f"{self._bucket}/{names.folder_of(self.spec.name)}"
        model = "/".join(split_url(draft.model_url))
        reads = (f"{folder}*",) if model.startswith(folder) else (f"{folder}*", model)
        writes = tuple(f"{place.removeprefix('s3://').rstrip('/')}/*" for place in places)
        return Needs(reads, writes, self._repository_of_image(), self.spec.kms_key)

    def _repository_of_image(self) -> tuple[str, str, str]:
        if not is_remote(self.spec.image):
            return self.aws.account, self.aws.region, self._repository
        host, _, path = self.spec.image.partition("/")
        parts = host.split(".")
        repository = path.partition("@")[0].partition(":")[0]
        is_ecr = host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
        return (parts[0], parts[3], repository) if is_ecr else (self.aws.account, self.aws.region, repository)

    def _hosting(self, draft: Draft) -> list[Step[Any]]:
        order = hosting.Order(self.aws, draft, self.spec, self._tags)
        return [
            hosting.Model(order, self._pause), hosting.Configuration(order, self._bucket),
            hosting.Settlement(self.aws, self.spec.name, self._pause), hosting.Endpoint(order, self._pause)]  # fmt: skip

    def _after(self, draft: Draft, sample: Sample | None, wait: bool) -> Sequence[Step[Any]]:
        if not wait:
            return []
        service = hosting.Service(self.aws, draft, self.spec.name, self._pause, self._report)
        queue = self._bucket if self.spec.asynchronous is not None else None
        smoke: list[Step[Any]] = [] if sample is None else [SmokeTest(self.aws, self.spec.name, sample, queue, self._pause)]
        belongings = self._belongings()
        replaced = superseded(belongings, draft, self.spec.name, self._bucket)
        return [service, *smoke, AutoScaling(self.aws, self.spec), replaced]

    def _belongings(self) -> Belongings:
        return Belongings(self.aws, self.spec.name, self._pause, self._report, self.spec.bucket, self.spec.repository)

    def _advice(self) -> str:
        where = f" --bucket {self.spec.bucket}" if self.spec.bucket else ""
        return f"The same command goes on from here. `argosy sagemaker delete {self.spec.name}{where}` removes what was made."

    # -- asking it

    def invoke(self, body: bytes | str, content_type: str = "", **options: str) -> Reply:
        """The answer to one request; `options` are those of `invocation.Options`."""
        return invocation.invoke(self.aws, self.spec.name, _bytes(body), Options(content_type, **options))

    def stream(self, body: bytes | str, content_type: str = "", **options: str) -> Iterator[bytes]:
        """The pieces of an answer as they come."""
        return invocation.stream(self.aws, self.spec.name, _bytes(body), Options(content_type, **options))

    def invoke_later(self, body: bytes | str, content_type: str = "", **options: str) -> Pending:
        """Queue a request to an asynchronous endpoint; `answer` has what became of it."""
        bucket = self.spec.bucket or current_spec(self.aws, self.spec.name).bucket or self._bucket
        return invocation.invoke_later(self.aws, self.spec.name, _bytes(body), bucket, Options(content_type, **options))

    def answer(self, pending: Pending, timeout_s: float = 3600.0) -> bytes:
        """Wait for the answer to a queued request."""
        return invocation.wait_for(self.aws, pending, self._pause, timeout_s)

    # -- watching it

    def status(self) -> Status:
        """How the endpoint is, and everything that belongs to the deployment."""
        return read_status(self.aws, self.spec.name, self._belongings())

    def scaling(self) -> Scaling | None:
        """How it scales, None if it does not."""
        return scaling_of(self.aws, self.spec.name)

    def logs(self, since_ms: int = 0) -> list[Line]:
        """What its containers printed from that moment (milliseconds since 1970) on."""
        return watching.log_lines(self.aws, self.spec.name, since_ms)

    def follow_logs(self, since_ms: int = 0) -> Iterator[Line]:
        """The same, and what is printed from now on, until nobody asks any more."""
        return watching.follow(self.aws, self.spec.name, since_ms, self._pause)

    def policy(self) -> dict[str, Any]:
        """The permissions that whoever deploys this needs."""
        spec = self.spec
        return deployer_policy(spec.name, self._place, bucket=spec.bucket, repository=spec.repository, role=spec.role, kms_key=spec.kms_key)

    # -- removing it

    def delete(self, *, dry_run: bool = False, keep_data: bool = False) -> tuple[Action, ...]:
        """Remove what the deployment made and nothing else; `keep_data` leaves bucket, images and log. Another call goes on where one stopped."""
        steps = everything(self._belongings(), self.spec.name, keep_data=keep_data)
        advice = "The same command goes on from here."
        return tuple(carry_out(steps, self._report, is_dry=dry_run, advice=advice))


def _bytes(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else body
