"""What the site has decided about a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from argosy.errors import ArgosyError, ErrorCode
from argosy.protocols.endpoint import Call, HttpReply, Scope

if TYPE_CHECKING:
    from argosy.dataplane.served import ServedModel


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to a request: a prediction of `model`, a call of the server itself, or a refusal once it was read."""

    model: ServedModel | None = None
    with_query: bool = False
    call: Call | None = None
    error: ArgosyError | None = None
    refusal: HttpReply | None = None
    """The reply to a request that was not read to its end."""

    @property
    def scope(self) -> Scope:
        """What a token must be for, where tokens are used. A model that is not there is as secret as one that is."""
        if self.call is not None:
            return self.call.scope
        unknown = self.error is not None and self.error.code is not ErrorCode.MODEL_NOT_FOUND
        return Scope.ANY if unknown else Scope.INFERENCE
