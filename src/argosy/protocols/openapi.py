"""The API descriptions (OpenAPI 3.0.1): of both APIs, and of one model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

Json = dict[str, Any]

INFERENCE = "inference"
MANAGEMENT = "management"


@dataclass(frozen=True, slots=True)
class Added:
    """An endpoint of somebody else's: it answers at the first segment `pattern`, and below."""

    pattern: str
    description: str
    methods: Sequence[str]
    """In capitals; HEAD goes with GET and is not described."""


def description(apis: Iterable[str]) -> Json:
    """The description of one listener, byte for byte that of Multi Model Server: also where it is not valid.

    `apis` are INFERENCE and MANAGEMENT, or one of them; a path of both appears once.
    """
    paths: Json = {}
    for api in apis:
        for path, operations in _APIS[api].items():
            paths.setdefault(path, operations)
    about = "Model Server is a flexible and easy to use tool for serving deep learning models"
    return {"openapi": "3.0.1", "info": {"title": "Model Server APIs", "description": about, "version": "1.0.0"}, "paths": paths}


def strict_description(apis: Iterable[str], added: Iterable[Added] = ()) -> Json:
    """The description of one listener, valid and with the routes that Multi Model Server did not have, those of endpoints among them.

    An operation id is there once: the second operation is called as client generators have always renamed it, `<id>_0`. A default has the type of
    its parameter, and every name in a path is a parameter. Every status that an operation may have is among its responses.
    """
    seen: set[str] = set()
    plain = description(apis)
    found = {**plain["paths"], **_ADDED}
    for endpoint in added:
        own = f"/{quote(endpoint.pattern, safe='')}"
        found = {path: operations for path, operations in found.items() if path != own and not path.startswith(f"{own}/")}
        found[own] = _operations_of(endpoint)
    paths = {
        path: {method: _strict_operation(path, operation, seen) for method, operation in operations.items()} for path, operations in found.items()
    }
    return {**plain, "paths": paths}


def _operations_of(endpoint: Added) -> Json:
    about = f"{endpoint.description} Also answers below this path.".strip()
    answers = {"default": {"description": "What the endpoint answers"}}
    body: Json = {"requestBody": _content(_schema("binary"), "*/*")}
    return {
        method.lower(): {
            "description": about, "operationId": f"{method.lower()}_{endpoint.pattern}", "parameters": [],
            **(body if method in ("PUT", "POST") else {}), "responses": answers,
        }
        for method in endpoint.methods if method != "HEAD"
    }  # fmt: skip


def _strict_operation(path: str, operation: Json, seen: set[str]) -> Json:
    """An operation whose id is not among `seen`, which it joins."""
    id = operation["operationId"]
    responses = {**_REFUSED, **operation["responses"], **_ALSO.get(id, {})}
    if id in seen:
        id += "_0"
    seen.add(id)
    parameters = [_typed(parameter) for parameter in (*operation["parameters"], *_MORE.get(id, ()))]
    if "{model_name}" in path and not any(parameter["in"] == "path" for parameter in parameters):
        parameters.insert(0, _NAME)
    return {**operation, "operationId": id, "parameters": parameters, "responses": responses}


def _typed(parameter: Json) -> Json:
    schema = parameter["schema"]
    if schema["type"] not in ("integer", "boolean") or "default" not in schema:
        return parameter
    return {**parameter, "schema": {**schema, "default": json.loads(schema["default"])}}


def model_description(name: str) -> Json:
    """The description of the prediction path of one model."""
    operation = _operation(name, "200 OK", _SERVER_ERROR, about=f"A predict entry point for model: {name}.")
    info = {"title": f"RESTful API for: {name}", "version": "1.0.0"}
    return {"openapi": "3.0.1", "info": info, "paths": {f"/prediction/{name}": {"post": operation}}}


def operations() -> list[tuple[str, str, str]]:
    """Method, path and operation id of everything that is described; for the documentation and its test."""
    return [(method.upper(), path, item["operationId"]) for api in _APIS.values() for path, found in api.items() for method, item in found.items()]


# How the parts are written down below: a property or parameter is "name type about", a response "status text".


def _schema(kind: str, **more: Any) -> Json:
    return {"type": "string", "format": "binary", **more} if kind == "binary" else {"type": kind, **more}


def _object(required: str, properties: Json, kind: str | None = "object") -> Json:
    head: Json = {} if kind is None else {"type": kind}
    return {**head, "required": required.split(), "properties": properties}


def _property(kind: str, about: str = "", **more: Any) -> Json:
    return _schema(kind, **({"description": about} if about else {}), **more)


def _content(schema: Json, media: str = "application/json") -> Json:
    return {"content": {media: {"schema": schema}}}


