"""Which steps a deployment takes, in which order, and where it puts things."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from argosy.errors import ArgosyError
from argosy.sagemaker.deploy import Spec
from argosy.sagemaker.deploy.names import TAG
from argosy.sagemaker.deploy.plan import Plan
from argosy.sagemaker.deploy.rehearsal import Sample
from argosy.sagemaker.deploy.role import Role
from argosy.sagemaker.deploy.spec import Asynchronous, Rollout
from argosy.sagemaker.deploy.step import Action, Draft, Silence, Step
from fakes.scripted_aws import ACCOUNT, Script

ECR = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/shared/serving:1"
SPEC = Spec("n", model="s3://models/m.tar.gz", image=ECR, role=f"arn:aws:iam::{ACCOUNT}:role/given")


def plan(spec: Spec) -> Plan:
    """With no tool that could make an image."""
    return Plan(spec, Script().aws, {}, Silence(), lambda _: None)


def steps(spec: Spec, sample: Sample | None = None, *, wait: bool = True, check: bool = True) -> list[Step[Any]]:
    """The steps for a spec."""
    with plan(spec).steps(Draft(model_url="s3://models/m.tar.gz"), sample, wait=wait, check=check) as found:
        return found


def titles(spec: Spec, **how: Any) -> list[str]:
    """What they are called, in order."""
    return [step.title for step in steps(spec, **how)]


def test_everything_is_there_before_the_endpoint_is_touched() -> None:
    """What fails on the way leaves the endpoint as it was; what was replaced goes last, when the new one serves."""
    found = titles(SPEC)
    assert found[-5:] == ["earlier change", "endpoint", "service", "autoscaling", "what was replaced"]
    assert found.index("model") < found.index("endpoint configuration") < found.index("earlier change")
    assert set(found[: found.index("model")]) == {"bucket", "model data", "image", "execution role"}


def test_who_does_not_wait_stops_when_the_endpoint_is_told() -> None:
    """What was replaced must stay as long as nobody knows whether the new one will serve."""
    assert titles(SPEC, wait=False)[-1] == "endpoint"


def test_a_sample_is_asked_at_the_end() -> None:
    """When the endpoint is in service, and before what was replaced goes: an asynchronous one through the bucket."""
    found = titles(SPEC, sample=Sample(b"x", "text/plain"))
    assert found.index("service") < found.index("smoke test") < found.index("what was replaced")
    queued = dataclasses.replace(SPEC, asynchronous=Asynchronous("s3://b/answers"))
    assert "smoke test" in titles(queued, sample=Sample(b"x", "text/plain"))


def test_alarms_that_are_to_guard_the_change_are_looked_for_first() -> None:
    """AWS would not refuse one that is not there."""
    assert titles(dataclasses.replace(SPEC, rollout=Rollout(alarms=("errors",))))[0] == "rollback alarms"


def test_an_archive_of_this_machine_is_tried_here_first(tmp_path: Path) -> None:
    """Unless that is not wanted; one that is in S3 already cannot be."""
    (tmp_path / "MAR-INF").mkdir()
    (tmp_path / "MAR-INF" / "MANIFEST.json").write_text('{"model": {"modelName": "m", "handler": "handler:predict"}}')
    (tmp_path / "handler.py").write_text("def predict(text: str):\n    return text\n")
    local = dataclasses.replace(SPEC, model=str(tmp_path))
    assert titles(local)[0] == "check"
    assert "check" not in titles(local, check=False)
    assert "check" not in titles(SPEC)


def test_what_is_not_there_is_told_before_the_first_step(tmp_path: Path) -> None:
    """Model and image of this machine."""
    with pytest.raises(ArgosyError, match="none"):
        steps(dataclasses.replace(SPEC, model=str(tmp_path / "none")))
    with pytest.raises(ArgosyError, match="no-such-image"):
        steps(dataclasses.replace(SPEC, image="no-such-image:1"))


def test_names_follow_from_that_of_the_deployment() -> None:
    """Where it was not given others: the next run finds them again."""
    own = plan(Spec("n"))
    assert (own.bucket, own.repository) == (f"argosy-{ACCOUNT}-us-east-1-n", "argosy/n")
    given = plan(Spec("n", bucket="bucket", repository="images", tags={"team": "x"}))
    assert (given.bucket, given.repository, given.tags) == ("bucket", "images", {"team": "x", TAG: "n"})
    assert repr(given.belongings).startswith("<Belongings of n in ")


def allowed(spec: Spec) -> dict[str, Any]:
    """What the deployment's own role may do, by the name of the permission."""
    script = Script()
    with Plan(spec, script.aws, {}, Silence(), lambda _: None).steps(Draft(model_url=spec.model), None, wait=True, check=False) as found:
        (role,) = (step for step in found if isinstance(step, Role))
        role.apply(Action("grant", "its policy"))
    (put,) = script.asked("put_role_policy")
    return {statement["Sid"]: statement["Resource"] for statement in json.loads(put["PolicyDocument"])["Statement"]}


@pytest.mark.parametrize(("image", "repository"), [
    (ECR, f"us-east-1:{ACCOUNT}:repository/shared/serving"),
    ("999999999999.dkr.ecr.eu-west-1.amazonaws.com/theirs@sha256:" + "0" * 64, "eu-west-1:999999999999:repository/theirs"),
])  # fmt: skip
def test_the_role_may_pull_the_image_from_where_it_lies(image: str, repository: str) -> None:
    """In another account and region too."""
    assert allowed(dataclasses.replace(SPEC, role=None, image=image))["PullImage"] == [f"arn:aws:ecr:{repository}"]


def test_the_role_may_read_the_model_and_nothing_beside_it() -> None:
    """One that lies elsewhere, or the deployment's own folder, in which all its models lie."""
    own = f"arn:aws:s3:::argosy-{ACCOUNT}-us-east-1-n/argosy/n/*"
    spec = dataclasses.replace(SPEC, role=None)
    assert allowed(spec)["ReadModel"] == [own, "arn:aws:s3:::models/m.tar.gz"]
    stored = f"s3://argosy-{ACCOUNT}-us-east-1-n/argosy/n/models/x/m.tar.gz"
    assert allowed(dataclasses.replace(spec, model=stored))["ReadModel"] == [own]
    assert "WriteResults" not in allowed(spec)


def test_the_role_may_write_where_answers_are_to_go() -> None:
    """Of an asynchronous endpoint."""
    queued = dataclasses.replace(SPEC, role=None, asynchronous=Asynchronous("s3://answers/n/"))
    assert "arn:aws:s3:::answers/n/*" in allowed(queued)["WriteResults"]
