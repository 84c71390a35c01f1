"""Images that were made for Multi Model Server, with nothing changed but the installed package: entry point, settings, folders, user."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from argosy.testing.server import wait_for
from fakes.container import Answer, Container

USER = 1000
HOME = "/home/model-server"
ENTRY = """#!/bin/sh
# "serve" starts the server with the settings of the image, everything else is a command of its own; the container stays in both cases
set -e
if [ "$1" = serve ]; then
    multi-model-server --start --mms-config config.properties
else
    eval "$@"
fi
exec tail -f /dev/null
"""
SETTINGS = """
# the memory of a Java machine that is no longer there
vmargs=-Xmx128m -XX:-UseLargePages -XX:+UseG1GC -XX:MaxMetaspaceSize=32M -XX:+ExitOnOutOfMemoryError
model_store=/opt/ml/model
load_models=ALL
inference_address=http://0.0.0.0:8080
management_address=http://0.0.0.0:8081
preload_model=false
# number_of_netty_threads=0
"""
HANDLER = '''
"""Counts words, with a class as the archiver's template has it."""
import os
from mms.service import PredictionException

class Words:
    def __init__(self):
        self.initialized = False
        self.stop = ()

    def initialize(self, context):
        folder = context.system_properties.get("model_dir")
        with open(os.path.join(folder, "stop.txt")) as file:
            self.stop = file.read().split()
        self.initialized = True

    def handle(self, data, context):
        texts = [item.get("body") or item.get("data") for item in data]
        if "die" in texts:
            os._exit(1)
        return ["%d words" % len([word for word in text.split() if word not in self.stop]) for text in texts]

_service = Words()

def handle(data, context):
    if not _service.initialized:
        _service.initialize(context)
    return None if data is None else _service.handle(data, context)
'''
Layout = Callable[[Path, Path], None]


def archive(model: Path, folder: Path, form: str) -> None:
    """Pack the model with the command of the environment."""
    command = Path(sys.executable).parent / "model-archiver"
    options = {"--model-name": "words", "--model-path": model, "--handler": "service:handle", "--archive-format": form, "--export-path": folder}
    subprocess.run([command, *(str(word) for option in options.items() for word in option)], check=True, capture_output=True)


def nested(model: Path, store: Path) -> None:
    """The archiver's tar.gz, which the platform unpacks: everything is in a folder named like the model."""
    archive(model, store.parent, "tgz")
    made = store.parent / "words.tar.gz"
    with tarfile.open(made) as tar:
        tar.extractall(store, filter="data")
    # unpacking in place leaves the archive beside the folder
    made.rename(store / "words.tar.gz")


def flat(model: Path, store: Path) -> None:
    """A tar.gz of the model folder's content."""
    (model / "MAR-INF").mkdir()
    (model / "MAR-INF/MANIFEST.json").write_text(json.dumps({"runtime": "python", "model": {"modelName": "words", "handler": "service:handle"}}))
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for path in model.iterdir():
            tar.add(path, path.name)
    with tarfile.open(fileobj=io.BytesIO(data.getvalue())) as tar:
        tar.extractall(store, filter="data")


def packed(model: Path, store: Path) -> None:
    """A .mar in the model folder, beside a file that is none."""
    archive(model, store, "default")
    (store / "README.txt").write_text("not a model")


def image(container: Container, tmp_path: Path, layout: Layout) -> None:
    """What the image and the platform bring: home, settings, entry point, model."""
    home = container.write(f"{HOME}/config.properties", SETTINGS).parent
    (home / "tmp").mkdir()
    subprocess.run(["chown", "-R", str(USER), str(home)], check=True)
    container.write("/usr-local-bin/dockerd-entrypoint.sh", ENTRY, 0o755)
    model, store = tmp_path / "model", container.root / "opt/ml/model"
    model.mkdir()
    store.mkdir(parents=True)
    (model / "service.py").write_text(HANDLER)
    (model / "stop.txt").write_text("the a of")
    layout(model, store)
    container.env = {"TEMP": f"{HOME}/tmp", "PYTHONUNBUFFERED": "TRUE"}


def begin(container: Container, *argv: str) -> None:
    """Start the container and wait until it serves."""
    container.start("/usr-local-bin/dockerd-entrypoint.sh", *argv, cwd=HOME, user=USER)
    wait_for(lambda: (pong := container.ask("GET", "/ping")) is not None and b'"Healthy"' in pong.body, "/ping", 60)


def got(answer: Answer | None) -> tuple[int, str]:
    """Status and text of an answer, which must have come."""
    assert answer is not None
    return answer.status, answer.body.decode()


@pytest.mark.parametrize("layout", [nested, flat, packed])
def test_serve(container: Container, tmp_path: Path, layout: Layout) -> None:
    """The only model answers under its own name and as the endpoint's; management has its own port; nothing is written to the model."""
    image(container, tmp_path, layout)
    before = sorted(path for path in (container.root / "opt").rglob("*"))
    begin(container, "serve")
    assert got(container.ask("POST", "/invocations", "the size of a whale", "text/plain")) == (200, "2 words"), container.output
    assert got(container.ask("POST", "/predictions/words", "a whale", "text/plain")) == (200, "1 words")
    assert '"modelName": "words"' in got(container.ask("GET", "/models", port=8081))[1]
    assert got(container.ask("GET", "/models"))[0] in (404, 405)
    assert sorted(path for path in (container.root / "opt").rglob("*")) == before
    assert "without effect" in container.output


def test_a_command_of_its_own(container: Container, tmp_path: Path) -> None:
    """The documented way to serve other models: the command and its options behind the image's name."""
    image(container, tmp_path, packed)
    options = ["--start", "--mms-config", "config.properties", "--model-store", "/opt/ml/model", "--models", "w=words.mar"]
    begin(container, "multi-model-server", *options)
    assert got(container.ask("POST", "/predictions/w", "a whale", "text/plain")) == (200, "1 words")
    assert got(container.ask("POST", "/predictions/words", "a whale", "text/plain"))[0] == 404


def test_what_alarms_look_for(container: Container, tmp_path: Path) -> None:
    """A worker dies and comes back; the log has the lines that filters of existing installations match."""
    image(container, tmp_path, packed)
    begin(container, "serve")
    assert got(container.ask("POST", "/invocations", "die", "text/plain"))[0] == 500
    log = container.root / HOME.lstrip("/") / "logs/mms_log.log"
    wait_for(lambda: "State change WORKER_STOPPED -> WORKER_STARTED" in log.read_text(), "the next worker")
    text = log.read_text()
    assert "State change WORKER_MODEL_LOADED -> WORKER_STOPPED" in text
    assert "com.amazonaws.ml.mms.wlm.WorkerThread - Retry worker: " in text
    assert " in 1 seconds." in text
    assert got(container.ask("POST", "/invocations", "all is well", "text/plain")) == (200, "3 words")
