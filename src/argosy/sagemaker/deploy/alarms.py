"""The alarms that make an update go back: they must be there, since SageMaker watches nothing otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from argosy.sagemaker.deploy.aws import Aws
from argosy.sagemaker.deploy.spec import refuse
from argosy.sagemaker.deploy.step import Action


class Alarms:
    """Every alarm that was named exists in CloudWatch."""

    title = "rollback alarms"

    def __init__(self, aws: Aws, alarms: Sequence[str]) -> None:
        self._aws = aws
        self._alarms = alarms
        self.target = ", ".join(alarms)

    def observe(self) -> set[str]:
        """The names of those that are there."""
        found = self._aws.pages("cloudwatch", "describe_alarms", "MetricAlarms", AlarmNames=list(self._alarms))
        return {str(alarm["AlarmName"]) for alarm in found}

    def decide(self, seen: set[str]) -> Sequence[Action]:
        """See `Step`. Raises `ArgosyError` INVALID_REQUEST with the names that are not there."""
        absent = [name for name in self._alarms if name not in seen]
        if absent:
            raise refuse(f"There is no CloudWatch alarm {', '.join(absent)}: make it first, or leave --alarm out.")
        return []

    def apply(self, action: Action) -> None:
        """See `Step`."""
