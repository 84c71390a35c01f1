"""What authors of custom endpoints use: the request, the response, and what an endpoint may know of its server.

An endpoint is an object, or a class that can be made without arguments, with

- `pattern`: the first segment of the paths that it takes over, before every path of the server itself;
- `listener`: `"inference"` (also when absent) or `"management"`, whose access rules then hold for it;
- `description`: a sentence for the log (optional);
- any of the methods `get`, `put`, `post` and `delete`, each `(request, context) -> Response`, plain or `async`. HEAD is answered by `get`; a method
  that is not there is answered with 405. Plain methods run in a thread, so that they may block; `async` ones run in the server's event loop and
  must not.

It is installed as an entry point of the group `argosy.endpoints` and switched on by its name in the setting `endpoints`. It runs inside the server's
process, with all of its rights.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

GROUP = "argosy.endpoints"
"""The group of entry points."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the client sent."""

    method: str
    path: str
    """The whole path, percent-decoded, without the query."""
    parameters: Mapping[str, Sequence[str]]
    """The values of each query parameter, in order."""
    headers: Mapping[str, str]
    """By name in lower case; a repeated header keeps its last value."""
    body: bytes
    id: str
    """The request id, which the reply carries as `x-request-id`."""

    @property
    def content_type(self) -> str:
        """The content type with its parameters; empty if there is none."""
        return self.headers.get("content-type", "")

    def parameter(self, name: str, default: str | None = None) -> str | None:
        """The first value of a query parameter."""
        values = self.parameters.get(name)
        return values[0] if values else default


@dataclass(frozen=True, slots=True)
class Response:
    """What the client gets. The server adds request id, caching, CORS, length and connection headers."""

    body: bytes | str = b""
    """Text is sent as UTF-8."""
    status: int = 200
    """200 to 999."""
    reason: str | None = None
    """None: the usual phrase of the status."""
    content_type: str | None = None
    """None: the reply has no content type."""
    headers: Sequence[tuple[str, str]] = ()

    @classmethod
    def json(cls, value: Any, status: int = 200) -> Response:
        """A value as JSON. Raises what `json.dumps` raises."""
        return cls(json.dumps(value, indent=2), status, content_type="application/json")


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process of a model."""

    pid: int | None
    """None while no process runs."""
    is_running: bool
    """Whether it has the model loaded."""
    measure: Callable[[int | None], int] = field(repr=False, compare=False)

    @property
    def memory_bytes(self) -> int:
        """Its resident memory now; 0 when it is gone."""
        return self.measure(self.pid)


@dataclass(frozen=True, slots=True)
class Model:
    """A registered model at the moment of the request."""

    name: str
    url: str
    handler: str
    batch_size: int
    """Most requests in one call of the handler."""
    workers: Sequence[Worker]
    concurrency: int = 1
    """Most calls of the handler that one worker has running: more than 1 only for asynchronous handlers."""


@dataclass(frozen=True, slots=True)
class Context:
    """The server at the moment of the request."""

    config: Mapping[str, str]
    """Every setting as text, by name; `***` stands for a secret, nothing for what is not set."""
    models: Mapping[str, Model]
    """By name, sorted."""
