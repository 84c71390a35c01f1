"""The services of AWS in one account and region: called by name, with failures told in words that say what to do."""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from argosy import __version__
from argosy.errors import ArgosyError, ErrorCode

_ABSENT = {
    "404", "NoSuchKey", "NoSuchBucket", "NotFound", "NoSuchEntity", "NoSuchTagSet", "NoSuchPublicAccessBlockConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError", "RepositoryNotFoundException", "ImageNotFoundException", "ObjectNotFoundException",
    "ResourceNotFoundException", "ResourceNotFound", "NoSuchUpload",
}
_ABSENT_WORDS = re.compile(r"could not find|cannot find|does not exist", re.IGNORECASE)
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidToken", "SignatureDoesNotMatch"}
_ADVICE = {
    **dict.fromkeys(_DENIED, "Let whoever deploys have the permissions that `argosy sagemaker policy` prints."),
    **dict.fromkeys(_EXPIRED, "Renew the AWS credentials."),
    "ResourceLimitExceeded": "Ask for a larger quota in AWS Service Quotas, or take another instance type.",
    "BucketAlreadyExists": "Another account has a bucket of that name: give another one with --bucket.",
    "ThrottlingException": "Wait a minute.",
}
CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 70
"""SageMaker answers an invocation within 60 s."""


class AwsError(ArgosyError):
    """AWS refused a call, or was not reached. `aws_code` is its own word for it, empty if there is none; `reason` its message."""

    def __init__(self, call: str, aws_code: str, reason: str) -> None:
        advice = _ADVICE.get(aws_code, "")
        shown = f"{reason.rstrip('.')} ({aws_code})" if aws_code else reason.rstrip(".")
        code = ErrorCode.FORBIDDEN if aws_code in _DENIED | _EXPIRED else ErrorCode.INTERNAL
        super().__init__(code, f"{call} failed: {shown}.{' ' if advice else ''}{advice}")
        self.call = call
        self.aws_code = aws_code
        self.reason = reason

    @property
    def is_absence(self) -> bool:
        """Whether it says that the thing asked for is not there."""
        return self.aws_code in _ABSENT or (self.aws_code == "ValidationException" and _ABSENT_WORDS.search(self.reason) is not None)


def library(name: str) -> Any:
    """A module of boto3. Raises `ArgosyError` INVALID_CONFIG, with what to install, when it is absent."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ArgosyError(ErrorCode.INVALID_CONFIG, "Deploying needs boto3: pip install 'argosy[sagemaker]'.") from error


@contextlib.contextmanager
def told(call: str) -> Iterator[None]:
    """Failures of boto3 in the block become `AwsError`, which names the call."""
    exceptions = library("botocore.exceptions")
    try:
        yield
    except exceptions.ClientError as error:
        found = error.response.get("Error", {})
        raise AwsError(call, str(found.get("Code", "")), str(found.get("Message") or error)) from error
    except exceptions.BotoCoreError as error:
        raise AwsError(call, "", str(error)) from error
    except library("boto3.exceptions").Boto3Error as error:
        raise AwsError(call, *_upload_reason(str(error))) from error


def _upload_reason(text: str) -> tuple[str, str]:
    """Code and message of a failed transfer, which has them in its text only."""
    found = re.search(r"An error occurred \((\w+)\).*?: (.*)", text, re.DOTALL)
    return (found[1], found[2]) if found else ("", text)


class Aws:
    """Clients of one account and region, made when they are first used. Endpoint URLs of the environment and the profile count."""

    def __init__(self, session: Any, account: str, partition: str) -> None:
        self.region = str(session.region_name)
        self.account = account
        self.partition = partition
        self._session = session
        self._clients: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<Aws {self.account} {self.region}, clients: {', '.join(self._clients) or 'none'}>"

    def close(self) -> None:
        """Give the connections back."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def client(self, service: str) -> Any:
        """The boto3 client of a service."""
        if service not in self._clients:
            with told(service):
                self._clients[service] = _client(self._session, service)
        return self._clients[service]

    def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """The answer to one call. Raises `AwsError`."""
        client = self.client(service)
        with told(f"{service}:{operation}"):
            answer: dict[str, Any] = getattr(client, operation)(**arguments)
            return answer

    def find(self, service: str, operation: str, **arguments: Any) -> dict[str, Any] | None:
        """As `call`, None when what it asks for is not there."""
        try:
            return self.call(service, operation, **arguments)
        except AwsError as error:
            if error.is_absence:
                return None
            raise

    def pages(self, service: str, operation: str, key: str, **arguments: Any) -> list[Any]:
        """Everything that a call which answers in pages has under `key`; nothing when what it asks for is not there."""
        client = self.client(service)
        try:
            with told(f"{service}:{operation}"):
                return [item for page in client.get_paginator(operation).paginate(**arguments) for item in page.get(key, [])]
        except AwsError as error:
            if error.is_absence:
                return []
            raise

    def upload(self, path: str, bucket: str, key: str, arguments: dict[str, Any], progress: Callable[[int], None]) -> None:
        """Put a file into a bucket, in parts if it is large; `progress` is told the bytes of each piece. Raises `AwsError`."""
        client = self.client("s3")
        with told("s3:upload_file"):
            client.upload_file(path, bucket, key, ExtraArgs=arguments, Callback=progress)


def _client(session: Any, service: str) -> Any:
    config = library("botocore.config").Config(
        retries={"mode": "standard", "max_attempts": 4}, user_agent_extra=f"argosy/{__version__}",
        connect_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S)  # fmt: skip
    return session.client(service, config=config)


def connect(region: str | None = None, profile: str | None = None) -> Aws:
    """AWS as the standard chain of credentials and settings says. Raises `ArgosyError` when that leads nowhere."""
    boto3 = library("boto3")
    with told("Reading the AWS configuration"):
        session = boto3.Session(region_name=region, profile_name=profile)
        credentials = session.get_credentials()
    if session.region_name is None:
        raise ArgosyError(ErrorCode.INVALID_CONFIG, "No AWS region is set: give --region, or set AWS_DEFAULT_REGION.")
    if credentials is None:
        raise ArgosyError(ErrorCode.INVALID_CONFIG, "No AWS credentials were found: run `aws configure`, set AWS_PROFILE, or give --profile.")
    with told("sts:get_caller_identity"), contextlib.closing(_client(session, "sts")) as client:
        identity = client.get_caller_identity()
    return Aws(session, str(identity["Account"]), str(identity["Arn"]).split(":")[1])
