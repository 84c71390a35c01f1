"""The commands of `argosy sagemaker` that go to AWS, typed against moto: what they print, and how they end."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from argosy.cli.main import main
from argosy.sagemaker.deploy import Asynchronous
from argosy.sagemaker.deploy.watching import follow
from fakes.account import BUCKET, EMPTY, NAME, Account, account_at
from fakes.aws import Fault, moto_process

pytest.importorskip("boto3")
IMAGE = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/x@sha256:{'a' * 64}"
GROUP = f"/aws/sagemaker/Endpoints/{NAME}"


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """One account for all tests of this file, which empty it."""
    with moto_process() as moto, account_at(moto, tmp_path_factory.mktemp("model")) as made:
        yield made


@pytest.fixture
def account(everything: Account, tmp_path: Path) -> Account:
    """An empty account and a fresh model."""
    return everything.emptied(tmp_path)


def run(*argv: str, given: bytes | str = "") -> Result:
    """The result of a command."""
    return CliRunner().invoke(main, ["sagemaker", *argv], input=given)


def deploy(account: Account, *more: str) -> Result:
    """Deploy the model with a remote image."""
    return run("deploy", NAME, "--model", str(account.folder / "hello.tar.gz"), "--image", IMAGE, *more)


def test_the_journey(account: Account, tmp_path: Path) -> None:
    """Plan, deploy (tried here first), deploy again, status, update, delete: each says what it did."""
    (tmp_path / "sample").write_text("hello")
    planned = deploy(account, "--dry-run")
    assert (planned.exit_code, planned.stdout) == (0, "11 actions would be taken; nothing was changed.\n"), planned.output
    assert "would upload: s3://" in planned.stderr
    made = deploy(account, "--sample", str(tmp_path / "sample"), "--content-type", "text/plain", "--env", "A=b")
    assert made.exit_code == 0, made.output
    assert "answers /ping and a sample in a process on this machine" in made.stderr
    assert made.stdout.splitlines()[0] == "Endpoint hello: 11 actions were taken."
    assert "argosy sagemaker delete hello   (it is billed until then)" in made.stdout
    again = deploy(account, "--env", "A=b")
    assert again.stdout.splitlines()[0] == "Endpoint hello: everything was there already."
    assert deploy(account, "--env", "A=b", "--dry-run").stdout == "Everything is there; nothing would be done.\n"
    status = run("status", NAME)
    assert status.exit_code == 0
    assert "variant   main: 1 of 1 instances, ml.m5.large, weight 1" in status.stdout
    assert "billed    main: 1 × ml.m5.large, billed by the second, used or not" in status.stdout
    updated = run("update", NAME, "--instance-count", "2", "--scale", "1:3")
    assert updated.exit_code == 0, updated.output
    shown = json.loads(run("status", NAME, "--json").stdout)
    assert (shown["endpoint"], shown["variants"][0]["wanted"]) == ("InService", 2)
    (model,) = account.contents()["models"].values()
    assert model["PrimaryContainer"]["Environment"] == {"A": "b"}
    assert run("delete", NAME, given="n\n").exit_code == 1
    assert run("delete", NAME, "--dry-run").stdout.endswith("things would be removed.\n")
    gone = run("delete", NAME, given="y\n")
    assert gone.exit_code == 0, gone.output
    assert gone.stdout.endswith("things were removed.\n")
    assert account.contents() == EMPTY
    assert run("delete", NAME, "--yes").stdout == "There is nothing of hello to remove.\n"
    nothing = run("status", NAME)
    assert (nothing.exit_code, nothing.stdout) == (1, "endpoint  hello: absent\n")


def test_a_failure_in_one_line(account: Account) -> None:
    """Status 1; the step, AWS's reason and what to do; then what was made, and how it goes on."""
    account.fake.fail_when["iam:CreateRole"] = _once(Fault("AccessDenied", "User x is not authorized to perform: iam:CreateRole"))
    failed = deploy(account, "--no-check")
    assert failed.exit_code == 1
    lines = [line for line in failed.stderr.splitlines() if line.startswith("argosy: ")]
    assert lines == [
        "argosy: Stopped at step 4 of 11, execution role: iam:create_role failed: "
        "User x is not authorized to perform: iam:CreateRole (AccessDenied). "
        "Let whoever deploys have the permissions that `argosy sagemaker policy` prints."]  # fmt: skip
    assert f"  bucket {BUCKET}" in failed.stderr
    assert "`argosy sagemaker delete hello` removes what was made." in failed.stderr
    assert "Traceback" not in failed.output


