"""A deployment's whole life, by boto3 over HTTP against moto: made, made again, changed, asked, watched, removed."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy import Asynchronous, Capture, Deployment, Rollout, Scaling, Serverless, Stopped, Variant, connect
from argosy.sagemaker.deploy.names import TAG
from argosy.sagemaker.deploy.step import Silence
from fakes.account import BUCKET, EMPTY, NAME, ROLE, Account, account_at, packed
from fakes.aws import Fault, moto_process

pytest.importorskip("boto3")
OURS = [{"Key": TAG, "Value": NAME}]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """One account for all tests of this file, which empty it."""
    with moto_process() as moto, account_at(moto, tmp_path_factory.mktemp("model")) as made:
        yield made


@pytest.fixture
def account(everything: Account, tmp_path: Path) -> Account:
    """An empty account and a fresh model."""
    return everything.emptied(tmp_path)


def queue(*said: Any) -> deque[Any]:
    """What comes one after the other."""
    return deque(said)


def writes(account: Account) -> list[str]:
    """The calls so far that may change something."""
    reading = ("Get", "Head", "List", "Describe", "Filter")
    return [str(call) for call in account.fake.calls if not call.operation.startswith(reading)]


def stopped(account: Account, **values: Any) -> Stopped:
    """How a deployment stops that must not succeed."""
    with pytest.raises(Stopped) as found:
        account.deployment(**values).deploy(check=False)
    return found.value


def test_everything_is_made_and_marked(account: Account) -> None:
    """After a deployment there are bucket, object, repository, image, role, model, configuration and endpoint, private, encrypted, tagged."""
    deployed = account.deployment(scaling=Scaling(1, 3, 50.0), environment={"LEVEL": "7"}, tags={"team": "reviews"}).deploy(check=False)
    tags = [{"Key": TAG, "Value": NAME}, {"Key": "team", "Value": "reviews"}]
    found = account.contents()
    bucket = found["buckets"][BUCKET]
    assert bucket["tags"] == tags
    assert set(bucket["access"].values()) == {True}
    assert bucket["encryption"]["Rules"][0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    ((key, (_, metadata, encryption, object_tags)),) = bucket["objects"].items()
    assert deployed.model_url == f"s3://{BUCKET}/{key}"
    assert (len(metadata["sha256"]), encryption, object_tags) == (64, "AES256", OURS)
    mutability, scans, repository_tags, ((digest, _),) = found["repositories"]["argosy/hello"]
    assert (mutability, scans["scanOnPush"], repository_tags) == ("MUTABLE", True, tags)
    assert deployed.image.endswith(f"/argosy/hello@{digest}")
    model = found["models"][deployed.model]
    assert model["PrimaryContainer"] == {"Image": deployed.image, "ModelDataUrl": deployed.model_url, "Environment": {"LEVEL": "7"}}
    assert model["ExecutionRoleArn"].endswith(f":role/{ROLE}")
    trust, role_tags, policies = found["roles"][ROLE]
    assert (trust["Statement"][0]["Principal"], role_tags) == ({"Service": "sagemaker.amazonaws.com"}, tags)
    read = next(statement for statement in policies["argosy-endpoint"]["Statement"] if statement["Sid"] == "ReadModel")
    assert read["Resource"] == [f"arn:aws:s3:::{BUCKET}/argosy/hello/*"]
    endpoint, endpoint_tags = found["endpoints"][NAME]
    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"], endpoint_tags) == ("InService", deployed.config, tags)
    (target,), (policy,) = found["scaling"]
    assert (target["MinCapacity"], target["MaxCapacity"], target["ResourceId"]) == (1, 3, "endpoint/hello/variant/main")
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 50.0
    assert [login.user for login in account.tool.logins] == ["AWS"]


def test_a_second_run_changes_nothing(account: Account) -> None:
    """The same deployment again only looks; the check on this machine is left out, too."""
    account.deployment(scaling=Scaling(), capture=Capture(10)).deploy(check=False)
    before = account.contents()
    account.fake.forget()
    assert account.deployment(scaling=Scaling(), capture=Capture(10)).deploy().actions == ()
    assert writes(account) == []
    assert account.contents() == before
    assert len(account.tool.pushed) == 1


def test_a_dry_run_changes_nothing(account: Account) -> None:
    """It tells every action, in an empty account and in one where only the image is new."""
    told = account.deployment(scaling=Scaling()).deploy(dry_run=True)
    first = ["try", "create", "block", "encrypt", "upload", "create", "push", "create", "grant"]
    assert [action.verb for action in told.actions] == [*first, "create", "create", "create", "wait", "register", "track"]
    assert writes(account) == []
    assert account.contents() == EMPTY
    account.deployment(scaling=Scaling()).deploy(check=False)
    account.fake.forget()
    account.tool.contents["hello:1"] = "second"
    told = account.deployment(scaling=Scaling()).deploy(dry_run=True, check=False)
    assert [action.verb for action in told.actions] == ["push", "create", "create", "update", "wait", "remove", "remove"]
    assert writes(account) == []


def test_an_update_replaces_what_changed(account: Account) -> None:
    """Another archive makes another model and configuration; the endpoint moves, and what was replaced is gone."""
    first = account.deployment(scaling=Scaling()).deploy(check=False)
    packed(account.folder, "def predict(text: str) -> str:\n    return text.lower()\n")
    account.fake.forget()
    account.deployment().update(model=str(account.folder / "hello.tar.gz"), check=False, rollout=Rollout("canary", 20, 5))
    found = account.contents()
    assert len(found["models"]) == len(found["configs"]) == len(found["buckets"][BUCKET]["objects"]) == 1
    assert first.model not in found["models"]
    assert first.config not in found["configs"]
    asked = account.fake.body_of("sagemaker:UpdateEndpoint")
    assert asked["DeploymentConfig"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"] == {
        "Type": "CANARY", "WaitIntervalInSeconds": 5, "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 20}}  # fmt: skip
    assert asked["RetainAllVariantProperties"] is True
    assert found["endpoints"][NAME][1] == OURS
    assert found["scaling"][0]


def test_an_update_keeps_what_it_is_not_told(account: Account) -> None:
    """Everything about an endpoint is read back: an update without changes does nothing."""
    settings: dict[str, Any] = {
        "variants": (Variant("a", "ml.c5.xlarge", 2, 3.0), Variant("b", "ml.m5.large", 1, 1.0)), "asynchronous": Asynchronous(max_concurrency=4),
        "capture": Capture(30), "scaling": Scaling(1, 4, 7.0, 60, 30), "environment": {"A": "b"}, "tags": {"team": "x"}, "startup_timeout_s": 600,
        "download_timeout_s": 700}  # fmt: skip
    account.deployment(**settings).deploy(check=False)
    before = account.contents()
    assert account.deployment().update().actions == ()
    assert account.contents() == before


def test_an_update_of_nothing(account: Account) -> None:
    """It says that there is no endpoint."""
    with pytest.raises(ArgosyError, match="no endpoint hello in us-east-1: deploy it first") as found:
        account.deployment().update()
    assert found.value.code is ErrorCode.MODEL_NOT_FOUND


def test_removal_leaves_what_others_made(account: Account) -> None:
    """Two deployments and a bucket of somebody: one goes, completely; nothing else does. A second removal finds nothing."""
    account.deployment("hello-2").deploy(check=False)
    account.direct["s3"].create_bucket(Bucket="somebody")
    account.direct["s3"].put_object(Bucket="somebody", Key="argosy/hellox/models/y", Body=b"1")
    before = account.contents()
    account.deployment(scaling=Scaling(), capture=Capture()).deploy(check=False)
    account.direct["logs"].create_log_group(logGroupName="/aws/sagemaker/Endpoints/hello")
    removed = account.deployment().delete()
    assert account.contents() == before
    assert [action.text.partition(" ")[0] for action in removed] == [
        "scaling", "endpoint", "endpoint", "image", "1", "bucket", "log", "model", "role"]  # fmt: skip
    account.fake.forget()
    assert account.deployment().delete() == ()
    assert writes(account) == []


def test_removal_that_keeps_data(account: Account) -> None:
    """Bucket and images stay; the endpoint, and what costs nothing, goes."""
    account.deployment().deploy(check=False)
    account.deployment().delete(keep_data=True)
    found = account.contents()
    assert found["buckets"][BUCKET]["objects"]
    assert found["repositories"]["argosy/hello"][3]
    assert (found["endpoints"], found["models"], found["configs"], found["roles"]) == ({}, {}, {}, {})


def test_dry_removal(account: Account) -> None:
    """It tells what would go, and removes nothing."""
    account.deployment().deploy(check=False)
    before = account.contents()
    assert len(account.deployment().delete(dry_run=True)) == 7
    assert account.contents() == before


def test_given_places_are_used_and_left(account: Account) -> None:
    """A bucket, a repository and a role of somebody are not changed and not removed; of the objects only the deployment's own go."""
    account.direct["s3"].create_bucket(Bucket="somebody")
    account.direct["s3"].put_object(Bucket="somebody", Key="other", Body=b"1")
    account.direct["ecr"].create_repository(repositoryName="shared")
    before = account.contents()
    given: dict[str, Any] = {"bucket": "somebody", "repository": "shared", "role": "arn:aws:iam::123456789012:role/theirs"}
    deployed = account.deployment(**given).deploy(check=False)
    assert deployed.model_url.startswith("s3://somebody/argosy/hello/")
    assert "/shared@sha256:" in deployed.image
    assert account.contents()["models"][deployed.model]["ExecutionRoleArn"] == given["role"]
    assert account.deployment().update().actions == ()
    account.deployment().delete()
    after = account.contents()
    assert after["repositories"].pop("shared")[:3] == before["repositories"].pop("shared")[:3]
    assert after == before


