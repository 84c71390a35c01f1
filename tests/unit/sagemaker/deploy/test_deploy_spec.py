"""What SageMaker would refuse is refused at once, and says why."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy import Asynchronous, Capture, Rollout, Scaling, Serverless, Spec, Variant

SERVERLESS = (Variant(serverless=Serverless()),)


@pytest.mark.parametrize(("make", "said"), [
    (lambda: Spec(""), "no name for a deployment"),
    (lambda: Spec("a_b"), "no name for a deployment"),
    (lambda: Spec("-a"), "no name for a deployment"),
    (lambda: Spec("a" * 51), "no name for a deployment"),
    (lambda: Spec("a--b"), "no name for a deployment"),
    (lambda: Spec("a", bucket="Big"), "no name for a bucket"),
    (lambda: Spec("a", repository="UPPER"), "no name for an ECR repository"),
    (lambda: Spec("a", role="admin"), "not the ARN of a role"),
    (lambda: Spec("a", environment={"1x": "y"}), "no name for an environment variable"),
    (lambda: Spec("a", startup_timeout_s=59), "timeout of 59 s"),
    (lambda: Spec("a", download_timeout_s=3601), "timeout of 3601 s"),
    (lambda: Spec("a", variants=()), "needs a variant"),
    (lambda: Spec("a", variants=(Variant("x"), Variant("x"))), "same name: x, x"),
    (lambda: Spec("a", variants=(*SERVERLESS, Variant("b"))), "one variant"),
    (lambda: Spec("a", variants=SERVERLESS, scaling=Scaling()), "no queue, capture or scaling"),
    (lambda: Spec("a", variants=SERVERLESS, capture=Capture()), "no queue, capture or scaling"),
    (lambda: Spec("a", variants=SERVERLESS, asynchronous=Asynchronous()), "no queue, capture or scaling"),
    (lambda: Spec("a", variants=SERVERLESS, rollout=Rollout("canary")), "only where one variant with instances"),
    (lambda: Spec("a", variants=(Variant("x"), Variant("y")), rollout=Rollout(alarms=("z",))), "only where one variant with instances"),
    (lambda: Serverless(1000), "1000 MB"),
    (lambda: Serverless(1024, 0), "goes from 1 to 200"),
    (lambda: Serverless(1024, 201), "goes from 1 to 200"),
    (lambda: Variant("a b"), "no name for a variant"),
    (lambda: Variant(instance_type="m5.large"), "they begin with ml."),
    (lambda: Variant(instance_count=0), "0 instances"),
    (lambda: Variant(weight=-1.0), "weight -1.0"),
    (lambda: Variant(weight=math.nan), "weight nan"),
    (lambda: Variant(weight=math.inf), "weight inf"),
    (lambda: Capture(0), "1 to 100"),
    (lambda: Capture(101), "1 to 100"),
    (lambda: Scaling(0, 2), "from 0 to 2"),
    (lambda: Scaling(3, 2), "from 3 to 2"),
    (lambda: Scaling(invocations=0), "above 0"),
    (lambda: Rollout("sideways"), "all-at-once, canary or linear"),
    (lambda: Rollout("canary", 51), "1 to 50"),
    (lambda: Rollout(wait_s=3601), "0 to 3600"),
    (lambda: Rollout(alarms=tuple("abcdefghijk")), "at most 10"),
])  # fmt: skip
def test_a_wish_that_cannot_be_met(make: Callable[[], object], said: str) -> None:
    """INVALID_REQUEST, with what is wrong."""
    with pytest.raises(ArgosyError, match=said) as found:
        make()
    assert found.value.code is ErrorCode.INVALID_REQUEST


def test_wishes_at_the_edge() -> None:
    """The largest and the smallest that SageMaker takes are taken."""
    Spec("a" * 50, startup_timeout_s=60, download_timeout_s=3600, bucket="a.b-c", repository="a/b_c", role="arn:aws-cn:iam::123456789012:role/x/y")
    Spec("A-1-b", variants=(Variant(serverless=Serverless(6144, 200)),))
    Rollout("linear", 50, 0, tuple("abcdefghij"))
    # the step of a change that has none does not matter
    Rollout(percent=99)
