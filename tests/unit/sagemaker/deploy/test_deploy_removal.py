"""What belongs to a deployment is removed, all of it and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy.names import TAG, bucket_of, role_of
from argosy.sagemaker.deploy.removal import Belongings, Doomed, Removal, everything, superseded
from argosy.sagemaker.deploy.step import Action, Draft, Silence
from fakes.scripted_aws import ACCOUNT, Script, refusal

OURS = {"Tags": [{"Key": TAG, "Value": "n"}]}
THEIRS = {"Tags": [{"Key": TAG, "Value": "other"}]}
BUCKET = bucket_of("n", ACCOUNT, "us-east-1")
IN_SERVICE = {"EndpointStatus": "InService", "EndpointConfigName": "n-0123456789ab"}


class Notes(Silence):
    """Keeps what is worth knowing."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        """See `Report`."""
        self.texts.append(text)


def belongings(script: Script, notes: Notes | None = None, **given: str) -> Belongings:
    """Those of the deployment `n`."""
    return Belongings(script.aws, "n", lambda _: None, notes or Notes(), **given)


def texts(found: Iterator[Doomed]) -> list[str]:
    """What is to go."""
    return [doomed.text for doomed in found]


# -- the endpoint --------------------------------------------------------------------------------------------------------


def test_the_endpoint_of_somebody_else_is_left_alone() -> None:
    """That it bears the name is not enough."""
    script = Script({"describe_endpoint": IN_SERVICE, "list_tags": THEIRS})
    with pytest.raises(ArgosyError, match="did not make; it is left alone") as caught:
        texts(belongings(script).endpoint())
    assert caught.value.code is ErrorCode.CONFLICT
    assert script.changes() == []


def test_an_endpoint_that_moves_is_deleted_when_it_rests() -> None:
    """AWS refuses it before; afterwards it is waited for until it is gone."""
    moves, gone = {**IN_SERVICE, "EndpointStatus": "Updating"}, refusal("ValidationException", "Could not find endpoint")
    states = [moves, moves, IN_SERVICE, {**IN_SERVICE, "EndpointStatus": "Deleting"}, gone]
    script, notes = Script({"describe_endpoint": states, "list_tags": OURS}), Notes()
    (doomed,) = belongings(script, notes).endpoint()
    assert doomed.text == "endpoint n (Updating)"
    doomed.remove()
    assert script.changes() == ["delete_endpoint"]
    assert notes.texts == ["Updating"]


def test_an_endpoint_that_goes_by_itself_is_not_deleted() -> None:
    """Somebody else was faster."""
    script = Script({"describe_endpoint": [IN_SERVICE, refusal("ValidationException", "Could not find endpoint")], "list_tags": OURS})
    (doomed,) = belongings(script).endpoint()
    doomed.remove()
    assert script.changes() == []


def test_without_an_endpoint_there_is_nothing_to_do() -> None:
    """A removal that stopped goes on behind it."""
    script = Script()
    step = everything(belongings(script), "n", keep_data=False)[1]
    assert step.title == "endpoint"
    assert step.decide(step.observe()) == []


def test_what_may_not_be_seen_is_not_taken_for_absent() -> None:
    """Something would be left behind in silence."""
    with pytest.raises(ArgosyError, match="argosy sagemaker policy"):
        texts(belongings(Script({"describe_endpoint": refusal("AccessDeniedException", "no")})).endpoint())


# -- names and tags --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("list_them", "key", "kind", "name_key"), [
    ("list_models", "Models", "model", "Model"),
    ("list_endpoint_configs", "EndpointConfigs", "endpoint configuration", "EndpointConfig"),
])  # fmt: skip
def test_only_what_bears_name_and_tag_goes(list_them: str, key: str, kind: str, name_key: str) -> None:
    """A longer name that begins alike is another deployment's, one of the right form may be somebody's own, and the current one stays."""
    found = ["n-0123456789ab", "n-aaaaaaaaaaaa", "n-bbbbbbbbbbbb", "n-two-0123456789ab", "n-0123456789AB", "xn-0123456789ab", "n"]
    page = {key: [{f"{name_key}Name": name, f"{name_key}Arn": f"arn:{name}"} for name in found]}
    script = Script({list_them: page, "list_tags": [OURS, THEIRS]})
    own = belongings(script)
    doomed = own.models("n-0123456789ab") if kind == "model" else own.configs("n-0123456789ab")
    assert texts(doomed) == [f"{kind} n-aaaaaaaaaaaa"]
    assert [asked["ResourceArn"] for asked in script.asked("list_tags")] == ["arn:n-aaaaaaaaaaaa", "arn:n-bbbbbbbbbbbb"]


@pytest.mark.parametrize(("tags", "count"), [(OURS, 1), (THEIRS, 0), ({}, 0)])
def test_a_role_goes_if_it_is_tagged(tags: dict[str, Any], count: int) -> None:
    """With its policies, without which AWS does not let it go."""
    script = Script({"get_role": {"Role": tags}, "list_role_policies": {"PolicyNames": ["p"]}})
    found = list(belongings(script).role())
    assert [doomed.text for doomed in found] == [f"role {role_of('n', 'us-east-1')}"] * count
    for doomed in found:
        doomed.remove()
    assert script.changes() == ["delete_role_policy", "delete_role"] * count


@pytest.mark.parametrize(("tags", "count"), [(OURS, 1), (THEIRS, 0)])
def test_a_repository_goes_if_it_is_tagged(tags: dict[str, Any], count: int) -> None:
    """One that was given and is somebody's own stays, with its images."""
    page = {"repositories": [{"repositoryArn": "arn", "repositoryUri": "uri"}]}
    script = Script({"describe_repositories": [page, refusal("RepositoryNotFoundException")], "list_tags_for_resource": {"tags": tags["Tags"]}})
    assert texts(belongings(script, repository="given").repositories()) == ["image repository argosy/n, with its images"] * count
    assert [asked["repositoryNames"] for asked in script.asked("describe_repositories")] == [["argosy/n"], ["given"]]


