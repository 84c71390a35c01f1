"""What is done about an endpoint, given its status."""

from __future__ import annotations

import pytest

from argosy.sagemaker.deploy import Spec
from argosy.sagemaker.deploy.hosting import Endpoint, EndpointSeen, Order, Service, Settlement
from argosy.sagemaker.deploy.step import Draft, Silence
from fakes.decisions import AWS, OURS, verbs


@pytest.mark.parametrize(("seen", "expected"), [
    (None, ["create"]),
    (EndpointSeen("InService", "c-2", ""), []),
    (EndpointSeen("InService", "c-1", ""), ["update"]),
    (EndpointSeen("OutOfService", "c-1", ""), ["update"]),
    (EndpointSeen("UpdateRollbackFailed", "c-1", ""), ["update"]),
    (EndpointSeen("Failed", "c-2", "why"), ["delete", "create"]),
])  # fmt: skip
def test_an_endpoint(seen: EndpointSeen | None, expected: list[str]) -> None:
    """One that failed is made anew: SageMaker allows nothing else."""
    assert verbs(Endpoint(Order(AWS, Draft(config="c-2"), Spec("n"), OURS), lambda _: None), seen) == expected


@pytest.mark.parametrize("status", ["Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"])
def test_what_moves_is_waited_for(status: str) -> None:
    """Before a change, and after it."""
    seen = EndpointSeen(status, "c-2", "")
    assert verbs(Settlement(AWS, "n", lambda _: None), seen) == ["wait"]
    assert verbs(Service(AWS, Draft(config="c-2"), "n", lambda _: None, Silence()), seen) == ["wait"]


def test_what_rests_is_not_waited_for() -> None:
    """Nothing, an endpoint in service and one that failed do not move; only the right configuration is what was wanted."""
    settlement = Settlement(AWS, "n", lambda _: None)
    assert verbs(settlement, None) == verbs(settlement, EndpointSeen("InService", "", "")) == verbs(settlement, EndpointSeen("Failed", "", "")) == []
    service = Service(AWS, Draft(config="c-2"), "n", lambda _: None, Silence())
    assert verbs(service, EndpointSeen("InService", "c-2", "")) == []
    assert verbs(service, EndpointSeen("InService", "c-1", "")) == verbs(service, None) == ["wait"]
