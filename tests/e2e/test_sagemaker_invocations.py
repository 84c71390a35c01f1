"""What the platform sends to a container and reads from it: health, predictions with their headers, large and many-record bodies."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from argosy.testing.server import wait_for
from fakes.endpoint_container import EndpointContainer
from fakes.memory_group import memory_group

ONE = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
MB = 2**20
TELLING = '''
import json

def handle(data, context):
    """What came: the type of the body, its length, and the headers."""
    if data is None:
        return None
    headers = {name.lower(): value for name, value in context.get_all_request_header(0).items() if isinstance(value, str)}
    for name in ("x-amzn-sagemaker-custom-attributes", "x-amzn-sagemaker-inference-id"):
        if name in headers:
            context.set_response_header(0, name, headers[name])
    body = data[0].get("body")
    return [json.dumps({"type": type(body).__name__, "length": len(body) if body is not None else None, "headers": headers})]
'''
SESSIONS = '''
from argosy import invocations

counts = {}

def handle(data, context):
    if data is None:
        return None
    if invocations.wants_session(context):
        counts[invocations.open_session(context, 600)] = 0
        return ["opened"]
    session = invocations.session_id(context)
    if session not in counts:
        return ["unknown"]
    if data[0]["body"] == b"close":
        invocations.close_session(context)
        return [str(counts.pop(session))]
    counts[session] += 1
    return [str(counts[session])]
'''
RECORDS = '''
from argosy import invocations

def handle(data, context):
    if data is None:
        return None
    answers = []
    for index, item in enumerate(data):
        kind = invocations.header(context, "content-type", index) or ""
        records = invocations.read_records(item["body"], kind)
        answers.append(invocations.write_records([len(record) for record in records], kind))
        context.set_response_content_type(index, kind)
    return answers
'''
SLOW = """
import time

def handle(data, context):
    if data is None:
        return None
    time.sleep(0.02)
    return ["x"]
"""
VIEWING = '''
def predict(body: memoryview) -> str:
    return "%d %d %d" % (len(body), body[0], body[-1])
'''


def serving(folder: Path, code: str, **env: str) -> EndpointContainer:
    """A container with one model, not started."""
    container = EndpointContainer(folder, {**ONE, **env})
    container.add("model/m", "m", code)
    return container


def loading(container: EndpointContainer) -> Iterator[None]:
    """Start it with a model that does not end to load before the generator does."""
    gate = container.folder / "gate"
    os.mkfifo(gate)
    container.add("model/slow", "slow", f"open({str(gate)!r}).close()\ndef handle(data, context):\n    return None if data is None else ['']\n")
    container.launch()
    try:
        wait_for(lambda: bool(container.children()), "a worker")
        yield
        gate.write_text("")
        wait_for(lambda: container.ask("GET", "/ping", timeout_s=2.0).status == 200, "health")
    finally:
        container.__exit__()


def is_listening(container: EndpointContainer) -> bool:
    """Whether it accepts connections."""
    return container.port in container.listening()


def test_ping_while_a_model_loads(tmp_path: Path) -> None:
    """Each answer comes within the platform's two seconds; it is a no until the model is there, and a request waits no longer than it must."""
    container = EndpointContainer(tmp_path, ONE)
    for _ in loading(container):
        wait_for(lambda: is_listening(container), "the listener")
        assert {container.ask("GET", "/ping", timeout_s=2.0).status for _ in range(4)} == {503}


def test_ping_under_saturation(tmp_path: Path) -> None:
    """The only worker is busy, the queue is full, more clients come than fit and send large bodies: health is answered within two seconds."""
    container = serving(tmp_path, SLOW, ARGOSY_LOG_CONSOLE="none")
    stop = threading.Event()

    def hammer(size: int) -> Counter[int]:
        seen: Counter[int] = Counter()
        while not stop.is_set():
            seen[container.invoke(bytes(size)).status] += 1
        return seen

    with container, ThreadPoolExecutor(112) as pool:
        try:
            clients = [pool.submit(hammer, MB if number % 20 == 0 else 100) for number in range(112)]
            wait_for(lambda: container.ask("GET", "/models/m").json["queueLength"] >= 90, "a full queue")
            pings = Counter(container.ask("GET", "/ping", timeout_s=2.0).status for _ in range(50))
        finally:
            stop.set()
        seen = sum((client.result() for client in clients), Counter[int]())
    assert pings == {200: 50}
    assert set(seen) == {200, 503}


