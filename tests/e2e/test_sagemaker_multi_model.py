"""Multi-model containers: the platform loads, asks and unloads models through one port, and may rely on what the statuses say."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from argosy.testing.server import is_alive, wait_for
from fakes.endpoint_container import MULTI_MODEL_SERVER, SERVE, EndpointContainer
from fakes.memory_group import memory_group

MULTI = {"SAGEMAKER_MULTI_MODEL": "true"}
TEXT = {"Content-Type": "text/plain"}
MB = 2**20
GREEDY = """
kept = []
def handle(data, context):
    if data is None:
        kept.append(bytearray({size} * 2**20))
        return None
    return ["fits"] * len(data)
"""
RAISING = """
def handle(data, context):
    if data is None:
        raise {error}
    return [""]
"""


@pytest.fixture
def container(tmp_path: Path) -> EndpointContainer:
    """A container that is not started."""
    return EndpointContainer(tmp_path, MULTI)


def put(container: EndpointContainer, name: str, code: str | None = None) -> None:
    """Let the platform bring a model."""
    folder = f"models/{name}/model"
    if code is None:
        container.add(folder, name)
    else:
        container.add(folder, name, code)


def names(container: EndpointContainer) -> list[str]:
    """The loaded models."""
    return [model["modelName"] for model in container.ask("GET", "/models").json["models"]]


def is_untouched(container: EndpointContainer, name: str) -> bool:
    """Whether nothing of a model is there: neither in the lists, nor a process, nor memory for bodies, nor a file."""
    left = [path for path in (container.folder / "temp").rglob("*") if path.is_file() and path.name != "lock"]
    known = container.ask("GET", f"/models/{name}").status
    return (known, name in names(container), container.children(), container.memory_files(), left) == (404, False, set(), 0, [])


def refused(container: EndpointContainer, name: str, words: str) -> None:
    """The model does not fit, the log says why, nothing of it stays, and the same request gets the same answer again."""
    for _ in range(2):
        reply = container.load(name)
        assert reply.status == 507, (reply, container.output)
        assert words in reply.text + container.output
        assert is_untouched(container, name)


@pytest.mark.parametrize(("error", "words"), [
    ("MemoryError", "System out of memory"),
    ("OSError(12, 'Cannot allocate memory')", "System out of memory"),
    ("RuntimeError('CUDA out of memory. Tried to allocate 20.00 MiB')", "System out of memory"),
    ("ValueError('weights') from MemoryError()", "System out of memory"),
])
def test_a_handler_without_memory_is_507(container: EndpointContainer, error: str, words: str) -> None:
    """Whatever exception says so."""
    put(container, "large", RAISING.format(error=error))
    with container:
        refused(container, "large", words)


def test_another_failure_is_no_507(container: EndpointContainer) -> None:
    """Or the platform would unload others for nothing."""
    put(container, "wrong", RAISING.format(error="ValueError('no weights')"))
    with container:
        assert container.load("wrong").status == 500
        assert is_untouched(container, "wrong")


def test_a_worker_that_somebody_kills_is_no_507(container: EndpointContainer) -> None:
    """Only the kernel's own count of what it killed for lack of memory makes it one."""
    put(container, "shot", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    with container:
        assert container.load("shot").status == 500
        assert is_untouched(container, "shot")


@pytest.mark.parametrize("preload", ["false", "true"])
def test_the_system_kills_the_worker_that_loads_and_nobody_else(tmp_path: Path, preload: str) -> None:
    """Under a real limit: what does not fit is 507 each time, also when it is smaller than what serves, which serves on; it fits after that went."""
    with memory_group(420 * MB) as prefix:
        container = EndpointContainer(tmp_path, MULTI, (*SERVE, "--set", f"preload_model={preload}"), prefix)
        for name, size in (("a", 220), ("b", 190), ("never", 900)):
            put(container, name, GREEDY.format(size=size))
        with container:
            assert container.load("a").status == 200, container.output
            server, workers = container.process.pid, container.children()
            for name in ("never", "b", "never"):
                assert container.load(name).status == 507, container.output
                assert names(container) == ["a"]
            assert container.ask("POST", "/models/a/invoke", "x", TEXT).body == b"fits"
            assert (container.process.pid, container.children()) == (server, workers)
            assert container.ask("DELETE", "/models/a").status == 200
            assert container.load("b").status == 200, container.output
            assert container.ask("POST", "/models/b/invoke", "x", TEXT).body == b"fits"


def test_what_cannot_fit_is_not_tried(tmp_path: Path) -> None:
    """The files alone are larger than the memory that is left: refused before a process starts, also beside one that loads now."""
    with memory_group(400 * MB) as prefix:
        container = EndpointContainer(tmp_path, {**MULTI, "SAGEMAKER_MODEL_SERVER_WORKERS": "2"}, prefix=prefix)
        put(container, "large", "import os\nopen('/tmp/never', 'w')\nos._exit(3)\n")
        with container.write("models/large/model/weights", b"").open("wb") as weights:
            weights.truncate(200 * MB)
        put(container, "small")
        with container:
            reply = container.load("large")
            assert (reply.status, "MB of memory to load, of which" in reply.text) == (507, True)
            assert is_untouched(container, "large")
            assert container.load("small").status == 200


def test_one_port_has_both_apis(container: EndpointContainer) -> None:
    """Load, list, describe, ask and unload, with the statuses, texts and keys that the platform reads."""
    for name in ("one", "two"):
        put(container, name)
    with container:
        assert container.listening() == {container.port}
        assert (names(container), container.ask("GET", "/ping").status) == ([], 200)
        loaded = container.load("one")
        assert (loaded.status, loaded.json) == (200, {"status": "Workers scaled"})
        url = str(container.base / "models/one/model")
        assert container.ask("GET", "/models").json["models"] == [{"modelName": "one", "modelUrl": url}]
        described = container.ask("GET", "/models/one").json
        assert (described["modelName"], described["modelUrl"], len(described["workers"])) == ("one", url, 1)
        asked = {**TEXT, "X-Amzn-SageMaker-Target-Model": "path/one.tar.gz"}
        assert container.ask("POST", "/models/one/invoke", "echo:1", asked).body == b"1"
        assert container.load("one").status == 409
        assert container.load("gone", "/nowhere").status == 404
        assert container.load("gone", str(container.base / "models/gone/model")).status == 404
        assert container.load("out", f"{container.base}/models/../packed").status == 404
        assert container.ask("POST", "/models", "{", {"Content-Type": "application/json"}).status == 400
        gone = container.ask("DELETE", "/models/one")
        assert (gone.status, gone.json) == (200, {"status": 'Model "one" unregistered'})
        for method, path in (("DELETE", "/models/one"), ("GET", "/models/one"), ("POST", "/models/one/invoke")):
            assert container.ask(method, path, "x" if method == "POST" else None).status == 404
        assert container.load("one").status == 200


def test_a_target_model_as_the_archiver_packs_it(container: EndpointContainer) -> None:
    """A tgz has everything in a folder of the model's name: found there, loaded under the platform's name, and gone after it is unloaded."""
    container.add("models/5f1a/model/sentiment", "sentiment")
    with container:
        loaded = container.load("5f1a")
        assert (loaded.status, loaded.json) == (200, {"status": "Workers scaled"})
        assert container.ask("GET", "/models").json["models"] == [{"modelName": "5f1a", "modelUrl": str(container.base / "models/5f1a/model")}]
        assert container.ask("POST", "/models/5f1a/invoke", "echo:1", TEXT).body == b"1"
        assert container.ask("DELETE", "/models/5f1a").status == 200
        assert is_untouched(container, "5f1a")


def test_lists_come_in_pages(container: EndpointContainer) -> None:
    """Each page names the next."""
    wanted = [f"m{number}" for number in range(5)]
    for name in wanted:
        put(container, name)
    with container:
        with ThreadPoolExecutor(4) as pool:
            assert {reply.status for reply in pool.map(container.load, wanted)} == {200}
        found, following = [], "0"
        while following is not None:
            page = container.ask("GET", f"/models?limit=2&next_page_token={following}").json
            found += [model["modelName"] for model in page["models"]]
            following = page.get("nextPageToken")
        assert found == wanted


def test_unloading_frees_everything_before_it_answers(container: EndpointContainer) -> None:
    """When DELETE is answered the workers have gone, and so have the memory for bodies and the link; what the handler started was killed."""
    put(container, "m", "import subprocess\nchild = subprocess.Popen(['sleep', '600'])\ndef handle(data, context):\n"
                        "    return None if data is None else [str(child.pid) for item in data]\n")  # fmt: skip
    made: list[int] = []
    with container:
        for _ in range(3):
            assert container.load("m").status == 200
            child = int(container.ask("POST", "/models/m/invoke", bytes(MB)).text)
            workers = container.children()
            assert (len(workers), container.memory_files(), is_alive(child)) == (1, 2, True)
            assert container.ask("DELETE", "/models/m").status == 200
            assert not [pid for pid in workers if is_alive(pid)]
            made.append(child)
            assert is_untouched(container, "m")
        wait_for(lambda: not any(map(is_alive, made)), "the processes that the handler started to end")  # they are not the server's to wait for


def test_a_request_that_runs_is_answered_before_its_model_goes(container: EndpointContainer) -> None:
    """Unloading waits for it."""
    put(container, "m")
    with container, ThreadPoolExecutor(2) as pool:
        assert container.load("m").status == 200
        running = pool.submit(container.ask, "POST", "/models/m/invoke", "sleep:1", TEXT)
        wait_for(lambda: container.ask("GET", "/models/m").json["runningJobs"] == 1, "the request to run")
        assert container.ask("DELETE", "/models/m").status == 200
        assert running.result().body == b"1"
        assert is_untouched(container, "m")


def test_the_old_command_does_the_same(tmp_path: Path) -> None:
    """With a configuration that says nothing of many models, nor of one listener."""
    container = EndpointContainer(tmp_path, MULTI, (*MULTI_MODEL_SERVER, "--model-store", "/"))
    put(container, "m")
    with container:
        assert container.listening() == {container.port}
        assert container.load("m").status == 200
        assert container.ask("POST", "/models/m/invoke", "echo:1", TEXT).body == b"1"


@contextlib.contextmanager
def answering_pings(container: EndpointContainer) -> Iterator[Counter[int]]:
    """Asks for health without a pause meanwhile; each answer has the two seconds that the platform gives it."""
    seen: Counter[int] = Counter()
    going = [True]

    def ask() -> None:
        while going:
            seen[container.ask("GET", "/ping", timeout_s=2.0).status] += 1

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            yield seen
        finally:
            going.clear()
            asking.result()


def test_a_storm(container: EndpointContainer) -> None:
    """Many models are loaded, asked and unloaded at once by many clients: only statuses of the contract, health throughout, and nothing is left."""
    known = [f"m{number}" for number in range(12)]
    for name in known:
        put(container, name)
    allowed = {"load": {200, 409}, "invoke": {200, 404, 503}, "unload": {200, 404}, "list": {200}}

    def client(seed: int) -> list[tuple[str, int]]:
        chance, seen = random.Random(seed), []
        for _ in range(12):
            name, what = chance.choice(known), chance.choice(("load", "load", "invoke", "invoke", "unload", "list"))
            if what == "load":
                reply = container.load(name)
            elif what == "invoke":
                reply = container.ask("POST", f"/models/{name}/invoke", f"echo:{name}", TEXT)
                assert reply.status != 200 or reply.text == name
            else:
                reply = container.ask("DELETE" if what == "unload" else "GET", f"/models/{name}" if what == "unload" else "/models")
            seen.append((what, reply.status))
        return seen

    with container:
        with answering_pings(container) as pings, ThreadPoolExecutor(8) as pool:
            seen = [pair for pairs in pool.map(client, range(8)) for pair in pairs]
        assert [pair for pair in seen if pair[1] not in allowed[pair[0]]] == []
        assert ("load", 200) in seen
        assert set(pings) == {200}
        for name in names(container):
            assert container.ask("DELETE", f"/models/{name}").status == 200
        assert (container.children(), container.memory_files(), names(container)) == (set(), 0, [])
        assert container.load("m0").status == 200