def test_an_own_bucket_with_something_else_in_it_stays(account: Account) -> None:
    """It is not for us to delete what somebody has put there."""
    account.deployment().deploy(check=False)
    account.direct["s3"].put_object(Bucket=BUCKET, Key="notes.txt", Body=b"1")
    account.deployment().delete()
    assert list(account.contents()["buckets"][BUCKET]["objects"]) == ["notes.txt"]


@pytest.mark.parametrize("kind", ["endpoint", "role", "bucket"])
def test_what_others_made_under_our_names(account: Account, kind: str) -> None:
    """An endpoint or a role of that name is refused, a bucket is used unchanged; a removal leaves all of them."""
    client, iam, s3 = account.direct["sagemaker"], account.direct["iam"], account.direct["s3"]
    if kind == "endpoint":
        client.create_model(ModelName="m", PrimaryContainer={"Image": "i"}, ExecutionRoleArn="arn:aws:iam::123456789012:role/r")
        variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
        client.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
        client.create_endpoint(EndpointName=NAME, EndpointConfigName="c")
    elif kind == "role":
        iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument="{}")
    else:
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    if kind == "bucket":
        account.deployment().deploy(check=False)
        account.deployment().delete()
        assert account.contents()["buckets"][BUCKET]["tags"] == [{"Key": "a", "Value": "b"}]
        return
    assert f"There is a{'n' if kind == 'endpoint' else ''} {kind}" in stopped(account).message
    if kind == "role":
        account.deployment().delete()
        assert ROLE in account.contents()["roles"]
    else:
        with pytest.raises(Stopped, match="left alone"):
            account.deployment().delete()
        assert NAME in account.contents()["endpoints"]