def _parameter(place: str, name: str, about: str, kind: str = "string", required: bool = False, **more: Any) -> Json:
    return {"in": place, "name": name, "description": about, "required": required, "schema": _schema(kind, **more)}


def _response(text: str, content: Json | None = None) -> Json:
    status, _, about = text.partition(" ")
    return {status: {"description": about, **(content or {})}}


def _operation(
    id: str, *responses: str | Json, about: str = "", parameters: Iterable[Json] = (), body: Json | None = None, deprecated: bool = False
) -> Json:
    answers: Json = {}
    for response in responses:
        answers.update(_response(response) if isinstance(response, str) else response)
    return {
        **({"description": about} if about else {}),
        "operationId": id,
        "parameters": list(parameters),
        **({"requestBody": {**body, "required": True}} if body else {}),
        "responses": answers,
        **({"deprecated": True} if deprecated else {}),
    }


_ERROR = _content(_object("code type message", {
    "code": _property("integer", "Error code."), "type": _property("string", "Error type."), "message": _property("string", "Error message."),
}))  # fmt: skip
_DONE = _content(_object("status", {"status": _property("string", "Error type.")}))
_RAW = _content(_schema("binary"), "*/*")

_SERVER_ERROR = _response("500 Internal Server Error", _ERROR)
_BAD_REQUEST = _response("400 Bad request", _ERROR)
_NO_MODEL = _response("404 Model not found", _ERROR)
_NO_WORKER = _response("503 No worker is available to serve request", _ERROR)
_ACCEPTED = _response("202 Accepted", _DONE)
_PARTIAL = _response("210 Partial Success", _DONE)
_DESCRIPTOR = _response("200 A openapi 3.0.1 descriptor", _content(_object(
    "openapi info paths", {"openapi": _property("string"), "info": _property("object"), "paths": _property("object")})))  # fmt: skip

_INVOCATION = _object("data", {
    "model_name": _property("string", "Name of model"), "data": _property("binary", description="Inference input data"),
}, kind=None)  # fmt: skip
_INVOKE = _operation(
    "invocations", _response("200 Model specific output data format", _content(_INVOCATION, "*/*")),
    _response("400 Missing model_name parameter", _ERROR), _NO_MODEL, _SERVER_ERROR, _NO_WORKER,
    about="A generic invocation entry point for all models.", parameters=[_parameter("query", "model_name", "Name of model")],
    body=_content(_INVOCATION, "multipart/form-data"))  # fmt: skip

_NAME = _parameter("path", "model_name", "Name of model.", required=True)
_NAME_DESCRIBED = _parameter("path", "model_name", "Name of model to describe.", required=True)
_NAME_UNREGISTERED = _parameter("path", "model_name", "Name of model to unregister.", required=True)
_SYNCHRONOUS = _parameter("query", "synchronous", "Decides whether the call is synchronous or not, default: false.", "boolean", default="false")
_TIMEOUT = _parameter(
    "query", "timeout",
    "Waiting up to the specified wait time if necessary for a worker to complete all pending requests. "
    "Use 0 to terminate backend worker process immediately. Use -1 for wait infinitely.", "integer", default="-1")  # fmt: skip

_DESCRIBE_API = {"options": _operation("apiDescription", _DESCRIPTOR, _SERVER_ERROR)}

_INFERENCE: Mapping[str, Json] = {
    "/": _DESCRIBE_API,
    "/{model_name}/predict": {"post": _operation(
        "predict", _response("200 Model specific output data format", _RAW), _NO_MODEL, _SERVER_ERROR, _NO_WORKER,
        about="A legacy predict entry point for each model.", parameters=[_NAME_UNREGISTERED],
        body={"description": "Input data format is defined by each model.", **_RAW}, deprecated=True)},
    "/ping": {"get": _operation("ping", _response("200 Model server status", _content(_object(
        "status", {"status": _property("string", "Overall status of the Model Server.")}))), _SERVER_ERROR)},
    "/predictions/{model_name}": {
        "post": _operation(
            "predictions", _response(
                "200 Output data format is defined by each model. Use OPTIONS method to get details for model output and output format.", _RAW),
            _NO_MODEL, _SERVER_ERROR, _NO_WORKER, parameters=[_NAME],
            about="Predictions entry point for each model. Use OPTIONS method to get detailed model API input and output description.",
            body={"description": "Input data format is defined by each model. Use OPTIONS method to get details for model input format.", **_RAW}),
        "options": _operation(
            "predictionsApi", _response("200 OK", _content(_schema("object"))),
            about="Display details of per model input and output.", parameters=[_NAME])},
    "/api-description": {"get": _operation("apiDescription", _DESCRIPTOR, _SERVER_ERROR, deprecated=True)},
    "/invocations": {"post": _INVOKE},
    "/models/{model_name}/invoke": {"post": _INVOKE},
}  # fmt: skip

