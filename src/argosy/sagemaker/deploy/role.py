"""The execution role: made with what this endpoint needs and no more, or given."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy import names
from argosy.sagemaker.deploy.aws import Aws
from argosy.sagemaker.deploy.policy import TRUST
from argosy.sagemaker.deploy.step import Action, Draft

POLICY_NAME = "argosy-endpoint"


@dataclass(frozen=True, slots=True)
class RoleSeen:
    """A role as it is."""

    tags: Mapping[str, str]
    policy: Mapping[str, Any] | None
    """Its inline policy of our name."""


def find_role(aws: Aws, name: str) -> RoleSeen | None:
    """The role, None if there is none."""
    found = aws.find("iam", "get_role", RoleName=name)
    if found is None:
        return None
    policy = aws.find("iam", "get_role_policy", RoleName=name, PolicyName=POLICY_NAME)
    return RoleSeen(names.tags_from(found["Role"].get("Tags", [])), None if policy is None else policy["PolicyDocument"])


class Role:
    """The deployment's own role."""

    title = "execution role"

    def __init__(self, aws: Aws, draft: Draft, deployment: str, tags: Mapping[str, str], policy: Mapping[str, Any]) -> None:
        self._aws = aws
        self._tags = tags
        self._policy = policy
        self.target = names.role_of(deployment, aws.region)
        draft.role = f"arn:{aws.partition}:iam::{aws.account}:role/{self.target}"

    def observe(self) -> RoleSeen | None:
        """See `Step`."""
        return find_role(self._aws, self.target)

    def decide(self, seen: RoleSeen | None) -> Sequence[Action]:
        """See `Step`. Raises `ArgosyError` CONFLICT for a role of that name that is not the deployment's."""
        grant = Action("grant", f"policy {POLICY_NAME} of the role {self.target}")
        if seen is None:
            return [Action("create", f"role {self.target}"), grant]
        if seen.tags.get(names.TAG) != self._tags[names.TAG]:
            message = f"There is a role {self.target} that this deployment did not make: delete it, or give a role with --role."
            raise ArgosyError(ErrorCode.CONFLICT, message)
        return [] if seen.policy == self._policy else [grant]

    def apply(self, action: Action) -> None:
        """See `Step`."""
        if action.verb == "create":
            about = f"Lets the SageMaker endpoint {self._tags[names.TAG]} read its model and write its log"
            self._aws.call(
                "iam", "create_role", RoleName=self.target, AssumeRolePolicyDocument=json.dumps(TRUST), Description=about,
                Tags=names.tag_list(self._tags))  # fmt: skip
        else:
            self._aws.call("iam", "put_role_policy", RoleName=self.target, PolicyName=POLICY_NAME, PolicyDocument=json.dumps(self._policy))


class GivenRole:
    """A role that somebody else looks after: it is taken at its word."""

    title = "execution role"

    def __init__(self, draft: Draft, arn: str) -> None:
        self.target = draft.role = arn

    def observe(self) -> None:
        """See `Step`."""

    def decide(self, seen: None) -> Sequence[Action]:
        """See `Step`."""
        return []

    def apply(self, action: Action) -> None:
        """See `Step`."""
