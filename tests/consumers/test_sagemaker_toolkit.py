"""The SageMaker inference toolkit, unchanged, starts our commands as it started those of Multi Model Server.

`ARGOSY_SAGEMAKER_TOOLKIT` names the bin folder of an environment with sagemaker-inference 1.10.1 and Argosy.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import argosy
from argosy.testing.server import wait_for
from fakes.container import Answer, Container

TOOLKIT = os.environ.get("ARGOSY_SAGEMAKER_TOOLKIT", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not TOOLKIT, reason="ARGOSY_SAGEMAKER_TOOLKIT does not name the folder with the toolkit's python and our commands"),
]

ENTRY = '''
"""What serving containers run: the toolkit starts the server and waits for its end; then nothing else may run here."""
import os
from sagemaker_inference import model_server
model_server.start_model_server()
left = [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
print("the server has ended; left:", left, flush=True)
'''
INFERENCE = '''
import json, os, time
from sagemaker_inference import errors

def model_fn(model_dir):
    if os.path.exists(os.path.join(model_dir, "huge")):
        raise MemoryError("it does not fit")
    with open(os.path.join(model_dir, "factor")) as file:
        return int(file.read())

def input_fn(data, content_type):
    if content_type == "application/json":
        return json.loads(data)
    if content_type == "application/octet-stream":
        return len(data)
    raise errors.GenericInferenceToolkitError(415, content_type + " is not for me", "Not Like That")

def predict_fn(number, model):
    if number == -1:
        open("/tmp/begun", "w").close()
        os.mkfifo("/tmp/gate")
        open("/tmp/gate").close()
    return number * model

def output_fn(result, accept):
    return json.dumps(result) if accept == "application/json" else "%s as %s" % (result, accept)
'''
OWN_SERVICE = '''
import os

class Service:
    def __init__(self):
        self.factor = None

    def initialize(self, context):
        folder = context.system_properties["model_dir"]
        if os.path.exists(os.path.join(folder, "huge")):
            raise MemoryError
        with open(os.path.join(folder, "factor")) as file:
            self.factor = int(file.read())

    def handle(self, data, context):
        return [[str(int(bytes(item["body"])) * self.factor)] for item in data]

service = Service()

def handle(data, context):
    if service.factor is None:
        service.initialize(context)
    return None if data is None else service.handle(data, context)
'''


@pytest.fixture
def container(tmp_path: Path, namespaces: None) -> Iterator[Container]:
    """A container with the toolkit's environment and an entry point, but without models."""
    python = Path(TOOLKIT).parent
    shown = [Path(os.path.realpath(python / "bin/python")).parents[1], python, Path(argosy.__file__).parents[1]]
    with Container(tmp_path / "root", shown, [python / "bin"], {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}) as made:
        made.write("/entry.py", ENTRY)
        yield made


def begin(container: Container, **env: str) -> None:
    """Start it and wait until it answers."""
    container.env = {**container.env, **env}
    container.start("python", "/entry.py", "serve")
    wait_for(lambda: (pong := container.ask("GET", "/ping")) is not None and pong.status == 200, "/ping", 90)


def got(answer: Answer | None) -> Answer:
    """An answer must have come."""
    assert answer is not None
    return answer


def test_one_model(container: Container) -> None:
    """The four functions of a user's `inference.py` are called; types, statuses and limits are the toolkit's; SIGTERM ends everything, with 0."""
    container.write("/opt/ml/model/code/inference.py", INFERENCE)
    container.write("/opt/ml/model/factor", "2")
    begin(container, SAGEMAKER_MAX_PAYLOAD_IN_MB="1")
    answer = got(container.ask("POST", "/invocations", "21", "application/json"))
    assert (answer.status, answer.body, answer.kind) == (200, b"42", "application/json")
    answer = got(container.ask("POST", "/invocations", "21", "application/json", accept="text/csv"))
    assert (answer.status, answer.body, answer.kind) == (200, b"42 as text/csv", "text/csv")
    assert got(container.ask("POST", "/models/model/invoke", bytes(1000), "application/octet-stream")).body == b"2000"
    assert got(container.ask("POST", "/invocations", "1", "text/plain")).status == 415
    assert got(container.ask("POST", "/invocations", "no json", "application/json")).status == 500
    assert got(container.ask("POST", "/invocations", bytes(2**20 + 1), "application/octet-stream")).status == 413
    assert json.loads(got(container.ask("GET", "/models")).body)["models"] == [{"modelName": "model", "modelUrl": "/opt/ml/model"}]
    assert container.stop() == 0, container.output
    assert "the server has ended; left: []" in container.output


