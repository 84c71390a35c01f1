"""The management API: what is asked, who may ask, and what is said."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from argosy.config import Config
from argosy.control.manager import Manager
from argosy.control.registration import Interpreters
from argosy.dataplane.registry import Registry
from argosy.errors import ArgosyError, ErrorCode
from argosy.metrics.exposition import Exposition
from argosy.metrics.host import Host
from argosy.protocols.endpoint import Call, Dialect, HttpReply, HttpRequest, Predict
from argosy.protocols.management import Access, ManagementDialect, SharedDialect
from argosy.protocols.mms import InferenceDialect
from argosy.protocols.observability import Observability
from argosy.supervisor.spec import ModelSpec
from fakes.serving import FakeModel, FakeStore, manifest, worker

JSON = {"content-type": "application/json"}


class Server:
    """Both APIs on fakes. Calls run on a loop of their own."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.loop = asyncio.new_event_loop()
        self.registry = Registry()
        self.models: list[FakeModel] = []
        self.fail_with: ArgosyError | None = None
        store = FakeStore({name: manifest(name) for name in ("okay", "odd", "predict")})
        interpreters = Interpreters("/usr/bin/python", lambda _: None)
        self.manager = Manager(self.registry, Config(), store, store.read_manifest, self.make, executor, interpreters)
        exposition = Exposition(tuple, dict, Host(), "1")
        self.observability = Observability(self.registry, self.manager.startup, exposition, ping_always_200=False, is_draining=lambda: False)
        self.dialect: Dialect = self.management(Access())

    def management(self, access: Access) -> ManagementDialect:
        return ManagementDialect(self.manager, self.observability, access, lambda pid: 1000 if pid else 0)

    def shared(self, access: Access) -> SharedDialect:
        return SharedDialect(InferenceDialect(self.registry, self.observability), self.management(access))

    def make(self, spec: ModelSpec) -> FakeModel:
        model = FakeModel(spec)
        if self.fail_with is not None:
            model.failures.append(self.fail_with)
        self.models.append(model)
        return model

    def reply(self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> HttpReply:
        path, _, query = target.partition("?")
        action = self.dialect.route(method, path, query)
        assert isinstance(action, Call)
        reply = action.function(HttpRequest(method, path, query, headers or {}, body, "id"))
        return reply if isinstance(reply, HttpReply) else self.loop.run_until_complete(_await(reply))

    def ask(self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> tuple[int, Any]:
        reply = self.reply(method, target, headers, body)
        return reply.status, json.loads(reply.body)


async def _await(reply: Any) -> HttpReply:
    result = await reply
    assert isinstance(result, HttpReply)
    return result


@pytest.fixture
def server() -> Iterator[Server]:
    """A server without models."""
    with ThreadPoolExecutor(1) as executor:
        made = Server(executor)
        yield made
        made.loop.run_until_complete(made.manager.close(0.0))
        made.loop.close()


def failure(status: int, type: str, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"code": status, "type": type, "message": message}


@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/models/okay/extra"), ("GET", "/ping"), ("POST", "/predictions/okay"), ("POST", "/invocations"), ("GET", "//models"),
    ("GET", "/livez/x"),
])  # fmt: skip
def test_unknown_paths(server: Server, method: str, path: str) -> None:
    """Inference is not served here, nor is anything else."""
    with pytest.raises(ArgosyError) as caught:
        server.dialect.route(method, path, "")
    assert caught.value.code is ErrorCode.RESOURCE_NOT_FOUND


@pytest.mark.parametrize(("method", "path"), [
    ("PUT", "/models"), ("DELETE", "/models"), ("OPTIONS", "/models"), ("PATCH", "/models"), ("HEAD", "/models"), ("POST", "/models/okay"),
    ("OPTIONS", "/models/okay"), ("GET", "/"), ("GET", "/api-description/x"), ("POST", "/openapi.json"),
])  # fmt: skip
def test_wrong_methods(server: Server, method: str, path: str) -> None:
    """Each path has its methods."""
    with pytest.raises(ArgosyError) as caught:
        server.dialect.route(method, path, "")
    assert caught.value.code is ErrorCode.METHOD_NOT_ALLOWED


def test_observability_is_on_this_listener_too(server: Server) -> None:
    """Description, liveness, readiness and metrics answer without a model."""
    assert server.reply("GET", "/livez").status == server.reply("GET", "/readyz").status == server.reply("GET", "/metrics").status == 200
    assert "/models" in server.ask("OPTIONS", "/")[1]["paths"]


TOO_CONCURRENT = "Parameter concurrency must be a whole number from 1 to 1024, not {}."


