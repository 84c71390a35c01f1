"""What a dialect gets and gives: a request with its whole body, a reply, and the action that a path stands for."""

from __future__ import annotations

import enum
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from argosy.errors import ArgosyError

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def is_header(name: str, value: str) -> bool:
    """Whether a header can be sent: a token, and a value without line breaks."""
    return _TOKEN.fullmatch(name) is not None and _VALUE.fullmatch(value) is not None


class Scope(enum.Enum):
    """What a token is needed for, where tokens are used."""

    INFERENCE = "inference"
    MANAGEMENT = "management"
    SCRAPE = "scrape"
    """Metrics."""
    HEALTH = "health"
    """What load balancers and orchestrators ask; any token will do."""
    ANY = "any"
    """What is nobody's in particular, such as descriptions and paths that do not exist; any token will do."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request that was read completely. Header names are lower case; a repeated header keeps its last value."""

    method: str
    path: str
    """Percent-decoded, without the query."""
    query: str
    """As it came, without the question mark."""
    headers: Mapping[str, str]
    body: bytes
    request_id: str
    peer: str = ""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A reply of the server itself. The frontend adds request id, caching, CORS, length and connection headers."""

    status: int
    body: bytes = b""
    content_type: str | None = "application/json"
    headers: Sequence[tuple[str, str]] = field(default_factory=tuple)
    reason: str | None = None
    """None: the standard phrase of the status."""


@dataclass(frozen=True, slots=True)
class Predict:
    """The path asks a model for a prediction."""

    model: str
    with_query: bool
    """Whether the query parameters are inputs of the handler."""


@dataclass(frozen=True, slots=True)
class Call:
    """The path is answered by a function of the server. It may raise `ArgosyError`."""

    function: Callable[[HttpRequest], HttpReply | Awaitable[HttpReply]]
    scope: Scope = Scope.MANAGEMENT


Action = Predict | Call


class Dialect(Protocol):
    """What a listener asks of the protocols that it speaks."""

    def route(self, method: str, path: str, query: str) -> Action:
        """What to do with a request. `path` is percent-decoded. Raises `ArgosyError` (not found, method not allowed, …)."""

    def error_reply(self, error: ArgosyError, request_id: str) -> HttpReply:
        """How this dialect writes a failure."""