_LISTED = _object("modelName modelUrl", {
    "modelName": _property("string", "Name of the model."), "modelUrl": _property("string", "URL of the model."),
})  # fmt: skip
_LIST = _operation(
    "listModels", _response("200 OK", _content(_object("models", {
        "nextPageToken": _property(
            "string", "Use this parameter in a subsequent request after you receive a response with truncated results. "
            "Set it to the value of NextMarker from the truncated response you just received."),
        "models": _property("array", items=_LISTED, description="A list of registered models.")}))), _SERVER_ERROR,
    about="List registered models in Model Server.", parameters=[
        _parameter(
            "query", "limit", "Use this parameter to specify the maximum number of items to return. When this value is present, Model Server does "
            "not return more than the specified number of items, but it might return fewer. This value is optional. If you include a value, it must "
            "be between 1 and 1000, inclusive. If you do not include a value, it defaults to 100.", "integer", default="100"),
        _parameter(
            "query", "next_page_token", "The token to retrieve the next set of results. Model Server provides the token when the response from a "
            "previous call has more results than the maximum page size."),
        _parameter("query", "model_name_pattern", "A model name filter to list only matching models.")])  # fmt: skip

_REGISTER = _operation(
    "registerModel", _response("200 Model registered", _DONE), _ACCEPTED, _PARTIAL, _BAD_REQUEST, _NO_MODEL,
    _response("409 Model already registered", _ERROR), _SERVER_ERROR,
    about="Register a new model in Model Server.", parameters=[
        _parameter("query", "model_url", "Model archive download url, support local file or HTTP(s) protocol. For S3, consider use pre-signed url.",
                   required=True),
        _parameter("query", "model_name", "Name of model. This value will override modelName in MANIFEST.json if present."),
        _parameter("query", "handler", "Inference handler entry-point. This value will override handler in MANIFEST.json if present."),
        _parameter("query", "runtime", "Runtime for the model custom service code. This value will override runtime in MANIFEST.json if present.",
                   enum=["PYTHON", "PYTHON2", "PYTHON3"]),
        _parameter("query", "batch_size", "Inference batch size, default: 1.", "integer", default="1"),
        _parameter("query", "max_batch_delay", "Maximum delay for batch aggregation, default: 100.", "integer", default="100"),
        _parameter("query", "response_timeout", "Maximum time, in seconds, the Model Server waits for a response from the model inference code, "
                   "default: 120.", "integer", default="2"),
        _parameter("query", "initial_workers", "Number of initial workers, default: 0.", "integer", default="0"),
        _parameter("query", "synchronous", "Decides whether creation of worker synchronous or not, default: false.", "boolean", default="false"),
        _parameter("query", "preload_model", "Decides if model should be preloaded, default: false.", "boolean", default="false")])  # fmt: skip

_WORKER = _object("id startTime status", {
    "id": _property("string", "Worker id"), "startTime": _property("string", "Worker start time"), "gpu": _property("boolean", "If running on GPU"),
    "status": _property("string", "Worker status", enum=["READY", "LOADING", "UNLOADING"]),
})  # fmt: skip
_TRAFFIC = _object("rejectedRequests waitingQueueSize requests", {
    "rejectedRequests": _property("integer", "Number requests has been rejected in last 10 minutes."),
    "waitingQueueSize": _property("integer", "Number requests waiting in the queue."),
    "requests": _property("integer", "Number requests processed in last 10 minutes."),
})  # fmt: skip
_MODEL = _object("modelName modelVersion modelUrl minWorkers maxWorkers status workers metrics", {
    "modelName": _property("string", "Name of the model."), "modelVersion": _property("string", "Version of the model."),
    "modelUrl": _property("string", "URL of the model."), "minWorkers": _property("integer", "Configured minimum number of worker."),
    "maxWorkers": _property("integer", "Configured maximum number of worker."), "batchSize": _property("integer", "Configured batch size."),
    "maxBatchDelay": _property("integer", "Configured maximum batch delay in ms."),
    "status": _property("string", "Overall health status of the model"),
    "workers": _property("array", items=_WORKER, description="A list of active backend workers."), "metrics": _TRAFFIC,
})  # fmt: skip

_DESCRIBE = _operation(
    "describeModel", _response("200 OK", _content(_MODEL)), _SERVER_ERROR,
    about="Provides detailed information about the specified model.", parameters=[_NAME_DESCRIBED])  # fmt: skip
