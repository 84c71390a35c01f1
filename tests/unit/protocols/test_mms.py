"""The routes of the inference API."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from argosy.control.startup import Startup
from argosy.dataplane.registry import Registry
from argosy.errors import ArgosyError, ErrorCode
from argosy.metrics.exposition import Exposition
from argosy.metrics.host import Host
from argosy.protocols import management, mms, openapi
from argosy.protocols.endpoint import Call, HttpReply, HttpRequest, Predict
from argosy.protocols.mms import InferenceDialect, segments
from argosy.protocols.observability import Observability
from argosy.protocols.status import Detail
from fakes.serving import FakeModel, spec

ROOT = Path(__file__).resolve().parents[3]


def dialect(*startup: str, detail: Detail = Detail.NONE) -> InferenceDialect:
    """An inference API with the models okay and odd, and those loaded at start."""
    registry = Registry()
    for name in {"okay", "odd"} - set(startup):
        registry.add(FakeModel(spec(name)))
    for name in startup:
        registry.add(FakeModel(spec(name, startup=True)))
    exposition = Exposition(tuple, dict, Host(), "1")
    observability = Observability(registry, Startup(), exposition, ping_always_200=False, is_draining=lambda: False)
    return InferenceDialect(registry, observability, error_detail=detail)


def get(api: InferenceDialect, method: str, path: str, query: str = "") -> HttpReply:
    """The reply of the server itself."""
    action = api.route(method, path, query)
    assert isinstance(action, Call)
    reply = action.function(HttpRequest(method, path, query, {}, b"", "id"))
    assert isinstance(reply, HttpReply)
    return reply


@pytest.mark.parametrize(("path", "parts"), [
    ("/", []), ("//", []), ("", []), ("/a", ["a"]), ("/a/", ["a"]), ("/a//b//", ["a", "", "b"]), ("//a", ["", "a"]),
])  # fmt: skip
def test_segments(path: str, parts: list[str]) -> None:
    """Empty parts count, except at the end."""
    assert segments(path) == parts


@pytest.mark.parametrize(("path", "query", "model", "with_query"), [
    ("/predictions/okay", "", "okay", False), ("/predictions/okay/", "a=1", "okay", False), ("/predictions/okay/2/3", "", "okay", False),
    ("/predictions//okay", "", "", False), ("/predictions/nosuch", "", "nosuch", False), ("/models/okay/invoke", "", "okay", True),
    ("/models/okay/invoke/", "", "okay", True), ("/okay/predict", "", "okay", True), ("//predict", "", "", True),
    ("/metrics/predict", "", "metrics", True),
    ("/invocations", "model_name=okay", "okay", True), ("/invocations", "model_name=", "", True), ("/models//invoke", "", "", True),
])  # fmt: skip
def test_prediction_paths(path: str, query: str, model: str, with_query: bool) -> None:
    """Each prediction path asks its model, the second time too; the query is input everywhere but on /predictions."""
    api = dialect()
    for method in ("POST", "GET", "PATCH"):
        assert api.route(method, path, query) == Predict(model, with_query)


@pytest.mark.parametrize("path", [
    "/predictions", "/predictions/", "/models", "/models/okay", "/models/okay/other", "/models/predict", "/models/okay/invoke/x", "/okay/predict/x",
    "/invocations/x", "//ping", "/Ping", "/no/such", "/x", "/livez/x", "/metrics/x",
])  # fmt: skip
def test_unknown_paths(path: str) -> None:
    """What is no path of this API is not found, in the old words."""
    with pytest.raises(ArgosyError, match=r"^Requested resource is not found, please refer to API document.$") as caught:
        dialect().route("GET", path, "")
    assert caught.value.code is ErrorCode.RESOURCE_NOT_FOUND


@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/"), ("GET", "//"), ("OPTIONS", "//"), ("GET", "/api-description/x"), ("POST", "/livez"), ("DELETE", "/readyz"), ("POST", "/metrics"),
    ("POST", "/openapi.json"),
])  # fmt: skip
def test_wrong_methods(method: str, path: str) -> None:
    """A path that is there, but not for this method."""
    with pytest.raises(ArgosyError, match=r"^Requested method is not allowed") as caught:
        get(dialect(), method, path)
    assert caught.value.code is ErrorCode.METHOD_NOT_ALLOWED


def test_target_must_be_a_path() -> None:
    """`OPTIONS *` is refused in words."""
    with pytest.raises(ArgosyError, match="must be a path") as caught:
        dialect().route("OPTIONS", "*", "")
    assert caught.value.code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize(("startup", "query", "model"), [
    (["okay"], "", "okay"), (["okay"], "model_name=", "okay"), (["okay"], "model_name=odd", "odd"),
])  # fmt: skip
def test_invocations_mean_the_only_model_of_the_start(startup: list[str], query: str, model: str) -> None:
    """A request that names no model is for the one that was loaded at start."""
    assert dialect(*startup).route("POST", "/invocations", query) == Predict(model, True)


@pytest.mark.parametrize("startup", [[], ["okay", "odd"]])
def test_invocations_need_a_name_otherwise(startup: list[str]) -> None:
    """Without exactly one model of the start a name is required."""
    with pytest.raises(ArgosyError, match=r"^Parameter model_name is required.$") as caught:
        dialect(*startup).route("POST", "/invocations", "x=1")
    assert caught.value.code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("path", ["/predictions/okay", "/okay/predict", "/models/okay/invoke", "/invocations"])
def test_options_describe_the_model(path: str) -> None:
    """OPTIONS on a prediction path describes the model, also when the path was asked before."""
    api = dialect()
    api.route("POST", path, "model_name=okay")
    reply = get(api, "OPTIONS", path, "model_name=okay")
    assert json.loads(reply.body)["info"]["title"] == "RESTful API for: okay"


def test_options_of_an_unknown_model() -> None:
    """A model that is not there cannot be described."""
    with pytest.raises(ArgosyError, match=r"^Model not found: nosuch$"):
        get(dialect(), "OPTIONS", "/predictions/nosuch")


@pytest.mark.parametrize("path", ["/openapi.json", "/openapi.json/"])
def test_the_strict_description_has_a_path_of_its_own(path: str) -> None:
    """It is the one that validators accept; below it there is nothing, and a model may be called like it."""
    found = json.loads(get(dialect(), "GET", path).body)
    assert found == openapi.strict_description([openapi.INFERENCE])
    assert dialect().route("GET", "/openapi.json/predict", "") == Predict("openapi.json", True)


@pytest.mark.parametrize(("method", "path"), [("OPTIONS", "/"), ("GET", "/api-description"), ("POST", "/api-description/")])
def test_api_description(method: str, path: str) -> None:
    """Both places give the description of this API."""
    assert "/invocations" in json.loads(get(dialect(), method, path).body)["paths"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/ping"), ("POST", "/ping"), ("OPTIONS", "/ping"), ("GET", "/ping/x")])
def test_ping_takes_everything(method: str, path: str) -> None:
    """Any method, and anything below."""
    assert get(dialect(), method, path).body == b'{\n  "status": "Healthy"\n}\n'


def test_failures_keep_the_exception_unless_allowed() -> None:
    """`error_detail` decides what a client sees."""
    error = ArgosyError(ErrorCode.HANDLER_FAILED, "Prediction failed", detail="KeyError: 'a'")
    assert b"KeyError" not in dialect().error_reply(error, "id").body
    assert b"KeyError" in dialect(detail=Detail.MESSAGE).error_reply(error, "id").body


@pytest.mark.parametrize("route", [*mms.ROUTES, *management.ROUTES], ids=lambda route: f"{route.methods} {route.path}")
def test_every_route_is_documented(route: mms.Route) -> None:
    """The reference page of its API names the path and its methods in one row."""
    page = "inference-api.md" if route in mms.ROUTES else "management-api.md"
    row = f"| {route.methods} | `{route.path}` | {route.about} |"
    assert row in (ROOT / "docs/reference" / page).read_text("utf-8")


@pytest.mark.parametrize("route", mms.ROUTES, ids=lambda route: f"{route.methods} {route.path}")
def test_every_documented_route_exists(route: mms.Route) -> None:
    """No row of the table leads nowhere."""
    method = "OPTIONS" if route.methods == "OPTIONS" else "GET"
    assert dialect("okay").route(method, route.path.replace("{model}", "okay"), "")


def test_no_route_is_missing_from_the_table() -> None:
    """Every first segment that the dialect knows has a row, on both listeners."""
    api = dialect()
    rows = {segments(route.path)[0] for route in mms.ROUTES if route.path != "/"}
    assert {*api.first_segments} | {"{model}"} == rows
    managed = {segments(route.path)[0] for route in management.ROUTES if route.path != "/"}
    assert {*api.first_segments} - {"ping", "predictions", "invocations"} == managed
