"""A deployment from a program: what it asks of AWS, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy import Deployment, Spec
from argosy.sagemaker.deploy.names import TAG, bucket_of
from argosy.sagemaker.deploy.step import Stopped
from fakes.scripted_aws import ACCOUNT, Script, body, refusal

IMAGE = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/serving:1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/given"
MODEL = "s3://models/m.tar.gz"


def deployment(script: Script, spec: Spec | str = "n", **values: Any) -> Deployment:
    """One in the account of the script, which never waits."""
    return Deployment(spec, aws=script.aws, pause=lambda _: None, image_tools={}, **values)


@pytest.mark.parametrize("values", [{}, {"model": MODEL}, {"image": IMAGE}])
def test_without_a_model_and_an_image_nothing_is_asked(values: dict[str, Any]) -> None:
    """Of nobody: both are said by whoever deploys."""
    script = Script()
    with pytest.raises(ArgosyError, match="Deploying n needs a model and an image"):
        deployment(script, **values).deploy()
    assert script.calls == []


def test_a_step_that_fails_stops_the_rest_and_says_how_to_go_on() -> None:
    """With what was made until then, and how to get rid of it: with the bucket, where one was given."""
    script = Script({"head_bucket": refusal("AccessDenied", "no")})
    one = deployment(script, model=MODEL, image=IMAGE, role=ROLE, bucket="given")
    with pytest.raises(Stopped, match=r"^Stopped at step ") as caught:
        one.deploy()
    assert caught.value.code is ErrorCode.FORBIDDEN
    assert "The same command goes on from here. `argosy sagemaker delete n --bucket given` removes what was made." in caught.value.detail
    assert [name for name in script.changes() if name.startswith(("create_model", "create_endpoint"))] == []


def test_a_dry_run_changes_nothing() -> None:
    """It says what it would do as far as that can be known."""
    script = Script({"describe_images": {"imageDetails": [{"imageDigest": "sha256:0"}]}, "head_object": {"ContentLength": 1}})
    done = deployment(script, model=MODEL, image=IMAGE, role=ROLE).deploy(dry_run=True)
    assert "create" in [action.verb for action in done.actions]
    assert script.changes() == []


def test_an_update_needs_something_that_is_deployed() -> None:
    """And asks for nothing else before it knows."""
    script = Script()
    with pytest.raises(ArgosyError, match="There is no endpoint n in us-east-1: deploy it first") as caught:
        deployment(script).update(environment={"A": "1"})
    assert caught.value.code is ErrorCode.MODEL_NOT_FOUND
    assert [name for name, _ in script.calls] == ["describe_endpoint"]


def test_a_value_that_no_spec_has_is_a_mistake_of_the_program() -> None:
    """Told at once."""
    with pytest.raises(TypeError, match="colour"):
        deployment(Script(), colour="red")


def test_a_spec_may_be_given_whole_and_changed() -> None:
    """The one that was given stays as it was."""
    spec = Spec("n", model=MODEL)
    one = deployment(Script(), spec, image=IMAGE)
    assert (one.spec.image, one.spec.model, spec.image) == (IMAGE, MODEL, Spec("n").image)
    assert repr(one) == f"<Deployment n of {MODEL}>"
    assert repr(deployment(Script())) == "<Deployment n of what is deployed>"


def test_text_is_sent_as_utf_8() -> None:
    """Bytes as they are."""
    script = Script({"invoke_endpoint": [{"Body": body(b"1"), "ResponseMetadata": {"HTTPHeaders": {}}}] * 2})
    deployment(script).invoke("é")
    deployment(script).invoke(b"\xff", "application/x-bytes", target_model="m")
    assert [asked["Body"] for asked in script.asked("invoke_endpoint")] == ["é".encode(), b"\xff"]
    assert script.asked("invoke_endpoint")[1]["TargetModel"] == "m"


def test_a_request_for_later_goes_to_the_bucket_of_the_deployment() -> None:
    """That of the spec without a question; else the one in which the deployed model lies."""
    script = Script()
    deployment(script, bucket="given").invoke_later(b"x")
    assert [asked["Bucket"] for asked in script.asked("put_object")] == ["given"]
    variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    script = Script({
        "describe_endpoint": {"EndpointStatus": "InService", "EndpointConfigName": "c"}, "list_tags": {"Tags": [{"Key": TAG, "Value": "n"}]},
        "describe_endpoint_config": {"ProductionVariants": [variant]},
        "describe_model": {"PrimaryContainer": {"ModelDataUrl": "s3://found/x/m.tar.gz", "Image": IMAGE}, "ExecutionRoleArn": ROLE},
    })  # fmt: skip
    deployment(script).invoke_later(b"x")
    assert [asked["Bucket"] for asked in script.asked("put_object")] == ["found"]


def test_a_removal_names_what_it_would_remove() -> None:
    """A dry run removes nothing; data is kept if that is wanted."""
    tags = {"TagSet": [{"Key": TAG, "Value": "n"}]}
    script = Script({"describe_log_streams": {"logStreams": []}, "get_bucket_tagging": tags, "list_objects_v2": {}})
    found = deployment(script).delete(dry_run=True)
    assert [action.text for action in found] == [f"bucket {bucket_of('n', ACCOUNT, 'us-east-1')}", "log group /aws/sagemaker/Endpoints/n"]
    assert deployment(script).delete(dry_run=True, keep_data=True) == ()
    assert script.changes() == []


def test_what_is_not_there_is_removed_already() -> None:
    """Nothing is done, and that is no failure."""
    script = Script()
    assert deployment(script).delete() == ()
    assert script.changes() == []


def test_the_permissions_name_what_is_given() -> None:
    """A role that is given need not be made."""
    allowed = {statement["Sid"]: statement for statement in deployment(Script(), role=ROLE, bucket="given").policy()["Statement"]}
    assert any("arn:aws:s3:::given" in str(statement["Resource"]) for statement in allowed.values())
    assert not any("iam:CreateRole" in statement["Action"] for statement in allowed.values())