# -- data ------------------------------------------------------------------------------------------------------------------


def test_objects_go_a_thousand_at_a_time() -> None:
    """As many as one call deletes; those of the deployment's folder only, and not the current one."""
    keys = [f"argosy/n/models/{number}" for number in range(1002)]
    script = Script({"list_objects_v2": {"Contents": [{"Key": key} for key in keys]}})
    found = list(belongings(script).objects(["b"], "s3://b/argosy/n/models/0", "models/"))
    assert [doomed.text for doomed in found] == ["1000 objects below s3://b/argosy/n/models/", "1 object below s3://b/argosy/n/models/"]
    assert script.asked("list_objects_v2") == [{"Bucket": "b", "Prefix": "argosy/n/models/"}]
    found[1].remove()
    assert script.asked("delete_objects") == [{"Bucket": "b", "Delete": {"Objects": [{"Key": keys[1001]}], "Quiet": True}}]


def test_an_object_that_does_not_go_is_told() -> None:
    """S3 answers 200 and says it inside."""
    script = Script({"list_objects_v2": {"Contents": [{"Key": "argosy/n/x"}]}, "delete_objects": {"Errors": [{"Code": "AccessDenied"}]}})
    (doomed,) = belongings(script).objects(["b"])
    with pytest.raises(ArgosyError, match="left 1 objects in b: AccessDenied"):
        doomed.remove()


def test_uploads_that_were_interrupted_go() -> None:
    """Wherever the deployment's data lies: in its own bucket, a given one, and those that its models name."""
    upload = {"Uploads": [{"Key": "argosy/n/models/x", "UploadId": "7"}]}
    script = Script({
        "list_models": {"Models": [{"ModelName": "n-0123456789ab", "ModelArn": "arn"}]}, "list_tags": OURS,
        "describe_model": {"PrimaryContainer": {"ModelDataUrl": "s3://named/argosy/n/models/x"}},
        "list_multipart_uploads": [refusal("NoSuchBucket"), upload, {}],
    })  # fmt: skip
    (doomed,) = belongings(script, bucket="given").uploads()
    assert doomed.text == "unfinished upload s3://given/argosy/n/models/x"
    assert [asked["Bucket"] for asked in script.asked("list_multipart_uploads")] == [BUCKET, "given", "named"]
    doomed.remove()
    assert script.asked("abort_multipart_upload") == [{"Bucket": "given", "Key": "argosy/n/models/x", "UploadId": "7"}]


