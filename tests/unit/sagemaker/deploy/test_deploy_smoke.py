"""The last step of a deployment asks the endpoint."""

from __future__ import annotations

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy.rehearsal import Sample
from argosy.sagemaker.deploy.smoke import SmokeTest
from fakes.decisions import verbs
from fakes.scripted_aws import Script, body, refusal

SAMPLE = Sample(b"great", "text/plain")
QUEUED = {"InferenceId": "i", "OutputLocation": "s3://b/out", "FailureLocation": "s3://b/failed"}


def smoke(script: Script, bucket: str | None = None) -> SmokeTest:
    """One that waits without waiting."""
    return SmokeTest(script.aws, "e", SAMPLE, bucket, lambda _: None)


def test_it_is_made_in_every_run() -> None:
    """That it went well yesterday proves nothing."""
    step = smoke(Script())
    assert verbs(step, None) == ["invoke"]
    (action,) = step.decide(None)
    assert action.text == "e answers 5 bytes of text/plain"


def test_the_sample_is_sent_as_it_is() -> None:
    """With its type; the answer is kept."""
    script = Script({"invoke_endpoint": {"Body": body(b"positive"), "ResponseMetadata": {"HTTPHeaders": {}}}})
    step = smoke(script)
    step.apply(step.decide(None)[0])
    assert step.answer == b"positive"
    assert script.asked("invoke_endpoint") == [{"EndpointName": "e", "Body": b"great", "ContentType": "text/plain"}]


def test_a_model_that_refuses_the_sample_fails_the_step() -> None:
    """In its own words; there is no answer."""
    step = smoke(Script({"invoke_endpoint": refusal("ModelError", "ValueError: boom")}))
    with pytest.raises(ArgosyError, match="ValueError: boom"):
        step.apply(step.decide(None)[0])
    assert step.answer is None


def test_an_asynchronous_endpoint_answers_through_the_bucket() -> None:
    """The request lies there, and so does the answer, a while later."""
    script = Script({"invoke_endpoint_async": QUEUED, "get_object": [refusal("NoSuchKey"), refusal("NoSuchKey"), {"Body": body(b"later")}]})
    step = smoke(script, "b")
    step.apply(step.decide(None)[0])
    assert step.answer == b"later"
    assert script.changes() == ["put_object", "invoke_endpoint_async"]


def test_an_asynchronous_endpoint_that_never_answers_fails_the_step() -> None:
    """After a quarter of an hour."""
    step = smoke(Script({"invoke_endpoint_async": QUEUED}), "b")
    with pytest.raises(ArgosyError, match="no answer in s3://b/out after 900 s") as caught:
        step.apply(step.decide(None)[0])
    assert caught.value.code is ErrorCode.TIMED_OUT
