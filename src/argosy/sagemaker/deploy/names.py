"""What everything that belongs to a deployment is called: the same names each time, so that a second run finds what the first one made."""

from __future__ import annotations

import hashlib
import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

TAG = "argosy:deployment"
"""The key of the tag that marks what a deployment made; its value is the deployment's name."""
LABEL = "argosy-"
"""How the tags of pushed images begin."""


def fingerprint(value: Any) -> str:
    """Twelve hexadecimal digits that change when the value does; it must be JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def _fitted(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 9].rstrip('-')}-{fingerprint(text)[:8]}"


def _lower(name: str) -> str:
    """The name in small letters; names that differ in their case stay different."""
    return name if name == name.lower() else f"{name.lower()}-{fingerprint(name)[:6]}"


def bucket_of(name: str, account: str, region: str) -> str:
    """Its own bucket: at most 63 characters, and of this account and region only."""
    return _fitted(f"argosy-{account}-{region}-{_lower(name)}", 63)


def repository_of(name: str) -> str:
    """Its own ECR repository."""
    return f"argosy/{_lower(name)}"


def role_of(name: str, region: str) -> str:
    """Its own execution role; roles belong to no region, so the name has one."""
    return _fitted(f"argosy-{region}-{name}", 64)


def folder_of(name: str) -> str:
    """Where in a bucket its objects lie; ends with a slash."""
    return f"argosy/{name}/"


def model_key(name: str, sha256: str, stem: str) -> str:
    """Where the archive with that digest lies."""
    return f"{folder_of(name)}models/{sha256[:20]}/{stem}.tar.gz"


def versioned(name: str, content: Any) -> str:
    """The name of a model or an endpoint configuration with that content: at most 63 characters."""
    return f"{name}-{fingerprint(content)}"


def is_versioned(candidate: str, name: str) -> bool:
    """Whether `versioned` may have made this one."""
    head, _, tail = candidate.rpartition("-")
    return head == name and len(tail) == 12 and all(digit in "0123456789abcdef" for digit in tail)


def log_group_of(name: str) -> str:
    """Where SageMaker writes what the containers of the endpoint print."""
    return f"/aws/sagemaker/Endpoints/{name}"


def tag_list(tags: Mapping[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """Tags as AWS wants them; services spell the two words differently."""
    return [{key: name, value: text} for name, text in sorted(tags.items())]


def object_tag(name: str) -> str:
    """The tag of an object, as S3 wants it in a header."""
    return urllib.parse.urlencode({TAG: name})


def tags_from(found: list[dict[str, str]]) -> dict[str, str]:
    """The reverse of `tag_list`, for either spelling."""
    return {pair.get("Key", pair.get("key", "")): pair.get("Value", pair.get("value", "")) for pair in found}