def test_a_bucket_with_objects_of_others_is_kept() -> None:
    """And that is said."""
    notes = Notes()
    script = Script({"get_bucket_tagging": {"TagSet": OURS["Tags"]}, "list_objects_v2": {"Contents": [{"Key": "argosy/n/x"}, {"Key": "theirs"}]}})
    assert texts(belongings(script, notes).buckets()) == []
    assert notes.texts == [f"the bucket {BUCKET} is kept: it holds 1 objects of others, as theirs"]


@pytest.mark.parametrize(("answers", "expected"), [
    ({"get_bucket_tagging": {"TagSet": OURS["Tags"]}}, [f"bucket {BUCKET}"]),
    ({"get_bucket_tagging": refusal("NoSuchTagSet"), "head_bucket": {}}, [f"bucket {BUCKET}"]),
    ({"get_bucket_tagging": {"TagSet": THEIRS["Tags"]}, "head_bucket": {}}, []),
    ({}, []),
])  # fmt: skip
def test_a_bucket_goes_if_it_is_its_own(answers: dict[str, Any], expected: list[str]) -> None:
    """By its tag; or it has the deployment's name and no tags yet, since making it was interrupted."""
    assert texts(belongings(Script(answers)).buckets()) == expected


def test_a_bucket_that_was_given_and_has_no_tag_is_kept() -> None:
    """It was there before."""
    script = Script({"get_bucket_tagging": refusal("NoSuchTagSet"), "head_bucket": [refusal("404"), {}]})
    assert texts(belongings(script, bucket="given").buckets()) == []


def test_a_log_goes_if_there_is_one() -> None:
    """SageMaker makes it with the first line."""
    assert texts(belongings(Script()).logs()) == []
    script = Script({"describe_log_streams": {"logStreams": []}})
    (doomed,) = belongings(script).logs()
    doomed.remove()
    assert script.asked("delete_log_group") == [{"logGroupName": "/aws/sagemaker/Endpoints/n"}]


# -- steps -----------------------------------------------------------------------------------------------------------------


def test_the_models_go_when_the_data_is_gone() -> None:
    """They alone know where a given bucket is: a removal that stops can go on. Data may be kept."""
    titles = [step.title for step in everything(belongings(Script()), "n", keep_data=False)]
    assert titles.index("models") > max(titles.index(name) for name in ("objects", "bucket", "image repository", "log"))
    assert titles[:2] == ["autoscaling", "endpoint"]
    kept = [step.title for step in everything(belongings(Script()), "n", keep_data=True)]
    assert kept == ["autoscaling", "endpoint", "endpoint configurations", "models", "execution role"]


def test_a_step_removes_what_it_was_told_to() -> None:
    """Each action one thing, in order."""
    removed: list[str] = []

    def dooming(name: str) -> Callable[[], object]:
        return lambda: removed.append(name)

    step = Removal("things", "n", lambda: iter([Doomed("a", dooming("a")), Doomed("b", dooming("b"))]))
    actions = step.decide(step.observe())
    assert actions == [Action("remove", "a", "0"), Action("remove", "b", "1")]
    step.apply(actions[1])
    assert removed == ["b"]


def test_an_update_removes_what_it_has_replaced_and_keeps_what_is_current() -> None:
    """Configurations, models and archives; nothing outside the folder of models."""
    script = Script({
        "list_endpoint_configs": {"EndpointConfigs": [{"EndpointConfigName": f"n-{x * 12}", "EndpointConfigArn": "a"} for x in "ab"]},
        "list_models": {"Models": [{"ModelName": f"n-{x * 12}", "ModelArn": "a"} for x in "cd"]}, "list_tags": OURS,
        "list_objects_v2": {"Contents": [{"Key": "argosy/n/models/old"}, {"Key": "argosy/n/models/new"}]},
    })  # fmt: skip
    draft = Draft(model_url="s3://b/argosy/n/models/new", model="n-cccccccccccc", config="n-aaaaaaaaaaaa")
    step = superseded(belongings(script), draft, "n", "b")
    assert [action.text for action in step.decide(step.observe())] == [
        "endpoint configuration n-bbbbbbbbbbbb", "model n-dddddddddddd", "1 object below s3://b/argosy/n/models/"]  # fmt: skip
    assert script.asked("list_objects_v2")[0]["Prefix"] == "argosy/n/models/"
