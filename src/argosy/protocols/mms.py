"""The inference API of Multi Model Server: which path asks which model, and how failures are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from argosy.dataplane.registry import Registry
from argosy.errors import ArgosyError, ErrorCode
from argosy.protocols import openapi
from argosy.protocols.endpoint import Action, Call, HttpReply, Predict, Scope
from argosy.protocols.forms import query_values
from argosy.protocols.json_layout import dumps
from argosy.protocols.observability import Observability
from argosy.protocols.status import Detail, error_reply, not_allowed, not_found


@dataclass(frozen=True, slots=True)
class Route:
    """A path of an API, for its reference page."""

    methods: str
    path: str
    about: str


ROUTES: tuple[Route, ...] = (
    Route("OPTIONS", "/", "API description"),
    Route("any", "/api-description", "API description"),
    Route("GET, HEAD", "/openapi.json", "API description, valid to the letter"),
    Route("any", "/ping", "health, also below it"),
    Route("GET, HEAD", "/livez", "liveness"),
    Route("GET, HEAD", "/readyz", "readiness"),
    Route("GET, HEAD", "/metrics", "metrics for Prometheus"),
    Route("any but OPTIONS", "/predictions/{model}", "prediction; what follows the name is ignored"),
    Route("any but OPTIONS", "/models/{model}/invoke", "prediction with query parameters as inputs"),
    Route("any but OPTIONS", "/invocations", "prediction by the model of query parameter `model_name`, or the only model of the start"),
    Route("any but OPTIONS", "/{model}/predict", "prediction, old form"),
    Route("OPTIONS", "/predictions/{model}", "description of one model, likewise on the other prediction paths"),
)
COMPATIBLE = "api-description"
STRICT = "openapi.json"


def segments(path: str) -> list[str]:
    """The parts of a path between slashes, without empty ones at its end: [] for `/`, and an empty first part for `//x`.

    Raises `ArgosyError` INVALID_REQUEST for a target that is no path, such as `*`.
    """
    if path and path[0] != "/":
        raise ArgosyError(ErrorCode.INVALID_REQUEST, "The request target must be a path that starts with a slash.")
    parts = path.split("/")
    while parts and not parts[-1]:
        parts.pop()
    return parts[1:]


class ApiDescription:
    """Where a listener describes its APIs, as Multi Model Server did and valid to the letter."""

    def __init__(self, *apis: str, added: Iterable[openapi.Added] = ()) -> None:
        """`added` are the endpoints of others on this listener; Multi Model Server never described those."""
        self._compatible = dumps(openapi.description(apis))
        self._strict = dumps(openapi.strict_description(apis, added))

    def find(self, method: str, path: str, parts: Sequence[str]) -> Call | None:
        """The description that a path asks for; None for other paths. Raises `ArgosyError` METHOD_NOT_ALLOWED."""
        if parts == [STRICT]:
            if method not in ("GET", "HEAD"):
                raise not_allowed()
            return Call(lambda _: HttpReply(200, self._strict), Scope.ANY)
        if parts and parts[0] != COMPATIBLE:
            return None
        if (path == "/" and method == "OPTIONS") or len(parts) == 1:
            return Call(lambda _: HttpReply(200, self._compatible), Scope.ANY)
        raise not_allowed()


class InferenceDialect:
    """The inference API. Knows which models there are, never what is in a request's body."""

    def __init__(
        self, registry: Registry, observability: Observability, *, error_detail: Detail = Detail.NONE, added: Iterable[openapi.Added] = ()
    ) -> None:
        self._registry = registry
        self._observability = observability
        self._error_detail = error_detail
        self._description = ApiDescription(openapi.INFERENCE, added=added)
        self._firsts: dict[str, Callable[[str, str, list[str], str], Action]] = {
            "ping": self._ping, "predictions": self._predictions, "invocations": self._invocations, "models": self._invoke,
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"<InferenceDialect of {self._registry!r}>"

    @property
    def first_segments(self) -> list[str]:
        """What paths may begin with, model names aside."""
        return [*self._firsts, COMPATIBLE, STRICT, *self._observability.routes]

    def route(self, method: str, path: str, query: str) -> Action:
        """What a request asks for.

        Raises `ArgosyError`: RESOURCE_NOT_FOUND, METHOD_NOT_ALLOWED, INVALID_REQUEST for a prediction without a model. Whether the model exists is
        found out later, except for OPTIONS.
        """
        action = self.find(method, path, query)
        if action is None:
            raise not_found()
        return action

    def find(self, method: str, path: str, query: str) -> Action | None:
        """Like `route`, but None for paths that are not of this API, so that another one may have them on the same listener."""
        parts = segments(path)
        described = self._description.find(method, path, parts)
        if described is not None:
            return described
        if len(parts) == 1 and parts[0] in self._observability.routes:
            return self._observability.call(parts[0])
        first = self._firsts.get(parts[0])
        if first is not None and (parts[0] != "models" or parts[2:] == ["invoke"] or parts[1:] == ["predict"]):
            return first(method, path, parts, query)
        if len(parts) == 2 and parts[1] == "predict":
            return self._named(method, parts[0])
        return None

    def error_reply(self, error: ArgosyError, request_id: str) -> HttpReply:
        """How a failure is written: what a handler said stays in the log unless `error_detail` lets it out."""
        return error_reply(error, self._error_detail)

    def _ping(self, method: str, path: str, parts: list[str], query: str) -> Action:
        return Call(self._observability.ping, Scope.HEALTH)

    def _predictions(self, method: str, path: str, parts: list[str], query: str) -> Action:
        if len(parts) < 2:
            raise not_found()
        return self._named(method, parts[1], with_query=False)

    def _invoke(self, method: str, path: str, parts: list[str], query: str) -> Action:
        if len(parts) != 3:
            # a model called predict cannot be described where both APIs share an address: the path looks like a prediction
            raise not_found()
        return self._named(method, parts[1]) if parts[1] else self._unnamed(method, "")

    def _invocations(self, method: str, path: str, parts: list[str], query: str) -> Action:
        if len(parts) > 1:
            raise not_found()
        name = query_values(query).get("model_name")
        return self._named(method, name) if name else self._unnamed(method, name)

    def _unnamed(self, method: str, name: str | None) -> Action:
        """No model is named; `name` is None or empty. The only model of the start is meant, if there is one."""
        sole = self._registry.sole_startup_model
        if sole is not None:
            return self._named(method, sole.spec.name)
        if name is None:
            raise ArgosyError(ErrorCode.INVALID_REQUEST, "Parameter model_name is required.")
        return self._named(method, name)

    def _named(self, method: str, name: str, with_query: bool = True) -> Action:
        return Call(lambda _: self._describe_model(name), Scope.INFERENCE) if method == "OPTIONS" else Predict(name, with_query)

    def _describe_model(self, name: str) -> HttpReply:
        self._registry.get(name)
        return HttpReply(200, dumps(openapi.model_description(name)))