def test_serverless(account: Account) -> None:
    """Memory and concurrency instead of instances; it says what is billed."""
    account.deployment(variants=(Variant(serverless=Serverless(3072, 9)),)).deploy(check=False)
    (config,) = account.contents()["configs"].values()
    assert config["ProductionVariants"][0]["ServerlessConfig"] == {"MemorySizeInMB": 3072, "MaxConcurrency": 9}
    status = account.deployment().status()
    assert status.variants[0].instances is None
    assert status.costs[0] == "main: serverless 3072 MB, billed by the request"
    assert account.deployment().update().actions == ()


def test_an_update_that_sagemaker_cannot_watch_over(account: Account) -> None:
    """With several variants, or without instances, it refuses a deployment configuration: none is sent."""
    for first, second in ((Serverless(1024), Serverless(2048)), (None, None)):
        before = (Variant(serverless=first),) if first else (Variant("a"), Variant("b"))
        after = (Variant(serverless=second),) if second else (Variant("a"), Variant("b", weight=2.0))
        account.fake.reset()
        account.deployment(variants=before).deploy(check=False)
        account.deployment(variants=after).deploy(check=False)
        assert "DeploymentConfig" not in account.fake.body_of("sagemaker:UpdateEndpoint")


def test_the_smoke_test_of_a_queue(account: Account) -> None:
    """The sample goes through the bucket, and its answer is waited for; what the model says against it stops the deployment."""
    answer = {"X-Amzn-SageMaker-OutputLocation": f"s3://{BUCKET}/argosy/hello/out", "X-Amzn-SageMaker-FailureLocation": f"s3://{BUCKET}/argosy/hello/no"}
    account.fake.replies[f"/endpoints/{NAME}/async-invocations"] = (202, answer, b'{"InferenceId": "i"}')
    waits: list[float] = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            account.direct["s3"].put_object(Bucket=BUCKET, Key="argosy/hello/no", Body=b"the model fell over")

    wanted = account.deployment(asynchronous=Asynchronous())
    deployment = Deployment(wanted.spec, aws=account.aws, pause=pause, image_tools={"fake": account.tool})
    with pytest.raises(Stopped, match="smoke test: The request i failed: the model fell over"):
        deployment.deploy(check=False, sample=b"x")
    assert waits == [2.0] * 3
    account.direct["s3"].put_object(Bucket=BUCKET, Key="argosy/hello/out", Body=b"fine")
    assert [action.verb for action in deployment.deploy(check=False, sample=b"x").actions] == ["invoke"]
    deployment.delete()
    assert account.contents() == EMPTY


