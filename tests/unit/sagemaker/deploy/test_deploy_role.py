"""What is done about a role, given what there is."""

from __future__ import annotations

import json

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy.role import POLICY_NAME, GivenRole, Role, RoleSeen
from argosy.sagemaker.deploy.step import Draft
from fakes.decisions import AWS, OURS, verbs
from fakes.scripted_aws import Script


def test_a_role() -> None:
    """Its policy is made right; another's role is refused."""
    role = Role(AWS, Draft(), "n", OURS, {"Statement": []})
    assert verbs(role, None) == ["create", "grant"]
    assert verbs(role, RoleSeen(OURS, None)) == ["grant"]
    assert verbs(role, RoleSeen(OURS, {"Statement": [1]})) == ["grant"]
    assert verbs(role, RoleSeen(OURS, {"Statement": []})) == []
    with pytest.raises(ArgosyError, match="give a role with --role") as found:
        role.decide(RoleSeen({}, None))
    assert found.value.code is ErrorCode.CONFLICT


def test_a_role_as_it_is_made() -> None:
    """SageMaker alone may take it; it is marked as the deployment's, and has the one policy."""
    script, draft = Script(), Draft()
    role = Role(script.aws, draft, "n", OURS, {"Statement": ["x"]})
    seen = role.observe()
    for action in role.decide(seen):
        role.apply(action)
    assert seen is None
    assert script.changes() == ["create_role", "put_role_policy"]
    (creation,), (grant,) = script.asked("create_role"), script.asked("put_role_policy")
    assert creation["RoleName"] == grant["RoleName"] == role.target
    assert draft.role == f"arn:aws:iam::123456789012:role/{role.target}"
    trusted = json.loads(creation["AssumeRolePolicyDocument"])["Statement"]
    assert [statement["Principal"] for statement in trusted] == [{"Service": "sagemaker.amazonaws.com"}]
    assert [(tag["Key"], tag["Value"]) for tag in creation["Tags"]] == list(OURS.items())
    assert (grant["PolicyName"], json.loads(grant["PolicyDocument"])) == (POLICY_NAME, {"Statement": ["x"]})


def test_a_role_as_it_is_seen() -> None:
    """With its marks; without a policy of our name there is none."""
    tags = [{"Key": key, "Value": value} for key, value in OURS.items()]
    script = Script({"get_role": {"Role": {"Tags": tags}}})
    assert Role(script.aws, Draft(), "n", OURS, {}).observe() == RoleSeen(OURS, None)
    script = Script({"get_role": {"Role": {}}, "get_role_policy": {"PolicyDocument": {"Statement": []}}})
    assert Role(script.aws, Draft(), "n", OURS, {}).observe() == RoleSeen({}, {"Statement": []})


def test_a_given_role_is_taken_at_its_word() -> None:
    """Whatever is there, nothing is done."""
    draft = Draft()
    role = GivenRole(draft, "arn:aws:iam::1:role/x")
    assert (draft.role, role.target, verbs(role, None)) == ("arn:aws:iam::1:role/x", "arn:aws:iam::1:role/x", [])