@pytest.mark.parametrize(("target", "expected"), [
    ("/models", failure(400, "BadRequestException", "Parameter url is required.")),
    ("/models?model_url=okay", failure(400, "BadRequestException", "Parameter url is required.")),
    ("/models?url=nothere", failure(404, "ModelNotFoundException", "Model not found in model store: nothere")),
    ("/models?url=nothere&runtime=ruby", failure(400, "BadRequestException", "Invalid RuntimeType value: ruby")),
    ("/models?url=okay&runtime=", failure(400, "BadRequestException", "Invalid RuntimeType value: ")),
    ("/models?url=okay&concurrency=0", failure(400, "BadRequestException", TOO_CONCURRENT.format("0"))),
    ("/models?url=okay&concurrency=1025", failure(400, "BadRequestException", TOO_CONCURRENT.format("1025"))),
    ("/models?url=okay&concurrency=many", failure(400, "BadRequestException", TOO_CONCURRENT.format("many"))),
    ("/models?url=okay&preload_model=maybe", failure(400, "BadRequestException", "Parameter preload_model must be true or false, not maybe.")),
])  # fmt: skip
def test_wrong_registrations(server: Server, target: str, expected: tuple[int, Any]) -> None:
    """What cannot be registered is refused in the old words."""
    assert server.ask("POST", target) == expected


@pytest.mark.parametrize(("body", "text"), [
    (b"", "The body is not JSON"), (b'{"url":', "The body is not JSON"), (b"\xff", "The body is not JSON"), (b"[1]", "must be a JSON object"),
    (b'{"url":"okay","batch_size":"many"}', "Parameter batch_size must be an integer, not many."),
    (b'{"url":"okay","response_timeout":1.5}', "Parameter response_timeout must be an integer, not 1.5."),
    (b"{}", "Parameter url is required."), (b'{"url": null}', "Parameter url is required."),
    (b'{"url":"okay","model_name":["other"]}', "Parameter model_name must be one value, not a list or an object."),
    (b'{"url":{"path":"okay"}}', "Parameter url must be one value, not a list or an object."),
    (b'{"url":"okay","worker_core_bytes":{}}', "Parameter worker_core_bytes must be one value, not a list or an object."),
])  # fmt: skip
def test_wrong_json(server: Server, body: bytes, text: str) -> None:
    """A body that is no JSON object with the right kinds of values is the caller's fault."""
    status, said = server.ask("POST", "/models?url=okay", JSON, body)
    assert (status, said["type"]) == (400, "BadRequestException")
    assert text in said["message"]


@pytest.mark.parametrize(("query", "status", "text"), [
    ("", 200, 'Model "okay" registered'), ("&initial_workers=1", 200, "Workers scaled"),
    ("&initial_workers=1&synchronous=false", 202, "Processing worker updates..."),
])  # fmt: skip
def test_registrations(server: Server, query: str, status: int, text: str) -> None:
    """A registration says how far it came."""
    assert server.ask("POST", "/models?url=okay" + query) == (status, {"status": text})
    assert server.ask("POST", "/models?url=okay") == failure(409, "ConflictStatusException", "Model okay is already registered.")


@pytest.mark.parametrize(("code", "status"), [(ErrorCode.LOAD_FAILED, 500), (ErrorCode.OUT_OF_MEMORY, 507)])
def test_failed_load_tells_the_reason(server: Server, code: ErrorCode, status: int) -> None:
    """The caller reads the old text, and beside it the handler's own message and traceback; on a shared address too."""
    server.fail_with = ArgosyError(code, "ValueError: no weights", detail="Traceback …\nValueError")
    server.dialect = server.shared(Access())
    more = {"cause": "ValueError: no weights", "traceback": "Traceback …\nValueError"}
    expected = {**failure(status, "InternalServerException", "Failed to start workers")[1], **more}
    assert server.ask("POST", "/models?url=okay&initial_workers=1") == (status, expected)
    assert server.ask("GET", "/models") == (200, {"models": []})


def test_list_pages(server: Server) -> None:
    """Names and urls in order; the token comes first, as text; what is no number counts as absent."""
    for name in ("okay", "odd"):
        server.ask("POST", f"/models?url={name}")
    odd, okay = ({"modelName": name, "modelUrl": name} for name in ("odd", "okay"))
    assert server.ask("GET", "/models?limit=x&next_page_token=-3") == (200, {"models": [odd, okay]})
    assert server.ask("GET", "/models?limit=1") == (200, {"nextPageToken": "1", "models": [odd]})
    assert list(server.ask("GET", "/models?limit=1")[1]) == ["nextPageToken", "models"]
    assert server.ask("GET", "/models?limit=1&next_page_token=1") == (200, {"nextPageToken": "2", "models": [okay]})
    assert server.ask("GET", "/models?nextPageToken=1")[1]["models"] == [odd, okay], "the name of the field is not that of the parameter"
    assert server.ask("GET", "/models?next_page_token=99999999999") == (200, {"models": [odd, okay]})