def test_another_region(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of us-east-1 the bucket gets its region; each service may have an address of its own."""
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    for service in ("S3", "ECR", "IAM", "STS", "SAGEMAKER", "SAGEMAKER_RUNTIME", "APPLICATION_AUTO_SCALING", "CLOUDWATCH_LOGS"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", account.fake.url)
    aws = connect(region="eu-central-1")
    there = Account(account.fake, aws, account.folder, account.direct, account.tool)
    there.deployment(image="123456789012.dkr.ecr.eu-central-1.amazonaws.com/x@sha256:" + "a" * 64).deploy(check=False)
    assert account.direct["s3"].get_bucket_location(Bucket="argosy-123456789012-eu-central-1-hello")["LocationConstraint"] == "eu-central-1"
    there.deployment().delete()
    aws.close()
    assert account.contents() == EMPTY


def test_a_failed_endpoint_tells_its_reason_and_its_log(account: Account) -> None:
    """SageMaker's reason and the last lines of the container; the next run makes the endpoint anew."""
    account.direct["logs"].create_log_group(logGroupName="/aws/sagemaker/Endpoints/hello")
    account.direct["logs"].create_log_stream(logGroupName="/aws/sagemaker/Endpoints/hello", logStreamName="main/i-1")
    now_ms = int(time.time() * 1000)
    said = ("loading", "ImportError: no module named paddle")
    events = [{"timestamp": now_ms + number, "message": text} for number, text in enumerate(said)]
    account.direct["logs"].put_log_events(logGroupName="/aws/sagemaker/Endpoints/hello", logStreamName="main/i-1", logEvents=events)
    failed = {"EndpointStatus": "Failed", "FailureReason": "The primary container did not pass the ping health check."}
    account.fake.endpoints[NAME] = queue({"EndpointStatus": "Creating"}, {"EndpointStatus": "Creating"}, failed)
    error = stopped(account)
    assert error.step == "service"
    assert "hello is Failed: The primary container did not pass the ping health check." in error.message
    assert "  loading\n  ImportError: no module named paddle" in error.detail
    assert "model data" not in error.message
    account.fake.forget()
    account.fake.endpoints[NAME] = queue({}, failed)
    deployed = account.deployment().deploy(check=False)
    assert [action.verb for action in deployed.actions] == ["delete", "create"]
    assert account.contents()["endpoints"][NAME][0]["EndpointStatus"] == "InService"


def test_an_update_that_is_rolled_back(account: Account) -> None:
    """The endpoint serves as before: that is a failure, with AWS's reason, and nothing of what serves is removed."""
    first = account.deployment().deploy(check=False)
    wanted = account.deployment(variants=(Variant(instance_count=2),))
    back = {"EndpointConfigName": first.config, "FailureReason": "Alarm errors went off"}
    account.fake.endpoints[NAME] = queue({}, {}, {**back, "EndpointStatus": "Updating"}, {**back, "EndpointStatus": "RollingBack"}, back)
    with pytest.raises(Stopped, match=f"rolled back, and hello serves {first.config} as before: Alarm errors went off"):
        wanted.deploy(check=False)
    assert first.config in account.contents()["configs"]


def test_a_change_that_runs_is_waited_for(account: Account) -> None:
    """An endpoint that is being changed cannot be changed: the deployment waits first."""
    account.deployment().deploy(check=False)
    account.fake.endpoints[NAME] = queue({"EndpointStatus": "SystemUpdating"}, {"EndpointStatus": "SystemUpdating"})
    changed = account.deployment(variants=(Variant(instance_count=2),)).deploy(check=False)
    assert "wait" in [action.verb for action in changed.actions]
    assert account.pauses == [15.0]


def test_a_new_role_is_not_known_everywhere_at_once(account: Account) -> None:
    """The model is tried again while SageMaker cannot take the role, and no longer than a minute."""
    refusal = Fault("ValidationException", "Could not assume role arn:aws:iam::1:role/x. Please ensure that the role exists")
    account.fake.fail_when["sagemaker:CreateModel"] = queue(refusal, refusal)
    account.deployment().deploy(check=False)
    assert account.pauses == [5.0, 5.0]
    account.fake.reset()
    account.pauses.clear()
    account.fake.fail_when["sagemaker:CreateModel"] = queue(*[refusal] * 12)
    assert stopped(account).step == "model"
    assert account.pauses == [5.0] * 11


def test_alarms_must_exist(account: Account) -> None:
    """An update that nobody would take back is refused before anything is done."""
    error = stopped(account, rollout=Rollout(alarms=("errors", "latency")))
    assert "no CloudWatch alarm errors, latency" in error.message
    assert account.contents() == EMPTY
    for name in ("errors", "latency"):
        account.direct["cloudwatch"].put_metric_alarm(
            AlarmName=name, ComparisonOperator="GreaterThanThreshold", EvaluationPeriods=1, MetricName="m", Namespace="n", Period=60,
            Statistic="Sum", Threshold=1.0)  # fmt: skip
    account.deployment(rollout=Rollout(alarms=("errors", "latency"))).deploy(check=False)
    account.deployment(rollout=Rollout(alarms=("errors",)), variants=(Variant(instance_count=2),)).deploy(check=False)
    assert account.fake.body_of("sagemaker:UpdateEndpoint")["DeploymentConfig"]["AutoRollbackConfiguration"] == {"Alarms": [{"AlarmName": "errors"}]}


def test_a_large_model_goes_up_in_parts(account: Account) -> None:
    """Progress reaches the end, once; the object has the digest of the whole."""
    seen: list[tuple[int, int]] = []

    class Watch(Silence):
        def progress(self, done: int, total: int) -> None:
            seen.append((done, total))

    packed(account.folder, weights=os.urandom(9 << 20))
    account.deployment(report=Watch()).deploy(check=False)
    assert "s3:UploadPart" in account.fake.names()
    assert "s3:CompleteMultipartUpload" in account.fake.names()
    size = (account.folder / "hello.tar.gz").stat().st_size
    assert seen[-1] == (size, size)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_an_unfinished_upload_is_removed(account: Account) -> None:
    """Parts of an upload that was killed are found and removed with the rest."""
    account.deployment().deploy(check=False)
    account.direct["s3"].create_multipart_upload(Bucket=BUCKET, Key="argosy/hello/models/x/y.tar.gz")
    assert any("unfinished upload" in action.text for action in account.deployment().delete())
    assert account.contents() == EMPTY


def test_a_bucket_that_cannot_be_marked_is_not_left(account: Account) -> None:
    """A bucket that nobody would find again is removed at once."""
    account.fake.fail_when["s3:PutBucketTagging"] = queue(Fault())
    assert stopped(account, bucket="given-name").step == "bucket"
    assert account.contents() == EMPTY


def test_a_model_in_s3_and_an_image_in_ecr(account: Account) -> None:
    """Nothing is uploaded or pushed; a tag becomes the digest it stands for; what is not there is said."""
    first = account.deployment().deploy(check=False)
    tag = account.tool.pushed[0]
    second = account.deployment("other", model=first.model_url, image=tag).deploy(check=False)
    assert (second.model_url, second.image) == (first.model_url, first.image)
    assert len(account.tool.pushed) == 1
    assert "There is no s3://" in stopped(account, model=f"s3://{BUCKET}/nothing").message
    assert "There is no image" in stopped(account, image=f"{tag}x").message
    assert "lies in eu-west-1; SageMaker wants it in us-east-1" in stopped(account, image="123456789012.dkr.ecr.eu-west-1.amazonaws.com/x:1").message


def test_without_credentials_region_or_profile(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each says what to set."""
    with pytest.raises(ArgosyError, match="nobody"):
        connect(profile="nobody")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ArgosyError, match="give --region"):
        connect()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ArgosyError, match="No AWS credentials"):
        connect(region="us-east-1")
