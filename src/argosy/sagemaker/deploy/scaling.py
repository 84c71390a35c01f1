"""Instances that come and go with the load, by Application Auto Scaling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from argosy.sagemaker.deploy.aws import Aws
from argosy.sagemaker.deploy.spec import Scaling, Spec
from argosy.sagemaker.deploy.step import Action

T = TypeVar("T")
_TARGET = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}


@dataclass(frozen=True, slots=True)
class ScalingSeen:
    """What is registered: the limits of each resource, and the settings of each policy by resource."""

    limits: Mapping[str, tuple[int, int]]
    policies: Mapping[str, Mapping[str, Any]]


def resource_of(endpoint: str, variant: str) -> str:
    """What a variant is called there."""
    return f"endpoint/{endpoint}/variant/{variant}"


def find_scaling(aws: Aws, endpoint: str) -> ScalingSeen:
    """What is registered for the variants of an endpoint."""
    begin = resource_of(endpoint, "")
    targets = aws.pages("application-autoscaling", "describe_scalable_targets", "ScalableTargets", ServiceNamespace="sagemaker")
    policies = aws.pages("application-autoscaling", "describe_scaling_policies", "ScalingPolicies", ServiceNamespace="sagemaker")
    limits = {found["ResourceId"]: (found["MinCapacity"], found["MaxCapacity"]) for found in targets}
    settings = {found["ResourceId"]: found.get("TargetTrackingScalingPolicyConfiguration", {}) for found in policies}
    return ScalingSeen(_below(limits, begin), _below(settings, begin))


def _below(found: Mapping[str, T], begin: str) -> Mapping[str, T]:
    return {resource: value for resource, value in found.items() if resource.startswith(begin)}


def tracking(scaling: Scaling, endpoint: str, *, is_asynchronous: bool) -> dict[str, Any]:
    """The target that is tracked: requests a minute for each instance, or, where they wait in a queue, those that wait."""
    metric: dict[str, Any] = {"PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}}
    if is_asynchronous:
        metric = {"CustomizedMetricSpecification": {
            "MetricName": "ApproximateBacklogSizePerInstance", "Namespace": "AWS/SageMaker", "Statistic": "Average",
            "Dimensions": [{"Name": "EndpointName", "Value": endpoint}]}}  # fmt: skip
    pauses = {"ScaleInCooldown": scaling.scale_in_pause_s, "ScaleOutCooldown": scaling.scale_out_pause_s}
    return {"TargetValue": float(scaling.invocations), **metric, **pauses}


class AutoScaling:
    """Each variant scales as asked, and none that was not asked to."""

    title = "autoscaling"

    def __init__(self, aws: Aws, spec: Spec) -> None:
        self._aws = aws
        self._spec = spec
        self.target = spec.name

    def observe(self) -> ScalingSeen:
        """See `Step`."""
        return find_scaling(self._aws, self._spec.name)

    def decide(self, seen: ScalingSeen) -> Sequence[Action]:
        """See `Step`."""
        scaling = self._spec.scaling
        wanted = [] if scaling is None else [resource_of(self._spec.name, variant.name) for variant in self._spec.variants]
        actions = [Action("remove", f"{resource} no longer scaled", resource) for resource in seen.limits if resource not in wanted]
        if scaling is None:
            return actions
        policy = tracking(scaling, self._spec.name, is_asynchronous=self._spec.asynchronous is not None)
        for resource in wanted:
            if seen.limits.get(resource) != (scaling.minimum, scaling.maximum):
                actions.append(Action("register", f"{resource} from {scaling.minimum} to {scaling.maximum} instances", resource))
            if not policy.items() <= seen.policies.get(resource, {}).items():
                actions.append(Action("track", f"{resource} scaled to {scaling.invocations:g} invocations a minute", resource))
        return actions

    def apply(self, action: Action) -> None:
        """See `Step`."""
        resource = action.subject
        scaling = self._spec.scaling
        if action.verb == "remove" or scaling is None:
            deregister(self._aws, resource)
        elif action.verb == "register":
            self._aws.call(
                "application-autoscaling", "register_scalable_target", **_TARGET, ResourceId=resource,
                MinCapacity=scaling.minimum, MaxCapacity=scaling.maximum)  # fmt: skip
        else:
            policy = tracking(scaling, self._spec.name, is_asynchronous=self._spec.asynchronous is not None)
            self._aws.call(
                "application-autoscaling", "put_scaling_policy", **_TARGET, ResourceId=resource, PolicyName=f"argosy-{resource.replace('/', '-')}",
                PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration=policy)  # fmt: skip


def deregister(aws: Aws, resource: str) -> None:
    """Scale a variant no longer; its policies and their alarms go with it."""
    aws.find("application-autoscaling", "deregister_scalable_target", **_TARGET, ResourceId=resource)
