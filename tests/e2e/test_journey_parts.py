"""The parts of the journey of the PaddlePaddle example, its notebook, and the example of several models; the whole of it is in tests/containers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from argosy.testing.server import wait_for

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PADDLE = EXAMPLES / "paddle_sentiment"
NOTEBOOK = PADDLE / "journey.ipynb"

pytest.importorskip("boto3")
pytest.importorskip("moto")


def journey(work: Path, path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs the journey where only the commands in `path` are installed."""
    environ = {"ARGOSY_PADDLE_WORK": str(work), "PATH": str(path), "HOME": str(work)}
    command = [sys.executable, str(PADDLE / "journey.py"), *options]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def command(folder: Path, name: str, script: str = "exit 0") -> None:
    """Puts a command there."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_what_is_missing_is_told_at_the_beginning(tmp_path: Path) -> None:
    """Without a container engine or a registry nothing begins, and the message says what to install."""
    done = journey(tmp_path, tmp_path)
    assert done.returncode == 1
    assert "journey: the deployment pushes the image to a registry: apt-get install --no-install-recommends docker-registry" in done.stderr
    done = journey(tmp_path, tmp_path, "--no-deploy")
    assert done.returncode == 1
    assert "apt-get install --no-install-recommends podman buildah runc mmdebstrap" in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


CHOOSE = "import engine; print(engine.choose(None))"


@pytest.mark.parametrize(("installed", "chosen"), [
    ({"docker": "exit 0", "podman": "exit 0"}, "docker"),
    ({"docker": "exit 1", "podman": "exit 0"}, "podman"),
    ({"docker": "exit 1", "podman": "exit 0", "buildah": "", "runc": "", "mmdebstrap": ""}, "private" if os.geteuid() == 0 else "podman"),
])  # fmt: skip
def test_the_first_engine_that_works_is_taken(tmp_path: Path, installed: dict[str, str], chosen: str) -> None:
    """docker if its engine answers, else podman, with a storage of its own where that can be made."""
    for name, script in installed.items():
        command(tmp_path, name, script)
    done = subprocess.run([sys.executable, "-c", CHOOSE], cwd=PADDLE, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == chosen, done.stderr


REMOVE = """
import os, pathlib, engine, journey
work = pathlib.Path(os.environ["WORK"])
places = journey.Places(work)
(work / "artifacts").mkdir()
journey.build_images(engine.Engine("podman", os.environ), "mine", places)
print("made:", places.made.read_text().split())
engine.remove_private = lambda: None
journey.remove_images(engine.Engine("podman", os.environ), places)
print("left:", places.made.exists())
"""
PODMAN = """echo "$@" >>"$WORK/calls"
case "$1 $3" in "image $KNOWN") exit 0;; image*) exit 1;; esac"""


def test_only_images_that_were_made_are_removed(tmp_path: Path) -> None:
    """An image that was there before stays, and so does its name."""
    command(tmp_path, "podman", PODMAN)
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "WORK": str(tmp_path), "KNOWN": "argosy:base-cpu-py3.11"}
    done = subprocess.run([sys.executable, "-c", REMOVE], cwd=PADDLE, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "argosy:base-cpu-py3.11 is there already" in done.stdout
    assert "made: ['argosy:base-cpu', 'mine']" in done.stdout
    assert "left: False" in done.stdout
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call for call in calls if call.startswith("rmi")] == ["rmi --force mine", "rmi --force argosy:base-cpu"]
    assert len([call for call in calls if call.startswith("build")]) == 1


RUNNING = """
import os, pathlib, sys
from background import JourneyError, running
try:
    with running([sys.executable, "-c", sys.argv[1]], os.environ, pathlib.Path(sys.argv[2]), r"^ready at (\\d+)", float(sys.argv[3])) as found:
        print("inside", found[1], flush=True)
        if len(sys.argv) > 4:
            raise JourneyError("broken off")
except JourneyError as error:
    print("failed:", error)
"""
FOREVER = "import os, time; print('hello\\nready at', os.getpid(), flush=True); time.sleep(600)"


def run_in_background(tmp_path: Path, code: str, *more: str, limit: str = "60") -> str:
    """What is printed by somebody who has that code run in the background."""
    asked = [sys.executable, "-c", RUNNING, code, str(tmp_path / "log"), limit, *more]
    done = subprocess.run(asked, cwd=PADDLE, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize(("code", "limit", "says"), [
    ("print('no disk'); raise SystemExit(3)", "60", "ended with status 3. It printed:\nno disk"),
    ("import time; print('thinking', flush=True); time.sleep(600)", "1", "was not ready within 1 s"),
])  # fmt: skip
def test_a_program_that_does_not_start_is_told(tmp_path: Path, code: str, limit: str, says: str) -> None:
    """One that ends or takes too long is told, with what it printed."""
    assert says in run_in_background(tmp_path, code, limit=limit)


def test_a_program_in_the_background_ends_with_its_block(tmp_path: Path) -> None:
    """However the block ends, the process is gone."""
    for more in ((), ("fail",)):
        said = run_in_background(tmp_path, FOREVER, *more)
        pid = int(said.split()[1])
        assert ("failed: broken off" in said) is bool(more)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_an_interrupted_command_takes_its_children_along(tmp_path: Path) -> None:
    """SIGTERM for the journey while a command of it runs ends that command and what it started."""
    code = "import os, signal, sys, engine; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); engine.do(sys.argv[1:], os.environ)"
    script = f"sleep 600 & echo $! >{tmp_path}/child; wait"
    process = subprocess.Popen([sys.executable, "-c", code, "bash", "-c", script], cwd=PADDLE)
    try:
        wait_for(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip(), "the child")
        child = int((tmp_path / "child").read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
        wait_for(lambda: not Path(f"/proc/{child}").exists(), "the end of the child")
    finally:
        process.kill()
        process.wait()


ECR = """
import hashlib, http.server, json, os, threading
import boto3
from moto.server import ThreadedMotoServer
import practice_aws

MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "layers": []}).encode()

class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.path == "/v2/ours/tiny/manifests/here"
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/vnd.docker.distribution.manifest.v2+json")
        self.send_header("Docker-Content-Digest", "sha256:" + hashlib.sha256(MANIFEST).hexdigest())
        self.end_headers()
        self.wfile.write(MANIFEST if known else b"")
    def log_message(self, *_): pass

registry = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
host = "127.0.0.1:%d" % registry.server_port
moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
moto.start()
with practice_aws.Ecr(moto.get_host_and_port(), host) as ecr:
    for server in (registry, ecr):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ.update(practice_aws.KEYS)
    client = boto3.client("ecr", endpoint_url="http://127.0.0.1:%d" % ecr.server_port)
    uri = client.create_repository(repositoryName="ours/tiny")["repository"]["repositoryUri"]
    print(uri == host + "/ours/tiny")
    for _ in range(2):
        found = client.describe_images(repositoryName="ours/tiny", imageIds=[{"imageTag": "here"}])["imageDetails"]
        print(found[0]["imageDigest"] == "sha256:" + hashlib.sha256(MANIFEST).hexdigest())
    try:
        client.describe_images(repositoryName="ours/tiny", imageIds=[{"imageTag": "gone"}])
    except client.exceptions.ImageNotFoundException:
        print("not found")
    ecr.shutdown()
registry.shutdown()
moto.stop()
"""


def test_the_practice_account_knows_what_was_pushed(tmp_path: Path) -> None:
    """Repositories lie in the registry; an image that is there is found by its digest, again and again, and no other."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", ECR], cwd=PADDLE, env=environ, capture_output=True, text=True, check=False)
    assert done.stdout.split("\n") == ["True", "True", "True", "not found", ""], done.stderr


# -- the notebook ----------------------------------------------------------------------------------------------------


def cells(kind: str) -> list[dict[str, Any]]:
    """The cells of one kind."""
    return [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == kind]


def test_the_notebook_is_committed_without_outputs() -> None:
    """Nothing of anybody's run is in it."""
    assert {(cell["execution_count"], len(cell["outputs"])) for cell in cells("code")} == {(None, 0)}
    assert len(cells("markdown")) > 4


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_notebook_works(tmp_path: Path) -> None:
    """Its cells, one after the other: the prediction from the endpoint and from the deployment; a second run does nothing; nothing is left."""
    python = shutil.which("python", path=str(Path(os.environ.get("ARGOSY_PADDLE_VENV", sys.prefix), "bin"))) or sys.executable
    if subprocess.run([python, "-c", "import paddle"], capture_output=True, check=False).returncode:
        pytest.skip("PaddlePaddle is not installed: pip install paddlepaddle==3.3.1")
    program = "\n\n".join("".join(cell["source"]) for cell in cells("code"))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environ.update(ARGOSY_PADDLE_WORK=str(tmp_path), TMPDIR=str(tmp_path))
    done = subprocess.run([python, "-W", "ignore", "-c", program], cwd=PADDLE, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("b'Prediction : This is a Positive review'") == 2
    assert "things done; 0 the second time" in done.stdout
    assert "sentiment InService" in done.stdout
    assert "\n0 things are left" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifacts", "model-store"]


# -- several models --------------------------------------------------------------------------------------------------


def test_several_models_behind_one_endpoint(tmp_path: Path) -> None:
    """Each target model has its own opinion, one that is not there is refused, and the script leaves nothing behind."""
    environ = {**os.environ, "ARGOSY_VENV": sys.prefix, "TMPDIR": str(tmp_path)}
    done = subprocess.run([EXAMPLES / "multi_model_endpoint" / "run"], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split(maxsplit=1) for line in done.stdout.splitlines() if "Quiet and unpredictable." in line]
    opinions = {target: json.loads(rest.partition("  ")[2])["opinion"] for target, rest in rows}
    assert opinions == {"films.tar.gz": "good", "phones.tar.gz": "bad", "travel/hotels.tar.gz": "good"}
    assert "(ValidationError)" in done.stdout
    assert "target model boats.tar.gz" in done.stdout
    assert list(tmp_path.iterdir()) == []