def test_the_platform_chooses_the_port(container: Container) -> None:
    """The toolkit's one listener stays one, on that port, whatever other ports would be allowed."""
    container.write("/opt/ml/model/code/inference.py", INFERENCE)
    container.write("/opt/ml/model/factor", "2")
    container.env = {**container.env, "SAGEMAKER_BIND_TO_PORT": "9000", "SAGEMAKER_SAFE_PORT_RANGE": "9001-9009"}
    container.start("python", "/entry.py", "serve")
    wait_for(lambda: (pong := container.ask("GET", "/ping", port=9000)) is not None and pong.status == 200, "/ping", 90)
    assert json.loads(got(container.ask("GET", "/models", port=9000)).body)["models"] == [{"modelName": "model", "modelUrl": "/opt/ml/model"}]
    assert [port for port in (8080, 8081, 9001) if container.ask("GET", "/ping", port=port) is not None] == []
    assert got(container.ask("POST", "/invocations", "21", "application/json", port=9000)).body == b"42"


def test_sigterm_lets_a_request_finish(container: Container) -> None:
    """What runs when the platform stops the container is answered."""
    container.write("/opt/ml/model/code/inference.py", INFERENCE)
    container.write("/opt/ml/model/factor", "7")
    begin(container)
    answers: list[Answer | None] = []
    client = threading.Thread(target=lambda: answers.append(container.ask("POST", "/invocations", "-1", "application/json")))
    client.start()
    wait_for((container.root / "tmp/gate").exists, "the request to run")
    stopper = threading.Thread(target=container.stop)
    stopper.start()
    wait_for(lambda: container.ask("GET", "/ping") is None, "the server to stop listening")
    (container.root / "tmp/gate").write_text("")
    client.join(60)
    stopper.join(90)
    assert [got(answer).body for answer in answers] == [b"-7"]
    assert "the server has ended; left: []" in container.output


def load(container: Container, name: str, url: str) -> Answer:
    """Load a model as the platform does."""
    return got(container.ask("POST", "/models", json.dumps({"model_name": name, "url": url}), "application/json"))


@pytest.mark.parametrize("service", ["own", "toolkit"])
def test_many_models(container: Container, service: str) -> None:
    """Models are loaded, listed, asked and unloaded through one port; the statuses are those that the platform acts on."""
    container.write("/opt/ml/models/code/inference.py", INFERENCE)
    container.write("/home/model-server/service.py", OWN_SERVICE)
    for name, factor in (("one", "10"), ("two", "20")):
        container.write(f"/opt/ml/models/{name}/model/factor", factor)
    container.write("/opt/ml/models/three/model/huge", "")
    begin(container, SAGEMAKER_MULTI_MODEL="true", **({"SAGEMAKER_HANDLER": "/home/model-server/service.py:handle"} if service == "own" else {}))
    assert json.loads(got(container.ask("GET", "/models")).body)["models"] == []
    for name in ("one", "two"):
        loaded = load(container, name, f"/opt/ml/models/{name}/model")
        assert (loaded.status, json.loads(loaded.body)["status"]) == (200, "Workers scaled"), container.output
    both = [{"modelName": name, "modelUrl": f"/opt/ml/models/{name}/model"} for name in ("one", "two")]
    assert json.loads(got(container.ask("GET", "/models")).body)["models"] == both
    assert got(container.ask("GET", "/models/one")).status == 200
    assert json.loads(got(container.ask("POST", "/models/two/invoke", "3", "application/json")).body) in (60, ["60"])
    gone = got(container.ask("DELETE", "/models/one"))
    assert (gone.status, json.loads(gone.body)["status"]) == (200, 'Model "one" unregistered')
    assert json.loads(got(container.ask("GET", "/models")).body)["models"] == both[1:]
    assert load(container, "banana", "/banana").status == 404
    assert got(container.ask("DELETE", "/models/one")).status == 404
    assert got(container.ask("GET", "/models/one")).status == 404
    assert got(container.ask("POST", "/models/one/invoke", "3", "application/json")).status == 404
    assert load(container, "two", "/opt/ml/models/two/model").status == 409
    assert load(container, "three", "/opt/ml/models/three/model").status == 507
    assert load(container, "one", "/opt/ml/models/one/model").status == 200
    assert got(container.ask("GET", "/ping")).status == 200
    assert container.stop() == 0, container.output
    assert "the server has ended; left: []" in container.output
