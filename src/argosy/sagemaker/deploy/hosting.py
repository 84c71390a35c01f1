"""The model, the endpoint's configuration, and the endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy import names
from argosy.sagemaker.deploy.aws import Aws, AwsError
from argosy.sagemaker.deploy.requests import config_request, model_request, rollout_request
from argosy.sagemaker.deploy.spec import Spec
from argosy.sagemaker.deploy.step import Action, Draft, Report
from argosy.sagemaker.deploy.watching import log_tail

IN_TRANSITION = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
_ROLE_WORDS = ("assume role", "sts:AssumeRole", "trust relationship", "is not authorized to perform: s3:", "does not have permission")
_POLL_S = 15.0
_ROLE_PAUSE_S = 5.0
_ROLE_ATTEMPTS = 12
_WAIT_S = 2 * 3600.0

Pause = Callable[[float], None]
"""Waits so many seconds."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be hosted, for the steps that do it."""

    aws: Aws
    draft: Draft
    """Written by the steps: what is made so far."""
    spec: Spec
    tags: Mapping[str, str]


class Model:
    """A model of SageMaker, which never changes: another content has another name."""

    title = "model"

    def __init__(self, order: Order, pause: Pause) -> None:
        self._order = order
        self._pause = pause
        self.target = order.spec.name

    def observe(self) -> bool:
        """Whether it is there. Writes its name, unless the image is yet to be pushed."""
        if not self._order.draft.image:
            return False
        self.target = self._order.draft.model = names.versioned(self._order.spec.name, model_request(self._order.spec, self._order.draft))
        return self._order.aws.find("sagemaker", "describe_model", ModelName=self.target) is not None

    def decide(self, seen: bool) -> Sequence[Action]:
        """See `Step`."""
        return [] if seen else [Action("create", f"model {self._order.draft.model or self._order.spec.name + '-…'}")]

    def apply(self, action: Action) -> None:
        """Make it. A role that was just made is not known everywhere at once, so that refusal is tried again for a minute."""
        for attempt in range(_ROLE_ATTEMPTS):
            try:
                request = model_request(self._order.spec, self._order.draft)
                self._order.aws.call("sagemaker", "create_model", ModelName=self.target, Tags=names.tag_list(self._order.tags), **request)
                return
            except AwsError as error:
                is_role = error.aws_code == "ValidationException" and any(words in error.reason for words in _ROLE_WORDS)
                if not is_role or attempt == _ROLE_ATTEMPTS - 1:
                    raise
            self._pause(_ROLE_PAUSE_S)


class Configuration:
    """An endpoint configuration, which never changes either."""

    title = "endpoint configuration"

    def __init__(self, order: Order, bucket: str) -> None:
        self._order = order
        self._bucket = bucket
        self.target = order.spec.name

    def observe(self) -> bool:
        """Whether it is there. Writes its name, unless the model has none yet."""
        if not self._order.draft.model:
            return False
        self.target = self._order.draft.config = names.versioned(self._order.spec.name, self._request())
        return self._order.aws.find("sagemaker", "describe_endpoint_config", EndpointConfigName=self.target) is not None

    def _request(self) -> dict[str, Any]:
        return config_request(self._order.spec, self._order.draft.model, self._bucket)

    def decide(self, seen: bool) -> Sequence[Action]:
        """See `Step`."""
        if seen:
            return []
        sizes = ", ".join(_size(variant) for variant in self._order.spec.variants)
        return [Action("create", f"endpoint configuration {self._order.draft.config or self._order.spec.name + '-…'} ({sizes})")]

    def apply(self, action: Action) -> None:
        """See `Step`."""
        tags = names.tag_list(self._order.tags)
        self._order.aws.call("sagemaker", "create_endpoint_config", EndpointConfigName=self.target, Tags=tags, **self._request())


def _size(variant: Any) -> str:
    if variant.serverless is not None:
        return f"serverless, {variant.serverless.memory_mb} MB"
    return f"{variant.instance_count} × {variant.instance_type}"


@dataclass(frozen=True, slots=True)
class EndpointSeen:
    """An endpoint as it is."""

    status: str
    config: str
    reason: str
    """Why the last change failed; empty if it did not."""
    is_own: bool = True


def find_endpoint(aws: Aws, name: str) -> EndpointSeen | None:
    """The endpoint without its tags, None if there is none."""
    found = aws.find("sagemaker", "describe_endpoint", EndpointName=name)
    if found is None:
        return None
    return EndpointSeen(str(found["EndpointStatus"]), str(found.get("EndpointConfigName", "")), str(found.get("FailureReason", "")))


def is_own(aws: Aws, name: str, arn: str) -> bool:
    """Whether the deployment of that name made it."""
    found = aws.pages("sagemaker", "list_tags", "Tags", ResourceArn=arn)
    return names.tags_from(found).get(names.TAG) == name


def endpoint_arn(aws: Aws, name: str) -> str:
    """Its ARN."""
    return f"arn:{aws.partition}:sagemaker:{aws.region}:{aws.account}:endpoint/{name.lower()}"


