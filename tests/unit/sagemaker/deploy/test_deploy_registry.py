"""What is done about a repository of images, and which images need none."""

from __future__ import annotations

import pytest

from argosy.sagemaker.deploy.registry import Repository, RepositorySeen, is_remote
from fakes.decisions import AWS, OURS, verbs


@pytest.mark.parametrize(("seen", "expected"), [
    (None, ["create"]),
    (RepositorySeen("u", OURS, True, False), []),
    (RepositorySeen("u", OURS, False, True), ["scan", "mutability"]),
    (RepositorySeen("u", {}, False, True), []),
])  # fmt: skip
def test_a_repository(seen: RepositorySeen | None, expected: list[str]) -> None:
    """Only its own is changed."""
    assert verbs(Repository(AWS, "r", OURS, is_immutable=False, kms_key=None), seen) == expected


@pytest.mark.parametrize(("image", "expected"), [
    ("123456789012.dkr.ecr.us-east-1.amazonaws.com/a/b:1", True),
    ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/a", True),
    (f"123456789012.dkr.ecr.us-east-1.amazonaws.com/a@sha256:{'0' * 64}", True),
    (f"registry:5000/a@sha256:{'0' * 64}", True),
    ("paddle-mms", False),
    ("localhost/paddle-mms:1", False),
    ("oci:folder:1", False),
    ("x@sha256:short", False),
])  # fmt: skip
def test_what_needs_no_push(image: str, expected: bool) -> None:
    """Images in ECR, and those with a digest."""
    assert is_remote(image) is expected
