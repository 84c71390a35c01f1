"""The API descriptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator

from argosy.protocols import openapi

LISTENERS = ([openapi.INFERENCE], [openapi.MANAGEMENT], [openapi.INFERENCE, openapi.MANAGEMENT])


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


def problems(description: openapi.Json) -> list[str]:
    """What a strict validator refuses."""
    return [str(error).splitlines()[0] for error in OpenAPIV30SpecValidator(description).iter_errors()]


def signature(description: openapi.Json) -> set[tuple[str, str, str, frozenset[tuple[str, str]]]]:
    """What a generated client is made of: path, method, operation id, and parameters with their places."""
    return {
        (path, method, operation["operationId"], frozenset((parameter["in"], parameter["name"]) for parameter in operation["parameters"]))
        for path, operations in description["paths"].items() for method, operation in operations.items()
    }  # fmt: skip


@pytest.mark.parametrize("apis", LISTENERS)
def test_the_strict_description_is_valid(apis: Sequence[str]) -> None:
    """A validator of OpenAPI 3.0 finds nothing wrong with it, on any listener."""
    assert problems(openapi.strict_description(apis)) == []


def test_the_description_of_a_model_is_valid() -> None:
    """So is that of one model."""
    assert problems(openapi.model_description("okay")) == []


def test_only_what_is_invalid_differs() -> None:
    """Paths, parameters and operation ids are the original ones, but for two repeated ids, a name in a path that was no parameter, and limits."""
    apis = [openapi.INFERENCE, openapi.MANAGEMENT]
    described = openapi.strict_description(apis)
    register = described["paths"]["/models"]["post"]
    added = [parameter for parameter in register["parameters"] if parameter["name"].startswith("worker_")]
    register["parameters"] = [parameter for parameter in register["parameters"] if parameter not in added]
    assert {parameter["name"]: (parameter["required"], parameter["schema"]["minimum"]) for parameter in added} == {
        f"worker_{name}": (False, least) for name, least in
        (("memory_bytes", 1 << 24), ("cpu_s", 1), ("open_files", 16), ("file_bytes", 0), ("core_bytes", 0))}  # fmt: skip
    loose, strict = signature(openapi.description(apis)), signature(described)
    in_query, in_path = ("query", "model_name"), ("path", "model_name")
    assert loose - strict == {
        ("/api-description", "get", "apiDescription", frozenset()),
        ("/models/{model_name}/invoke", "post", "invocations", frozenset({in_query})),
    }
    assert strict - loose == {
        ("/api-description", "get", "apiDescription_0", frozenset()),
        ("/models/{model_name}/invoke", "post", "invocations_0", frozenset({in_query, in_path})),
        *((f"/{name}", "get", id, frozenset()) for name, id in (("livez",) * 2, ("readyz",) * 2, ("metrics",) * 2, ("openapi.json", "openapi"))),
    }


def test_defaults_have_the_type_of_their_parameter() -> None:
    """Numbers and booleans, where the original has texts."""
    parameters = openapi.strict_description([openapi.MANAGEMENT])["paths"]["/models"]["post"]["parameters"]
    found = {parameter["name"]: parameter["schema"].get("default") for parameter in parameters}
    assert (found["batch_size"], found["synchronous"], found["handler"]) == (1, False, None)


def test_endpoints_of_others_are_listed() -> None:
    """Each with its methods and sentence, in place of what the server has there, and the whole stays valid, whatever the name."""
    added = [openapi.Added("ping", "Says hello.", ("GET", "HEAD")), openapi.Added("a {b}", "", ("PUT", "POST", "DELETE"))]
    described = openapi.strict_description([openapi.INFERENCE, openapi.MANAGEMENT], added)
    assert problems(described) == []
    paths = described["paths"]
    assert list(paths["/ping"]) == ["get"]
    assert paths["/ping"]["get"]["description"] == "Says hello. Also answers below this path."
    assert list(paths["/a%20%7Bb%7D"]) == ["put", "post", "delete"]
    assert ["requestBody" in operation for operation in paths["/a%20%7Bb%7D"].values()] == [True, True, False]
    assert set(openapi.strict_description([openapi.INFERENCE, openapi.MANAGEMENT])["paths"]) < set(paths)


def test_an_endpoint_takes_every_path_below_its_own() -> None:
    """What it hides is not described."""
    paths = openapi.strict_description([openapi.INFERENCE, openapi.MANAGEMENT], [openapi.Added("models", "", ("GET",))])["paths"]
    assert [path for path in paths if path.startswith("/models")] == ["/models"]
    assert list(paths["/models"]) == ["get"]