def _once(fault: Fault) -> deque[Fault]:
    return deque([fault])


@pytest.mark.parametrize(("argv", "said"), [
    (("deploy", "bad_name"), "no name for a deployment"),
    (("deploy", NAME), "needs a model and an image"),
    (("deploy", NAME, "--model", "none.mar", "--image", IMAGE), "There is no model none.mar"),
    (("update", NAME), "There is no endpoint hello"),
    (("deploy", NAME, "--serverless-memory", "1000"), "Serverless memory is 1000 MB"),
    (("deploy", NAME, "--serverless-memory", "1024", "--instance-count", "2"), "serverless or has instances, not both"),
    (("deploy", NAME, "--env", "x"), "x is not NAME=VALUE"),
    (("deploy", NAME, "--scale", "few"), "neither MIN:MAX nor off"),
    (("invoke", NAME, "--data", "x"), "hello failed"),
])  # fmt: skip
def test_refusals(account: Account, argv: tuple[str, ...], said: str) -> None:
    """Status 1, one line that says what is wrong."""
    if "invoke" in argv:
        account.fake.fail_when["sagemaker:InvokeEndpoint"] = _once(Fault("ValidationError", "Endpoint hello failed to be found"))
    refused = run(*argv)
    assert refused.exit_code == 1, refused.output
    assert said in refused.stderr
    assert account.contents() == EMPTY


def test_usage() -> None:
    """Status 2 for a command line that is wrong."""
    assert run("invoke", NAME).exit_code == 2
    assert run("invoke", NAME, __file__, "--data", "x").exit_code == 2
    assert run("deploy").exit_code == 2
    assert run("deploy", NAME, "--instance-count", "0").exit_code == 2


def test_policy(account: Account, tmp_path: Path) -> None:
    """A policy of this account, region and name; a role that is given is only passed on."""
    text = run("policy", NAME).stdout
    policy = json.loads(text)
    resources = [resource for statement in policy["Statement"] for resource in statement["Resource"] if len(resource) > 1]
    assert resources
    assert all(NAME in resource or "aws-service-role" in resource for resource in resources)
    assert run("policy", NAME, "--role", "arn:aws:iam::123456789012:role/theirs", "--output", str(tmp_path / "policy.json")).stdout == ""
    given = json.loads((tmp_path / "policy.json").read_text())
    assert [statement["Sid"] for statement in given["Statement"] if "ole" in statement["Sid"]] == ["PassRole"]


def test_logs(account: Account) -> None:
    """Lines with time and instance, oldest first; no log is no failure."""
    assert run("logs", NAME).output == ""
    logs = account.direct["logs"]
    logs.create_log_group(logGroupName=GROUP)
    now_ms = int(time.time()) * 1000
    for stream, text, moment_ms in (("main/i-2", "second", now_ms), ("main/i-1", "first", now_ms - 1000), ("main/i-1", "old", now_ms - 7_200_000)):
        if stream not in [found["logStreamName"] for found in logs.describe_log_streams(logGroupName=GROUP)["logStreams"]]:
            logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
        logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=[{"timestamp": moment_ms, "message": text}])
    lines = run("logs", NAME).stdout.splitlines()
    assert [line.partition(" ")[2] for line in lines] == ["main/i-1: first", "main/i-2: second"]
    assert len(run("logs", NAME, "--since", "180").stdout.splitlines()) == 3


