"""Every call to AWS fails once, in turn: the deployment says what failed, and the same command then leads to the same end."""

from __future__ import annotations

import fnmatch
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from argosy.errors import ErrorCode
from argosy.sagemaker.deploy import Capture, Scaling, Stopped, Variant
from fakes.account import EMPTY, Account, account_at, packed
from fakes.aws import Fault, moto_process

pytest.importorskip("boto3")
SETTINGS: dict[str, Any] = {"scaling": Scaling(1, 3, 50.0), "capture": Capture(10), "environment": {"A": "b"}}
CHANGES: dict[str, Any] = {**SETTINGS, "variants": (Variant("main", "ml.c5.large", 2),)}
# what IAM calls the calls whose names differ; the others have one name
ACTIONS = {
    "s3:HeadBucket": "s3:ListBucket", "s3:ListObjectsV2": "s3:ListBucket", "s3:HeadObject": "s3:GetObject", "s3:DeleteObjects": "s3:DeleteObject",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock", "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration", "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads", "s3:CreateMultipartUpload": "s3:PutObject", "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject"}  # fmt: skip


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """One account for all tests of this file, which empty it."""
    with moto_process() as moto, account_at(moto, tmp_path_factory.mktemp("model")) as made:
        yield made


@pytest.fixture
def account(everything: Account, tmp_path: Path) -> Account:
    """An empty account and a fresh model."""
    return everything.emptied(tmp_path)


def deploy(account: Account) -> None:
    """Make it."""
    account.deployment(**SETTINGS).deploy(check=False, sample=b"hi")


def change(account: Account) -> None:
    """Deploy another archive, image and size over it."""
    account.tool.contents["hello:1"] = "second"
    packed(account.folder, "def predict(text: str) -> str:\n    return text.lower()\n")
    account.deployment(**CHANGES).deploy(check=False, sample=b"hi")


def delete(account: Account) -> None:
    """Remove it."""
    account.deployment().delete()


def explained(error: Stopped, call: str) -> bool:
    """Whether the message names step, call and reason, and the detail what was made and how it goes on."""
    # an answer to HEAD has no body, so AWS gives no reason there
    reason = "not authorized to perform this" in error.message or (".Head" in call.replace(":", ".") and "403" in error.message + error.detail)
    is_seen = "may not be seen" in error.message
    advised = "argosy sagemaker policy" in error.message or is_seen
    told = "made in this run" in error.detail and "goes on from here" in error.detail
    return error.step in error.message and (reason or is_seen) and advised and told


LIVES = pytest.mark.parametrize(("before", "act"), [((), deploy), ((deploy,), change), ((deploy,), delete)], ids=["deploy", "change", "delete"])


def prepare(account: Account, before: tuple[Callable[[Account], None], ...]) -> None:
    """The state in which a life begins."""
    account.fake.reset()
    account.tool.contents["hello:1"] = "first"
    packed(account.folder)
    for made in before:
        made(account)
    account.fake.forget()


@pytest.mark.slow
@pytest.mark.timeout(480)
@LIVES
def test_each_call_fails_once(account: Account, before: tuple[Callable[[Account], None], ...], act: Callable[[Account], None]) -> None:
    """Whichever call fails: the error is clear, nothing is half made without being told, and a second run ends where an undisturbed one does."""
    prepare(account, before)
    act(account)
    calls = account.fake.names()
    expected = account.contents()
    assert (expected == EMPTY) == (act is delete)
    assert len(calls) > 25
    for number, call in enumerate(calls):
        prepare(account, before)
        account.fake.fail_at = number
        with pytest.raises(Stopped) as stopped:
            act(account)
        assert stopped.value.code is ErrorCode.FORBIDDEN, call
        assert explained(stopped.value, call), f"{number} {call}: {stopped.value.message}\n{stopped.value.detail}"
        assert account.fake.fail_at is None
        act(account)
        assert account.contents() == expected, f"{number} {call}"


@pytest.mark.slow
@pytest.mark.timeout(480)
@LIVES
def test_each_answer_is_lost_once(account: Account, before: tuple[Callable[[Account], None], ...], act: Callable[[Account], None]) -> None:
    """Whichever change is made without anybody hearing of it: a second run finds it, and ends where an undisturbed one does."""
    prepare(account, before)
    act(account)
    calls = account.fake.names()
    expected = account.contents()
    changing = [number for number, call in enumerate(calls) if not call.partition(":")[2].startswith(("Get", "Head", "List", "Describe", "Invoke"))]
    assert len(changing) > 6
    for number in changing:
        prepare(account, before)
        account.fake.fail_at, account.fake.is_done_all_the_same = number, True
        with pytest.raises(Stopped):
            act(account)
        act(account)
        assert account.contents() == expected, f"{number} {calls[number]}"


def test_the_deployers_policy_allows_every_call_and_no_other(account: Account) -> None:
    """What a whole life calls is exactly what the printed policy allows, but for what tools, AWS itself and rarer paths call."""
    deploy(account)
    change(account)
    deployment = account.deployment()
    deployment.status()
    deployment.logs()
    deployment.update()
    account.direct["s3"].create_multipart_upload(Bucket="argosy-123456789012-us-east-1-hello", Key="argosy/hello/models/x")
    account.direct["logs"].create_log_group(logGroupName="/aws/sagemaker/Endpoints/hello")
    delete(account)
    named = {ACTIONS.get(call, call) for call in account.fake.names()} - {"sts:GetCallerIdentity"}
    statements = deployment.policy()["Statement"]
    allowed = {action for statement in statements for action in statement["Action"]}
    assert sorted(named - allowed) == []
    by_others = {
        "iam:PassRole", "iam:TagRole", "iam:CreateServiceLinkedRole", "sagemaker:AddTags", "ecr:TagResource", "s3:PutObjectTagging",
        "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload",
        "ecr:PutImage", "ecr:UploadLayerPart", "cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms"}  # fmt: skip
    rarer = {
        "cloudwatch:DescribeAlarms", "logs:FilterLogEvents", "logs:GetLogEvents", "ecr:PutImageScanningConfiguration", "ecr:PutImageTagMutability",
        "sagemaker:InvokeEndpointAsync", "sagemaker:InvokeEndpointWithResponseStream"}  # fmt: skip
    assert sorted(allowed - named - by_others - rarer) == []
    assert not any(fnmatch.fnmatchcase(action, "*[*]*") for action in allowed)


def test_calls_that_must_not_fail_often_are_tried_again(account: Account) -> None:
    """A service that is busy for a moment stops nothing."""
    busy = Fault("ThrottlingException", "Rate exceeded")
    account.fake.fail_when["sagemaker:CreateModel"] = _once(busy)
    account.fake.fail_when["ecr:CreateRepository"] = _once(Fault("ServerException", "try again", 500))
    deploy(account)
    assert account.fake.names().count("sagemaker:CreateModel") == 2
    assert account.fake.names().count("ecr:CreateRepository") == 2


def _once(fault: Fault) -> deque[Fault]:
    return deque([fault])
