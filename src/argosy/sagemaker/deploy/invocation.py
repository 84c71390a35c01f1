"""Requests to an endpoint: answered at once, in pieces, or later in S3."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy import names
from argosy.sagemaker.deploy.aws import Aws, AwsError, told
from argosy.sagemaker.deploy.storage import split_url

_POLL_S = 2.0


@dataclass(frozen=True, slots=True)
class Options:
    """What travels with a request; what is empty is not sent."""

    content_type: str = ""
    accept: str = ""
    target_model: str = ""
    target_variant: str = ""
    inference_id: str = ""
    custom_attributes: str = ""

    def arguments(self) -> dict[str, str]:
        """Under the names of the API."""
        found = {
            "ContentType": self.content_type, "Accept": self.accept, "TargetModel": self.target_model, "TargetVariant": self.target_variant,
            "InferenceId": self.inference_id, "CustomAttributes": self.custom_attributes}  # fmt: skip
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model said."""

    body: bytes
    content_type: str = ""
    variant: str = ""
    """The variant that answered."""
    headers: Mapping[str, str] = field(default_factory=dict)


def invoke(aws: Aws, name: str, body: bytes, options: Options) -> Reply:
    """The answer to one request. Raises `ArgosyError`; HANDLER_FAILED with the container's own status and message if that refused it."""
    answer = _asking(aws, "invoke_endpoint", EndpointName=name, Body=body, **options.arguments())
    with told("sagemaker-runtime:invoke_endpoint"):
        said = answer["Body"].read()
    return Reply(said, str(answer.get("ContentType", "")), str(answer.get("InvokedProductionVariant", "")), answer["ResponseMetadata"]["HTTPHeaders"])


def stream(aws: Aws, name: str, body: bytes, options: Options) -> Iterator[bytes]:
    """The pieces of an answer as they come. Raises `ArgosyError`, also between pieces."""
    answer = _asking(aws, "invoke_endpoint_with_response_stream", EndpointName=name, Body=body, **options.arguments())
    with told("sagemaker-runtime:invoke_endpoint_with_response_stream"):
        for event in answer["Body"]:
            if "PayloadPart" in event:
                yield event["PayloadPart"]["Bytes"]
            else:
                reason: Mapping[str, str] = next(iter(event.values()), {})
                raise ArgosyError(ErrorCode.HANDLER_FAILED, f"The stream of {name} ended early: {reason.get('Message', 'no reason is given')}.")


def _asking(aws: Aws, operation: str, **arguments: Any) -> dict[str, Any]:
    try:
        return aws.call("sagemaker-runtime", operation, **arguments)
    except AwsError as error:
        if error.aws_code == "ModelError":
            message = f"The model of {arguments['EndpointName']} refused the request: {error.reason}"
            raise ArgosyError(ErrorCode.HANDLER_FAILED, message) from error
        raise


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that is answered later: exactly one of the two places will hold something."""

    inference_id: str
    output: str
    failure: str


def invoke_later(aws: Aws, name: str, body: bytes, bucket: str, options: Options) -> Pending:
    """Put the request into the bucket and queue it. Raises `ArgosyError`."""
    key = f"{names.folder_of(name)}async-input/{secrets.token_hex(8)}"
    aws.call("s3", "put_object", Bucket=bucket, Key=key, Body=body, Tagging=names.object_tag(name), ServerSideEncryption="AES256")
    arguments = {key: value for key, value in options.arguments().items() if key not in ("TargetModel", "TargetVariant")}
    answer = _asking(aws, "invoke_endpoint_async", EndpointName=name, InputLocation=f"s3://{bucket}/{key}", **arguments)
    return Pending(str(answer.get("InferenceId", "")), str(answer.get("OutputLocation", "")), str(answer.get("FailureLocation", "")))


def wait_for(aws: Aws, pending: Pending, pause: Callable[[float], None], timeout_s: float = 3600.0) -> bytes:
    """The answer, when it is there. Raises `ArgosyError`: HANDLER_FAILED with what the model said, TIMED_OUT."""
    waited_s = 0.0
    while waited_s <= timeout_s:
        if (answer := _read(aws, pending.output)) is not None:
            return answer
        if pending.failure and (reason := _read(aws, pending.failure)) is not None:
            message = f"The request {pending.inference_id} failed: {reason[:500].decode('utf-8', 'replace')}"
            raise ArgosyError(ErrorCode.HANDLER_FAILED, message)
        pause(_POLL_S)
        waited_s += _POLL_S
    raise ArgosyError(ErrorCode.TIMED_OUT, f"There is no answer in {pending.output} after {timeout_s:.0f} s; it may still come.")


def _read(aws: Aws, url: str) -> bytes | None:
    bucket, key = split_url(url)
    found = aws.find("s3", "get_object", Bucket=bucket, Key=key)
    if found is None:
        return None
    with told("s3:get_object"):
        body: bytes = found["Body"].read()
    return body
