"""What AWS says when it refuses."""

from __future__ import annotations

import pytest

from argosy.errors import ErrorCode
from argosy.sagemaker.deploy.aws import AwsError


@pytest.mark.parametrize(("code", "reason", "is_absence", "advice"), [
    ("NoSuchKey", "x", True, ""),
    ("ValidationException", "Could not find model \"arn\".", True, ""),
    ("ValidationException", "1 validation error detected", False, ""),
    ("AccessDeniedException", "not authorized", False, "argosy sagemaker policy"),
    ("ExpiredToken", "expired", False, "Renew the AWS credentials"),
    ("ResourceLimitExceeded", "limit", False, "larger quota"),
    ("BucketAlreadyExists", "taken", False, "--bucket"),
    ("", "Could not connect", False, ""),
])  # fmt: skip
def test_what_aws_says(code: str, reason: str, is_absence: bool, advice: str) -> None:
    """Absence is told from failure; a failure says what to do where that is known."""
    error = AwsError("s3:get_object", code, reason)
    assert error.is_absence is is_absence
    assert error.message.startswith("s3:get_object failed: ")
    assert reason.rstrip(".") in error.message
    assert advice in error.message
    assert (error.code is ErrorCode.FORBIDDEN) == (code in ("AccessDeniedException", "ExpiredToken"))
