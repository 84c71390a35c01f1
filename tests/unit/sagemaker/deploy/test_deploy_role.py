"""What is done about a role, given what there is."""

from __future__ import annotations

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy.role import Role, RoleSeen
from argosy.sagemaker.deploy.step import Draft
from fakes.decisions import AWS, OURS, verbs


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