class Settlement:
    """Before the endpoint is touched it must be at rest: an earlier change is waited for."""

    title = "earlier change"

    def __init__(self, aws: Aws, name: str, pause: Pause) -> None:
        self._aws = aws
        self._pause = pause
        self.target = name

    def observe(self) -> EndpointSeen | None:
        """See `Step`."""
        return find_endpoint(self._aws, self.target)

    def decide(self, seen: EndpointSeen | None) -> Sequence[Action]:
        """See `Step`."""
        return [Action("wait", f"end of {seen.status}")] if seen is not None and seen.status in IN_TRANSITION else []

    def apply(self, action: Action) -> None:
        """See `Step`."""
        at_rest(self._aws, self.target, self._pause)


def at_rest(aws: Aws, name: str, pause: Pause, watch: Callable[[str], None] = lambda status: None) -> EndpointSeen | None:
    """The endpoint when nothing moves any more; `watch` is told each status. Raises `ArgosyError` TIMED_OUT after two hours."""
    waited_s = 0.0
    while waited_s <= _WAIT_S:
        seen = find_endpoint(aws, name)
        if seen is None or seen.status not in IN_TRANSITION:
            return seen
        watch(seen.status)
        pause(_POLL_S)
        waited_s += _POLL_S
    message = f"The endpoint {name} has been changing for {_WAIT_S / 3600:.0f} hours. Look at `argosy sagemaker status {name}`."
    raise ArgosyError(ErrorCode.TIMED_OUT, message)


class Endpoint:
    """The endpoint itself, made or moved to the configuration."""

    title = "endpoint"

    def __init__(self, order: Order, pause: Pause) -> None:
        self._order = order
        self._pause = pause
        self.target = order.spec.name

    def observe(self) -> EndpointSeen | None:
        """See `Step`."""
        aws = self._order.aws
        seen = find_endpoint(aws, self.target)
        if seen is None:
            return None
        return EndpointSeen(seen.status, seen.config, seen.reason, is_own(aws, self.target, endpoint_arn(aws, self.target)))

    def decide(self, seen: EndpointSeen | None) -> Sequence[Action]:
        """See `Step`. An endpoint that failed can only be made anew. Raises `ArgosyError` CONFLICT for somebody else's."""
        create = Action("create", f"endpoint {self.target}")
        if seen is None:
            return [create]
        if not seen.is_own:
            raise ArgosyError(ErrorCode.CONFLICT, f"There is an endpoint {self.target} that this deployment did not make: take another name.")
        if seen.status == "Failed":
            return [Action("delete", f"endpoint {self.target}, which failed ({seen.reason}), gone"), create]
        if seen.config == self._order.draft.config:
            return []
        config = self._order.draft.config or "the new configuration"
        return [Action("update", f"endpoint {self.target} with {config}, {self._order.spec.rollout.kind}")]

    def apply(self, action: Action) -> None:
        """See `Step`."""
        {"create": self._create, "update": self._update, "delete": self._delete}[action.verb]()

    def _create(self) -> None:
        tags = names.tag_list(self._order.tags)
        self._order.aws.call("sagemaker", "create_endpoint", EndpointName=self.target, EndpointConfigName=self._order.draft.config, Tags=tags)

    def _update(self) -> None:
        kept: dict[str, Any] = {"RetainAllVariantProperties": True, "ExcludeRetainedVariantProperties": [
            {"VariantPropertyType": "DesiredWeight"}, {"VariantPropertyType": "DataCaptureConfig"}]}  # fmt: skip
        guard = {"DeploymentConfig": rollout_request(self._order.spec.rollout)} if self._order.spec.is_guarded else {}
        how = {**guard, **(kept if self._order.spec.scaling is not None else {})}
        self._order.aws.call("sagemaker", "update_endpoint", EndpointName=self.target, EndpointConfigName=self._order.draft.config, **how)

    def _delete(self) -> None:
        self._order.aws.call("sagemaker", "delete_endpoint", EndpointName=self.target)
        at_rest(self._order.aws, self.target, self._pause)


class Service:
    """The endpoint answers, with the configuration that was asked for."""

    title = "service"

    def __init__(self, aws: Aws, draft: Draft, name: str, pause: Pause, report: Report) -> None:
        self._aws = aws
        self._draft = draft
        self._pause = pause
        self._report = report
        self.target = name

    def observe(self) -> EndpointSeen | None:
        """See `Step`."""
        return find_endpoint(self._aws, self.target)

    def decide(self, seen: EndpointSeen | None) -> Sequence[Action]:
        """See `Step`."""
        if seen is not None and seen.status == "InService" and seen.config == self._draft.config:
            return []
        return [Action("wait", f"endpoint {self.target} in service")]

    def apply(self, action: Action) -> None:
        """Wait. Raises `ArgosyError` LOAD_FAILED with AWS's reason and the end of the log."""
        seen = at_rest(self._aws, self.target, self._pause, self._report.note)
        if seen is None:
            raise self._failure(f"The endpoint {self.target} has gone while it was waited for")
        reason = seen.reason or "no reason is given"
        if seen.status != "InService":
            raise self._failure(f"The endpoint {self.target} is {seen.status}: {reason}")
        if seen.config != self._draft.config:
            raise self._failure(f"The update was rolled back, and {self.target} serves {seen.config} as before: {reason}")

    def _failure(self, message: str) -> ArgosyError:
        lines = log_tail(self._aws, self.target)
        detail = "\n".join(["the end of its log:", *(f"  {line}" for line in lines)]) if lines else f"{self.target} has no log."
        advice = "Correct the model or the image; what the containers print is in the log."
        return ArgosyError(ErrorCode.LOAD_FAILED, f"{message.rstrip('.')}. {advice}", detail=detail)