@pytest.mark.parametrize("kind", [
    None, "", "application/octet-stream", "image/png", "application/x-npy", "application/x-recordio-protobuf", "text/csv; charset=utf-8", "*/*",
    "nonsense",
])
def test_any_content_type(tmp_path: Path, kind: str | None) -> None:
    """A client that names none, as boto3 does unless told, and every type that means nothing to us: the handler gets the body."""
    with serving(tmp_path, TELLING) as container:
        reply = container.ask("POST", "/invocations", b"12345", {} if kind is None else {"Content-Type": kind})
        assert reply.status == 200, container.output
        told = reply.json
        assert (told["length"], told["type"]) == (5, "str" if kind and kind.startswith("text") else "bytearray")
        assert told["headers"].get("content-type") == kind
        assert container.ask("POST", "/invocations").status == 200


def test_headers_of_the_platform_reach_the_handler(tmp_path: Path) -> None:
    """All of them, with unknown ones beside; what the handler sets comes back; over the limit of the platform nothing is cut."""
    sent = {
        "X-Amzn-SageMaker-Custom-Attributes": "a=" + "x" * 1022, "X-Amzn-SageMaker-Inference-Id": "id-1",
        "X-Amzn-SageMaker-Target-Model": "path/m.tar.gz", "X-Amzn-SageMaker-Target-Variant": "blue", "X-Amzn-SageMaker-Session-Id": "s-1",
        "X-Amzn-SageMaker-Inference-Component": "part", "X-Amzn-SageMaker-Target-Container-Hostname": "second",
        "X-Amzn-SageMaker-Enable-Explanations": "`true`", "X-Amzn-Something-New": "1", "Accept": "application/json",
    }  # fmt: skip
    with serving(tmp_path, TELLING) as container:
        reply = container.ask("POST", "/invocations", b"1", sent)
        told = reply.json["headers"]
        assert {name: told.get(name.lower()) for name in sent} == sent
        for name in ("x-amzn-sagemaker-custom-attributes", "x-amzn-sagemaker-inference-id"):
            assert reply.headers[name] == told[name]
        longer = container.ask("POST", "/invocations", b"1", {"X-Amzn-SageMaker-Custom-Attributes": "y" * 2000})
        assert longer.headers["x-amzn-sagemaker-custom-attributes"] == "y" * 2000


def test_the_default_of_accept(tmp_path: Path) -> None:
    """Stands in where the client leaves it open."""
    with serving(tmp_path, TELLING, SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="text/csv") as container:
        for sent, seen in (({}, "text/csv"), ({"Accept": "*/*"}, "text/csv"), ({"Accept": "image/png"}, "image/png")):
            assert container.ask("POST", "/invocations", b"1", sent).json["headers"]["accept"] == seen


def test_sessions(tmp_path: Path) -> None:
    """A handler opens a session, knows it again, and closes it; the headers that the platform reads are there."""
    with serving(tmp_path, SESSIONS) as container:
        name = "X-Amzn-SageMaker-Session-Id"
        assert container.ask("POST", "/invocations", b"x", {name: "gone"}).text == "unknown"
        opened = container.ask("POST", "/invocations", b"x", {name: "NEW_SESSION"})
        session, _, expires = opened.headers["x-amzn-sagemaker-new-session-id"].partition("; Expires=")
        assert (opened.text, len(session), expires[-1]) == ("opened", 36, "Z")
        assert opened.headers["x-amzn-sagemaker-session-id"] == opened.headers["x-amzn-sagemaker-new-session-id"]
        for count in ("1", "2"):
            assert container.ask("POST", "/invocations", b"x", {name: session}).text == count
        closed = container.ask("POST", "/invocations", b"close", {name: session})
        assert (closed.text, closed.headers["x-amzn-sagemaker-closed-session-id"]) == ("2", session)
        assert container.ask("POST", "/invocations", b"x", {name: session}).text == "unknown"


