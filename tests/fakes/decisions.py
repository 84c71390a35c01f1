"""What the decisions of a deployment are made with when no AWS is there."""

from __future__ import annotations

from typing import Any

from argosy.sagemaker.deploy import Aws
from argosy.sagemaker.deploy.names import TAG

OURS = {TAG: "n"}


class Session:
    """What a decision knows of AWS: the region."""

    region_name = "us-east-1"


AWS = Aws(Session(), "123456789012", "aws")


def verbs(step: Any, seen: object) -> list[str]:
    """What a step would do."""
    return [action.verb for action in step.decide(seen)]