def test_following_a_log(account: Account) -> None:
    """Each line once, those that come later too."""
    logs = account.direct["logs"]
    logs.create_log_group(logGroupName=GROUP)
    logs.create_log_stream(logGroupName=GROUP, logStreamName="a")
    now_ms = int(time.time()) * 1000

    def say(number: int) -> None:
        logs.put_log_events(logGroupName=GROUP, logStreamName="a", logEvents=[{"timestamp": now_ms + number // 2, "message": str(number)}])

    said: list[float] = []

    def pause(seconds: float) -> None:
        said.append(seconds)
        say(len(said) + 1)

    say(0)
    say(1)
    lines = follow(account.aws, NAME, now_ms, pause)
    assert [next(lines).text for _ in range(5)] == ["0", "1", "2", "3", "4"]


def test_invoke(account: Account) -> None:
    """The answer's bytes as they are; from an option, a file and standard input; options become headers."""
    path = f"/endpoints/{NAME}/invocations"
    account.fake.replies[path] = (200, {"Content-Type": "application/json"}, b"\x00[1]")
    assert run("invoke", NAME, "--data", "x", "--content-type", "text/plain", "--target-variant", "b").stdout_bytes == b"\x00[1]"
    assert account.fake.bodies[-1] == b"x"
    (account.folder / "request").write_bytes(b"\xff\x00")
    assert run("invoke", NAME, str(account.folder / "request")).exit_code == 0
    assert account.fake.bodies[-1] == b"\xff\x00"
    assert run("invoke", NAME, "-", given=b"from a pipe").exit_code == 0
    assert account.fake.bodies[-1] == b"from a pipe"


def test_a_model_that_refuses(account: Account) -> None:
    """The container's own message comes through, and status 1."""
    error = json.dumps({"Message": "Received server error (500) from main", "OriginalStatusCode": 500, "OriginalMessage": "no"}).encode()
    account.fake.replies[f"/endpoints/{NAME}/invocations"] = (424, {"x-amzn-ErrorType": "ModelError", "Content-Type": "application/json"}, error)
    refused = run("invoke", NAME, "--data", "x")
    assert refused.exit_code == 1
    assert "The model of hello refused the request: Received server error (500) from main" in refused.stderr


def event(headers: dict[str, str], payload: bytes) -> bytes:
    """A message of an event stream."""
    packed = b"".join(
        struct.pack(">B", len(name)) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode() for name, value in headers.items())
    start = struct.pack(">II", 16 + len(packed) + len(payload), len(packed))
    message = start + struct.pack(">I", zlib.crc32(start)) + packed + payload
    return message + struct.pack(">I", zlib.crc32(message))


def part(payload: bytes) -> bytes:
    """A piece of an answer."""
    return event({":message-type": "event", ":event-type": "PayloadPart", ":content-type": "application/octet-stream"}, payload)


def test_a_stream(account: Account) -> None:
    """Pieces one after the other; a stream that breaks off is a failure that says why."""
    path, kind = f"/endpoints/{NAME}/invocations-response-stream", {"Content-Type": "application/vnd.amazon.eventstream"}
    account.fake.replies[path] = (200, kind, part(b"one ") + part(b"two"))
    assert run("invoke", NAME, "--data", "x", "--stream").stdout == "one two"
    kinds = {":message-type": "exception", ":exception-type": "ModelStreamError"}
    broken = event(kinds, json.dumps({"Message": "it died", "ErrorCode": "X"}).encode())
    account.fake.replies[path] = (200, kind, part(b"one ") + broken)
    failed = run("invoke", NAME, "--data", "x", "--stream")
    assert (failed.exit_code, failed.stdout) == (1, "one ")
    assert "it died" in failed.stderr


def test_a_queued_request(account: Account) -> None:
    """The request goes through the bucket; the answer is fetched when it is there; a failure is told."""
    account.deployment(asynchronous=Asynchronous()).deploy(check=False)
    answer = {"X-Amzn-SageMaker-OutputLocation": f"s3://{BUCKET}/out", "X-Amzn-SageMaker-FailureLocation": f"s3://{BUCKET}/failed"}
    account.fake.replies[f"/endpoints/{NAME}/async-invocations"] = (202, answer, b'{"InferenceId": "i"}')
    assert run("invoke", NAME, "--data", "later", "--async", "--no-wait").stdout == f"s3://{BUCKET}/out\n"
    (key,) = [key for key in account.contents()["buckets"][BUCKET]["objects"] if "async-input" in key]
    assert account.direct["s3"].get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"later"
    account.direct["s3"].put_object(Bucket=BUCKET, Key="out", Body=b"done")
    assert run("invoke", NAME, "--data", "later", "--async").stdout == "done"
    account.direct["s3"].delete_object(Bucket=BUCKET, Key="out")
    account.direct["s3"].put_object(Bucket=BUCKET, Key="failed", Body=b"out of memory")
    failed = run("invoke", NAME, "--data", "later", "--async")
    assert failed.exit_code == 1
    assert "out of memory" in failed.stderr


def test_without_boto3(tmp_path: Path) -> None:
    """It says what to install."""
    (tmp_path / "boto3.py").write_text("raise ModuleNotFoundError('boto3')\n")
    command = [sys.executable, "-m", "argosy", "sagemaker", "status", NAME]
    done = subprocess.run(command, env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "argosy: Deploying needs boto3: pip install 'argosy[sagemaker]'.\n")
