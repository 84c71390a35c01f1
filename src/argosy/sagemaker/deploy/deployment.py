"""A deployment from a program or a notebook: make it, change it, ask it, watch it, remove it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from argosy.sagemaker.deploy import invocation, watching
from argosy.sagemaker.deploy.aws import Aws, connect
from argosy.sagemaker.deploy.current import current_spec, scaling_of
from argosy.sagemaker.deploy.images import Tool, tools
from argosy.sagemaker.deploy.invocation import Options, Pending, Reply
from argosy.sagemaker.deploy.plan import Plan
from argosy.sagemaker.deploy.policy import deployer_policy
from argosy.sagemaker.deploy.rehearsal import Sample
from argosy.sagemaker.deploy.removal import everything
from argosy.sagemaker.deploy.spec import Scaling, Spec, refuse
from argosy.sagemaker.deploy.status import Status, read_status
from argosy.sagemaker.deploy.step import Action, Draft, Report, Silence, carry_out
from argosy.sagemaker.deploy.watching import Line


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
    def _plan(self) -> Plan:
        return Plan(self.spec, self.aws, self._tools, self._report, self._pause)

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
        with self._plan.steps(draft, trial, wait=wait, check=check) as steps:
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
        bucket = self.spec.bucket or current_spec(self.aws, self.spec.name).bucket or self._plan.bucket
        return invocation.invoke_later(self.aws, self.spec.name, _bytes(body), bucket, Options(content_type, **options))

    def answer(self, pending: Pending, timeout_s: float = 3600.0) -> bytes:
        """Wait for the answer to a queued request."""
        return invocation.wait_for(self.aws, pending, self._pause, timeout_s)

    # -- watching it

    def status(self) -> Status:
        """How the endpoint is, and everything that belongs to the deployment."""
        return read_status(self.aws, self.spec.name, self._plan.belongings)

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
        return deployer_policy(spec.name, self._plan.place, bucket=spec.bucket, repository=spec.repository, role=spec.role, kms_key=spec.kms_key)

    # -- removing it

    def delete(self, *, dry_run: bool = False, keep_data: bool = False) -> tuple[Action, ...]:
        """Remove what the deployment made and nothing else; `keep_data` leaves bucket, images and log. Another call goes on where one stopped."""
        steps = everything(self._plan.belongings, self.spec.name, keep_data=keep_data)
        advice = "The same command goes on from here."
        return tuple(carry_out(steps, self._report, is_dry=dry_run, advice=advice))


def _bytes(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else body
