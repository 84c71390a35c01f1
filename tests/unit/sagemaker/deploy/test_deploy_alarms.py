"""Alarms that a rollout watches have to be there."""

from __future__ import annotations

import pytest

from argosy.errors import ArgosyError
from argosy.sagemaker.deploy import Rollout
from argosy.sagemaker.deploy.alarms import Alarms
from fakes.decisions import AWS
from fakes.scripted_aws import Script


def test_alarms() -> None:
    """All of them, or none: the absent ones are named."""
    alarms = Alarms(AWS, Rollout(alarms=("a", "b", "c")).alarms)
    assert alarms.decide({"a", "b", "c", "d"}) == []
    with pytest.raises(ArgosyError, match="no CloudWatch alarm b, c"):
        alarms.decide({"a"})


def test_alarms_are_looked_for_by_name() -> None:
    """Those that are there, whatever else CloudWatch says of them."""
    script = Script({"describe_alarms": {"MetricAlarms": [{"AlarmName": "a", "StateValue": "OK"}]}})
    assert Alarms(script.aws, ["a", "b"]).observe() == {"a"}
    assert script.asked("describe_alarms") == [{"AlarmNames": ["a", "b"]}]