@pytest.mark.parametrize(("env", "expected"), [
    ({}, {"MaxConcurrentTransforms": 2, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}),
    ({"SAGEMAKER_BATCH": "true", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "20", "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD"},
     {"MaxConcurrentTransforms": 2, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 20}),
    ({"SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "9", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "0"},
     {"MaxConcurrentTransforms": 9, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 100}),
])
def test_batch_transform_asks_how(tmp_path: Path, env: dict[str, str], expected: dict[str, object]) -> None:
    """Workers, strategy and size as the container has them; bodies of that size are taken and larger ones refused with the limit."""
    with serving(tmp_path, TELLING, **{"SAGEMAKER_MODEL_SERVER_WORKERS": "2", **env}) as container:
        wait_for(lambda: container.ask("GET", "/execution-parameters").json == expected, f"{expected}")
        if env.get("SAGEMAKER_MAX_PAYLOAD_IN_MB") == "20":
            assert container.invoke(bytes(20 * MB)).json["length"] == 20 * MB
            refused = container.invoke(bytes(20 * MB + 1))
            assert (refused.status, "limit of 20971520 bytes (setting max_request_size)" in refused.text) == (413, True)


@pytest.mark.parametrize(("kind", "body", "answer"), [
    ("text/csv", "a,b\nc,d,e\n", "2\n3\n"), ("application/jsonlines", '"abc"\n[1]\n{}\n', "3\n1\n0\n"), ("text/plain", "one\nthree\n", "3\n5\n"),
])
def test_requests_of_many_records(tmp_path: Path, kind: str, body: str, answer: str) -> None:
    """One result a line, in the order of the records."""
    with serving(tmp_path, RECORDS) as container:
        reply = container.ask("POST", "/invocations", body, {"Content-Type": kind})
        assert (reply.status, reply.text, reply.headers["content-type"]) == (200, answer, kind)
        broken = container.ask("POST", "/invocations", b"\xff\n", {"Content-Type": "application/jsonlines"})
        assert (broken.status, "not valid UTF-8" in broken.text) == (400, True)


def anonymous_mb(pid: int) -> int:
    """Memory of a process that is its own, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssAnon:"))) // 1024


@pytest.mark.slow
def test_a_body_of_a_gigabyte(tmp_path: Path) -> None:
    """As asynchronous inference sends it: it passes through shared memory, and the server needs no more of its own than for small ones."""
    available = next(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:"))
    if available < 8 * 1024 * 1024:
        pytest.skip("less than 8 GB of memory are available, of which bodies may take a quarter")
    container = serving(tmp_path, VIEWING, SAGEMAKER_MAX_PAYLOAD_IN_MB="1024")
    container.write("model/m/MAR-INF/MANIFEST.json", '{"runtime": "python", "model": {"modelName": "m", "handler": "service:predict"}}')
    piece = b"\1" + bytes(8 * MB - 2) + b"\2"
    seen: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(128):
            if number % 16 == 0:
                seen.append(anonymous_mb(container.process.pid))
            yield piece

    with container:
        before = anonymous_mb(container.process.pid)
        reply = container.ask("POST", "/invocations", pieces(), {"Content-Length": str(1024 * MB)})  # type: ignore[arg-type]  # any iterable
        assert (reply.status, reply.text) == (200, f"{1024 * MB} 1 2")
        assert max(*seen, anonymous_mb(container.process.pid)) < before + 64
        refused = container.ask("POST", "/invocations", b"", {"Content-Length": str(1024 * MB + 1)})
        assert refused.status == 413


@pytest.mark.parametrize("limit", ["cgroup", "address space"])
def test_serverless_memory(tmp_path: Path, limit: str) -> None:
    """The smallest size of serverless inference, 1 GB, is enough to start and to answer its largest requests, by either kind of limit."""
    container = serving(tmp_path, TELLING)
    with memory_group(1024 * MB) as prefix:
        container.prefix = prefix if limit == "cgroup" else ["prlimit", f"--as={1024 * MB}"]
        with container:
            for _ in range(3):
                assert container.invoke(bytes(4 * MB)).json["length"] == 4 * MB
            assert container.ask("GET", "/ping", timeout_s=2.0).status == 200