def test_description_begins_as_ever(server: Server) -> None:
    """The old fields in the old order, then ours; times are UTC; absent values are left out."""
    server.ask("POST", "/models?url=okay&initial_workers=1&batch_size=3")
    model = server.models[0]
    model.infos = [worker("LOADING", pid=None, last_error="boom", gpu_id=1)]
    status, said = server.ask("GET", "/models/okay")
    assert status == 200
    old = ["modelName", "modelUrl", "runtime", "minWorkers", "maxWorkers", "batchSize", "maxBatchDelay", "loadedAtStartup", "workers"]
    assert list(said)[: len(old)] == old
    assert said["workers"] == [{
        "id": "9000-ab03d264", "startTime": "2026-11-22T09:50:28.495Z", "status": "READY", "gpu": True, "memoryUsage": 0, "state": "LOADING",
        "restarts": 0, "gpuId": 1, "lastError": "boom",
    }]  # fmt: skip
    assert (said["state"], said["queueLength"], said["runningJobs"], said["requests"]["answered"]) == ("FAILING", 0, 0, 0)


@pytest.mark.parametrize(("wanted", "states", "word"), [
    (0, [], "NO_WORKERS"), (1, ["IDLE"], "READY"), (2, ["BUSY", "LOADING"], "STARTING"), (1, ["SPAWNING"], "STARTING"),
    (2, ["IDLE", "BACKOFF"], "DEGRADED"), (1, ["BACKOFF"], "FAILING"),
])  # fmt: skip
def test_state_of_a_model_in_one_word(server: Server, wanted: int, states: list[str], word: str) -> None:
    """Whether a model serves, and if not why."""
    server.ask("POST", "/models?url=okay")
    model = server.models[0]
    model.min_workers = wanted
    model.infos = [worker(state, last_error="died" if state == "BACKOFF" else None) for state in states]
    assert server.ask("GET", "/models/okay")[1]["state"] == word


@pytest.mark.parametrize(("query", "limits", "status"), [
    ("synchronous=true", (1, 1), 200), ("min_worker=3&synchronous=TRUE", (3, 3), 200), ("max_worker=2&synchronous=true", (1, 2), 200),
    ("min_worker=many&number_gpu=4&timeout=0&synchronous=true", (1, 1), 200), ("min_worker=0&synchronous=true", (0, 0), 200),
])  # fmt: skip
def test_scaling(server: Server, query: str, limits: tuple[int, int], status: int) -> None:
    """Absent limits are one, or the minimum; unknown parameters do not matter."""
    server.ask("POST", "/models?url=okay")
    assert server.ask("PUT", f"/models/okay?{query}") == (status, {"status": "Workers scaled"})
    assert (server.models[0].min_workers, server.models[0].max_workers) == limits


def test_scaling_is_asynchronous_unless_asked(server: Server) -> None:
    """The default returns at once."""
    server.ask("POST", "/models?url=okay")
    assert server.ask("PUT", "/models/okay?min_worker=2") == (202, {"status": "Processing worker updates..."})


@pytest.mark.parametrize(("target", "expected"), [
    ("/models/nosuch?min_worker=3&max_worker=2", failure(400, "BadRequestException", "max_worker cannot be less than min_worker.")),
    ("/models/nosuch?min_worker=-1", failure(400, "BadRequestException", "min_worker and max_worker cannot be negative.")),
    ("/models/nosuch?min_worker=1", failure(404, "ModelNotFoundException", "Model not found: nosuch")),
])  # fmt: skip
def test_wrong_scaling(server: Server, target: str, expected: tuple[int, Any]) -> None:
    """Limits are looked at before the model."""
    assert server.ask("PUT", target) == expected


def test_wrong_words_are_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """What was used instead of a limit or a page that is no number, each by the name of its request."""
    server.ask("POST", "/models?url=okay")
    with caplog.at_level(logging.WARNING, "argosy.protocols"):
        server.ask("PUT", "/models/okay?min_worker=two&synchronous=true")
        server.ask("GET", "/models?limit=all&next_page_token=first")
        server.ask("POST", "/models?url=odd&batch_size=many")
    assert caplog.messages == [
        "scaling of okay: parameter min_worker=two is no integer of 32 bits; 1 is used",
        "list of models: parameter limit=all is no integer of 32 bits; 100 is used",
        "list of models: parameter next_page_token=first is no integer of 32 bits; 0 is used",
        "registration of odd: parameter batch_size=many is no integer of 32 bits; 1 is used",
    ]


def test_model_that_is_going_says_so(server: Server) -> None:
    """While it is being unregistered a model is described as such."""
    server.ask("POST", "/models?url=okay")
    model = server.models[0]
    model.close_gate = asyncio.Event()
    leaving = server.loop.create_task(server.manager.unregister("okay"))
    server.loop.run_until_complete(asyncio.sleep(0))
    assert server.ask("GET", "/models/okay")[1]["state"] == "UNREGISTERING"
    model.close_gate.set()
    server.loop.run_until_complete(leaving)


