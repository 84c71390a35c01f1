"""What a token has to be for."""

from __future__ import annotations

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.frontend.plan import Plan
from argosy.protocols.endpoint import Call, HttpReply, Scope


@pytest.mark.parametrize(("plan", "scope"), [
    (Plan(error=ArgosyError(ErrorCode.RESOURCE_NOT_FOUND, "no such path")), Scope.ANY),
    (Plan(error=ArgosyError(ErrorCode.MODEL_NOT_FOUND, "no such model")), Scope.INFERENCE),
    (Plan(), Scope.INFERENCE),
    (Plan(call=Call(lambda _: HttpReply(200))), Scope.MANAGEMENT),
    (Plan(call=Call(lambda _: HttpReply(200), Scope.SCRAPE)), Scope.SCRAPE),
])  # fmt: skip
def test_scopes(plan: Plan, scope: Scope) -> None:
    """A model that is not there is as secret as one that is; a path that does not exist is nobody's."""
    assert plan.scope is scope