_SCALE = _operation(
    "setAutoScale", _response("200 Model workers updated", _DONE), _ACCEPTED, _PARTIAL, _BAD_REQUEST, _NO_MODEL, _SERVER_ERROR,
    about="Configure number of workers for a model, This is a asynchronous call by default. "
    "Caller need to call describeModel check if the model workers has been changed.", parameters=[
        _NAME_DESCRIBED, _parameter("query", "min_worker", "Minimum number of worker processes.", "integer", default="1"),
        _parameter("query", "max_worker", "Maximum number of worker processes.", "integer", default="1"),
        _parameter("query", "number_gpu", "Number of GPU worker processes to create.", "integer", default="0"), _SYNCHRONOUS, _TIMEOUT])  # fmt: skip
_UNREGISTER = _operation(
    "unregisterModel", _response("200 Model unregistered", _DONE), _ACCEPTED, _NO_MODEL, _response("408 Request Timeout Error", _ERROR),
    _SERVER_ERROR, about="Unregister a model from Model Server. This is an asynchronous call by default. "
    "Caller can call listModels to confirm if all the works has be terminated.", parameters=[_NAME_UNREGISTERED, _SYNCHRONOUS, _TIMEOUT])  # fmt: skip

_FAILURES: Json = {
    **_BAD_REQUEST, **_response("413 The request is larger than max_request_size", _ERROR), **_response("504 The request waited too long", _ERROR),
    **_response("507 Out of memory", _ERROR),
}  # fmt: skip
_FORBIDDEN = _response("403 Policy refuses it", _ERROR)
_NO_SPACE = _response("507 No memory, or no space, for it", _ERROR)
_NOT_NOW = _response("503 The server or the model is going away", _ERROR)
_MANNER: Json = {
    "streaming": _property("boolean", "Whether answers come in pieces; null until a worker has loaded the model.", nullable=True),
    "asynchronous": _property("boolean", "Whether a worker takes many requests at once; null until one has loaded the model.", nullable=True),
    "concurrency": _property("integer", "Requests that such a worker takes at once."),
}
_ALSO: Mapping[str, Json] = {
    "predict": _FAILURES, "predictions": _FAILURES, "invocations": _FAILURES, "predictionsApi": _NO_MODEL, "listModels": _BAD_REQUEST,
    "registerModel": {**_FORBIDDEN, **_NO_SPACE, **_NOT_NOW},
    "setAutoScale": {**_FORBIDDEN, **_response("409 It is being unregistered", _ERROR), **_NO_SPACE, **_NOT_NOW},
    "unregisterModel": {**_FORBIDDEN, **_BAD_REQUEST, **_NOT_NOW},
    "describeModel": {**_NO_MODEL, **_response("200 OK", _content({
        **_MODEL, "required": ["modelName", "modelUrl", "minWorkers", "maxWorkers", "workers"], "properties": {**_MODEL["properties"], **_MANNER}}))},
}  # fmt: skip
"""Responses that Multi Model Server's description does not name, or names wrongly."""
_REFUSED: Json = {
    **_response("401 A token is needed, or is not valid, where tokens are used", _ERROR), **_response("403 The token is for something else", _ERROR),
}  # fmt: skip
_MORE: Mapping[str, list[Json]] = {
    "registerModel": [
        _parameter(
            "query", f"worker_{name}", f"Limit of each worker, counts where it is lower than the setting of this name: {about}.", "integer",
            minimum=least, maximum=10**18 - 1)
        for name, about, least in (
            ("memory_bytes", "memory of its own", 1 << 24), ("cpu_s", "processor time in seconds", 1), ("open_files", "open files", 16),
            ("file_bytes", "size of a file that it writes", 0), ("core_bytes", "size of a core file", 0),
        )
    ],
}  # fmt: skip
"""Parameters that Multi Model Server did not have."""

_MANAGEMENT: Mapping[str, Json] = {
    "/": _DESCRIBE_API,
    "/models": {"get": _LIST, "post": _REGISTER},
    "/models/{model_name}": {"get": _DESCRIBE, "put": _SCALE, "delete": _UNREGISTER},
}
_STATUS_TEXT = _content(_object("status", {"status": _property("string", "How the server is, in a word or two.")}))
_ADDED: Mapping[str, Json] = {
    "/livez": {"get": _operation("livez", _response("200 The server can answer", _STATUS_TEXT), about="Liveness.")},
    "/readyz": {"get": _operation(
        "readyz", _response("200 Every model has all its workers", _STATUS_TEXT),
        _response("503 Something is not ready; the field reasons says what", _STATUS_TEXT), about="Readiness.")},
    "/metrics": {"get": _operation(
        "metrics", _response("200 All metrics in the text format of Prometheus", _content(_schema("string"), "text/plain")), about="Metrics.")},
    "/openapi.json": {"get": _operation("openapi", _DESCRIPTOR, about="This description, valid to the letter.")},
}  # fmt: skip
_APIS: Mapping[str, Mapping[str, Json]] = {INFERENCE: _INFERENCE, MANAGEMENT: _MANAGEMENT}