def test_dialects_tell_what_they_are(server: Server) -> None:
    """In one line, without the token."""
    assert repr(server.management(Access(token="secret"))) == "<ManagementDialect with token>"
    assert repr(server.shared(Access())) == "<SharedDialect <InferenceDialect of <Registry 0 models>> <ManagementDialect without token>>"


def test_unregistering(server: Server) -> None:
    """Once it works, then the model is unknown."""
    server.ask("POST", "/models?url=okay")
    assert server.ask("DELETE", "/models/okay") == (200, {"status": 'Model "okay" unregistered'})
    assert server.ask("DELETE", "/models/okay") == failure(404, "ModelNotFoundException", "Model not found: okay")


FOREIGN: list[dict[str, str]] = [
    {"origin": "http://evil.example", "host": "127.0.0.1:8081"}, {"origin": "null", "host": "h"}, {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"}, {"origin": "http://h:1", "host": "h:2"}, {"origin": "http://h"}, {"origin": "http://[", "host": "["},
    {"origin": "http://evil.example:8081", "host": "evil.example:8081"},
]  # fmt: skip


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize(("method", "target"), [("POST", "/models?url=odd"), ("PUT", "/models/okay"), ("DELETE", "/models/okay")])
def test_foreign_pages_change_nothing(server: Server, method: str, target: str, headers: dict[str, str]) -> None:
    """A web page of somebody else can neither register nor scale nor remove, even under a name that its DNS points here."""
    server.ask("POST", "/models?url=okay")
    for dialect in (server.management(Access(is_loopback=True)), server.shared(Access(is_loopback=True))):
        server.dialect = dialect
        assert server.ask(method, target, headers)[1]["type"] == "ForbiddenException"
    assert [model.spec.name for model in server.registry] == ["okay"]


@pytest.mark.parametrize("headers", [
    {}, {"origin": "http://localhost:8081", "host": "localhost:8081"}, {"origin": "http://127.0.0.1:8081", "host": "127.0.0.1:8081"},
    {"origin": "https://admin.example", "host": "h", "sec-fetch-site": "cross-site"}, {"sec-fetch-site": "none"}, {"sec-fetch-site": "same-origin"},
])  # fmt: skip
def test_own_and_allowed_pages_may_change(server: Server, headers: dict[str, str]) -> None:
    """Programs, our own pages and the configured origin may."""
    server.dialect = server.management(Access(allowed_origin="https://admin.example", is_loopback=True))
    assert server.ask("POST", "/models?url=okay", headers)[0] == 200


def test_foreign_pages_may_read(server: Server) -> None:
    """Reading changes nothing; the browser's own rules keep the answer from the page."""
    assert server.ask("GET", "/models", FOREIGN[0])[0] == 200


@pytest.mark.parametrize(("header", "status"), [
    ("Bearer secret", 200), ("bearer  secret", 200), ("Bearer wrong", 401), ("Basic secret", 401), ("", 401),
])  # fmt: skip
def test_token(server: Server, header: str, status: int) -> None:
    """With a token configured, all management needs it; observability does not."""
    server.dialect = server.management(Access(token="secret"))
    reply = server.reply("GET", "/models", {"authorization": header})
    assert reply.status == status
    assert dict(reply.headers).get("WWW-Authenticate") == (None if status == 200 else "Bearer")
    assert server.reply("GET", "/livez").status == 200


@pytest.mark.parametrize(("path", "code"), [
    ("/models/predict", ErrorCode.RESOURCE_NOT_FOUND), ("/no/such", ErrorCode.RESOURCE_NOT_FOUND), ("/", ErrorCode.METHOD_NOT_ALLOWED),
])  # fmt: skip
def test_shared_address_refuses_the_rest(server: Server, path: str, code: ErrorCode) -> None:
    """What neither API has is not found."""
    with pytest.raises(ArgosyError) as caught:
        server.shared(Access()).route("GET", path, "")
    assert caught.value.code is code


def test_shared_address_serves_both(server: Server) -> None:
    """Inference comes first, so a model called predict cannot be described; everything else is there."""
    server.dialect = server.shared(Access())
    for name in ("okay", "predict"):
        assert server.ask("POST", f"/models?url={name}")[0] == 200
    assert server.dialect.route("POST", "/models/okay/invoke", "") == Predict("okay", True)
    assert server.ask("GET", "/models/okay")[0] == 200
    assert server.ask("GET", "/ping") == (200, {"status": "Healthy"})
    assert len(server.ask("OPTIONS", "/")[1]["paths"]) == 9
    assert server.dialect.error_reply(ArgosyError(ErrorCode.HANDLER_FAILED, "x", detail="secret"), "id").body.count(b"secret") == 0
