"""Names are the same each time, differ where they must, and fit."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from argosy.sagemaker.deploy import names

NAMES = st.from_regex(r"[A-Za-z0-9](-?[A-Za-z0-9]){0,49}", fullmatch=True).filter(lambda name: len(name) <= 50)


@given(NAMES, st.sampled_from(["us-east-1", "ap-southeast-2", "us-gov-west-1"]))
def test_every_name_is_one_that_its_service_takes(name: str, region: str) -> None:
    """Length and letters, for the longest names and regions too."""
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", names.bucket_of(name, "123456789012", region))
    assert re.fullmatch(r"[\w+=,.@-]{1,64}", names.role_of(name, region))
    assert re.fullmatch(r"[a-z0-9]+(?:[._/-][a-z0-9]+)*", names.repository_of(name))
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", names.versioned(name, {"a": 1}))
    assert names.is_versioned(names.versioned(name, [name, region]), name)


@given(NAMES, NAMES)
def test_two_deployments_share_nothing(one: str, other: str) -> None:
    """Names that differ, if only in their case, give names that differ."""
    for made in (lambda name: names.bucket_of(name, "1", "r"), names.repository_of, lambda name: names.role_of(name, "r"), names.folder_of):
        assert (made(one) == made(other)) == (one == other)


def test_versions_of_a_neighbour_are_not_ours() -> None:
    """What begins with our name may belong to a deployment with a longer one."""
    ours = names.versioned("a", 1)
    assert names.is_versioned(ours, "a")
    assert not names.is_versioned(names.versioned("a-b", 1), "a")
    assert not names.is_versioned("a-config", "a")
    assert not names.is_versioned("a-" + "x" * 12, "a")
    assert not names.is_versioned("a", "a")


def test_content_decides() -> None:
    """The same content in another order is the same; another content is not."""
    assert names.fingerprint({"a": 1, "b": [2]}) == names.fingerprint({"b": [2], "a": 1})
    assert names.fingerprint([1]) != names.fingerprint([2])
    assert names.model_key("n", "f" * 64, "m") == f"argosy/n/models/{'f' * 20}/m.tar.gz"


def test_tags_both_ways() -> None:
    """Services spell them in two ways."""
    tags = {"b": "2", "a": "1"}
    assert names.tag_list(tags) == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    assert names.tags_from(names.tag_list(tags)) == names.tags_from(names.tag_list(tags, "key", "value")) == tags
