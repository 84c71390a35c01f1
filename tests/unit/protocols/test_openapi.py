"""The API descriptions."""

from __future__ import annotations

from typing import Any

from argosy.protocols import openapi


def test_each_api_has_its_paths() -> None:
    """The operations of both APIs, by method, path and id, are those that generated clients know."""
    assert openapi.operations() == [
        ("OPTIONS", "/", "apiDescription"),
        ("POST", "/{model_name}/predict", "predict"),
        ("GET", "/ping", "ping"),
        ("POST", "/predictions/{model_name}", "predictions"),
        ("OPTIONS", "/predictions/{model_name}", "predictionsApi"),
        ("GET", "/api-description", "apiDescription"),
        ("POST", "/invocations", "invocations"),
        ("POST", "/models/{model_name}/invoke", "invocations"),
        ("OPTIONS", "/", "apiDescription"),
        ("GET", "/models", "listModels"),
        ("POST", "/models", "registerModel"),
        ("GET", "/models/{model_name}", "describeModel"),
        ("PUT", "/models/{model_name}", "setAutoScale"),
        ("DELETE", "/models/{model_name}", "unregisterModel"),
    ]


def test_shared_description_has_each_path_once() -> None:
    """Where both APIs share an address the description holds inference first, then what management adds."""
    both = openapi.description([openapi.INFERENCE, openapi.MANAGEMENT])
    assert list(both) == ["openapi", "info", "paths"]
    assert next(iter(both["paths"])) == "/"
    assert list(both["paths"])[-2:] == ["/models", "/models/{model_name}"]
    assert len(both["paths"]) == 9


def test_every_operation_is_complete() -> None:
    """Each operation has an id, parameters (perhaps none), and responses with descriptions; each parameter a place, a name and a schema."""
    for path in openapi.description([openapi.INFERENCE, openapi.MANAGEMENT])["paths"].values():
        for operation in path.values():
            assert operation["operationId"]
            assert all(response["description"] for response in operation["responses"].values())
            assert all(_is_parameter(parameter) for parameter in operation["parameters"])


def _is_parameter(parameter: dict[str, Any]) -> bool:
    return parameter["in"] in ("path", "query") and bool(parameter["name"]) and "type" in parameter["schema"]


def test_model_description_names_the_model() -> None:
    """The description of one model has its prediction path only."""
    described = openapi.model_description("okay")
    assert described["info"] == {"title": "RESTful API for: okay", "version": "1.0.0"}
    operation = described["paths"]["/prediction/okay"]["post"]
    assert (operation["operationId"], list(operation["responses"])) == ("okay", ["200", "500"])
