"""What the site has decided about a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from argosy.errors import ArgosyError
from argosy.protocols.endpoint import Call, HttpReply

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
