"""What is done about a bucket, given what there is."""

from __future__ import annotations

import pytest

from argosy.errors import ArgosyError
from argosy.sagemaker.deploy.names import TAG
from argosy.sagemaker.deploy.storage import Bucket, BucketSeen, split_url
from fakes.decisions import AWS, OURS, verbs


@pytest.mark.parametrize(("seen", "expected"), [
    (BucketSeen(False, {}), ["create", "block", "encrypt"]),
    (BucketSeen(True, OURS, True, ""), []),
    (BucketSeen(True, OURS, False, ""), ["block"]),
    (BucketSeen(True, OURS, True, None), ["encrypt"]),
    (BucketSeen(True, OURS, True, "a-key"), ["encrypt"]),
    (BucketSeen(True, {}, False, None), ["tag", "block", "encrypt"]),
    (BucketSeen(True, {"team": "x"}), []),
    (BucketSeen(True, {TAG: "other"}), []),
])  # fmt: skip
def test_its_own_bucket(seen: BucketSeen, expected: list[str]) -> None:
    """One without any tag was half made and is finished; one with those of somebody else is left as it is."""
    assert verbs(Bucket(AWS, "n", None, OURS, None), seen) == expected


def test_a_given_bucket_without_tags() -> None:
    """It belongs to somebody."""
    assert verbs(Bucket(AWS, "n", "theirs", OURS, None), BucketSeen(True, {})) == []
    assert verbs(Bucket(AWS, "n", "theirs", OURS, "k"), BucketSeen(True, OURS, True, "k")) == []


@pytest.mark.parametrize("url", ["http://b/k", "s3://", "s3://b", "s3://b/", "b/k", ""])
def test_what_is_no_object(url: str) -> None:
    """A bucket and a key are needed."""
    with pytest.raises(ArgosyError, match="is not s3://BUCKET/KEY"):
        split_url(url)
    assert split_url("s3://b/k/l") == ("b", "k/l")
