"""What is done about the scaling of an endpoint, given what there is."""

from __future__ import annotations

from argosy.sagemaker.deploy import Asynchronous, Scaling, Spec, Variant
from argosy.sagemaker.deploy.scaling import AutoScaling, ScalingSeen, find_scaling, tracking
from fakes.decisions import AWS, verbs
from fakes.scripted_aws import Script


def test_scaling() -> None:
    """Limits and policy each only if they differ; variants that are not wanted, or all, are let go."""
    spec = Spec("n", scaling=Scaling(1, 3, 50.0))
    resource = "endpoint/n/variant/main"
    policy = tracking(Scaling(1, 3, 50.0), "n", is_asynchronous=False)
    assert verbs(AutoScaling(AWS, spec), ScalingSeen({}, {})) == ["register", "track"]
    assert verbs(AutoScaling(AWS, spec), ScalingSeen({resource: (1, 3)}, {resource: policy})) == []
    # AWS may say more than it was told
    assert verbs(AutoScaling(AWS, spec), ScalingSeen({resource: (1, 3)}, {resource: {**policy, "DisableScaleIn": False}})) == []
    assert verbs(AutoScaling(AWS, spec), ScalingSeen({resource: (1, 4)}, {resource: policy})) == ["register"]
    assert verbs(AutoScaling(AWS, spec), ScalingSeen({resource: (1, 3)}, {resource: {**policy, "TargetValue": 1.0}})) == ["track"]
    assert verbs(AutoScaling(AWS, spec), ScalingSeen({"endpoint/n/variant/old": (1, 3)}, {})) == ["remove", "register", "track"]
    assert verbs(AutoScaling(AWS, Spec("n")), ScalingSeen({resource: (1, 3)}, {resource: policy})) == ["remove"]
    two = Spec("n", scaling=Scaling(), variants=(Variant("a"), Variant("b")))
    assert verbs(AutoScaling(AWS, two), ScalingSeen({}, {})) == ["register", "track"] * 2


def test_queued_requests_scale_by_what_waits() -> None:
    """Nobody invokes the instances of an asynchronous endpoint, so its backlog counts."""
    policy = tracking(Scaling(), "n", is_asynchronous=Spec("n", asynchronous=Asynchronous()).asynchronous is not None)
    assert policy["CustomizedMetricSpecification"]["MetricName"] == "ApproximateBacklogSizePerInstance"
    assert "PredefinedMetricSpecification" not in policy


def test_only_the_endpoints_own_variants_are_seen() -> None:
    """Not those of an endpoint whose name begins alike."""
    own, alike = "endpoint/n/variant/main", "endpoint/n2/variant/main"
    script = Script({
        "describe_scalable_targets": {"ScalableTargets": [{"ResourceId": name, "MinCapacity": 1, "MaxCapacity": 2} for name in (own, alike)]},
        "describe_scaling_policies": {"ScalingPolicies": [
            {"ResourceId": own, "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 1.0}}, {"ResourceId": alike}]},
    })  # fmt: skip
    assert find_scaling(script.aws, "n") == ScalingSeen({own: (1, 2)}, {own: {"TargetValue": 1.0}})


def test_what_is_decided_is_done_and_nothing_else() -> None:
    """After which there is nothing to decide."""
    script, resource = Script(), "endpoint/n/variant/main"
    step = AutoScaling(script.aws, Spec("n", scaling=Scaling(1, 3, 50.0)))
    for action in step.decide(ScalingSeen({"endpoint/n/variant/old": (1, 1)}, {})):
        step.apply(action)
    assert [call for call, _ in script.calls] == ["deregister_scalable_target", "register_scalable_target", "put_scaling_policy"]
    removed, registered, tracked = (arguments for _, arguments in script.calls)
    assert removed["ResourceId"] == "endpoint/n/variant/old"
    assert (registered["ResourceId"], registered["MinCapacity"], registered["MaxCapacity"]) == (resource, 1, 3)
    assert (tracked["ResourceId"], tracked["PolicyName"]) == (resource, "argosy-endpoint-n-variant-main")
    policy = tracked["TargetTrackingScalingPolicyConfiguration"]
    assert verbs(step, ScalingSeen({resource: (1, 3)}, {resource: policy})) == []
    assert {arguments["ScalableDimension"] for _, arguments in script.calls} == {"sagemaker:variant:DesiredInstanceCount"}
