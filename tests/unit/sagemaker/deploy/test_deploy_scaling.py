"""What is done about the scaling of an endpoint, given what there is."""

from __future__ import annotations

from argosy.sagemaker.deploy import Asynchronous, Scaling, Spec, Variant
from argosy.sagemaker.deploy.scaling import AutoScaling, ScalingSeen, tracking
from fakes.decisions import AWS, verbs


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
