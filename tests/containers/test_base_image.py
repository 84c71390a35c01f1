"""The base image as platforms start it: users, layouts of models, signals, commands."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from argosy.testing.server import OBEDIENT, Store, is_alive, serving, wait_for
from containers.conftest import Start
from fakes.images import BASE, environment, podman
from faults.figures import Figure

CLASS_NAME = b"com.amazonaws.ml.mms.ModelServer"
Layout = Callable[[Path, Path], dict[str, str]]


def archive(source: Path, target: Path, form: str) -> None:
    """Pack a handler with the command of the tests' environment."""
    command = [str(Path(sys.executable).parent / "model-archiver"), "--model-name", "m", "--model-path", str(source), "--handler", "service:handle"]
    subprocess.run([*command, "--archive-format", form, "--export-path", str(target)], check=True)


def nested(source: Path, store: Path) -> dict[str, str]:
    """What the platform unpacks from the archiver's tar.gz, with the file itself left beside it."""
    archive(source, store, "tgz")
    with tarfile.open(store / "m.tar.gz") as tar:
        tar.extractall(store, filter="data")
    return {}


def flat(source: Path, store: Path) -> dict[str, str]:
    """The manifest at the top."""
    archive(source, source.parent, "no-archive")
    (source.parent / "m").rename(source.parent / "flat")
    for path in (source.parent / "flat").iterdir():
        path.rename(store / path.name)
    return {}


def packed(source: Path, store: Path) -> dict[str, str]:
    """A .mar beside files that are no models."""
    archive(source, store, "default")
    (store / "README.txt").write_text("not a model")
    (store / ".DS_Store").write_bytes(b"\0")
    return {}


def bare(source: Path, store: Path) -> dict[str, str]:
    """A folder without a manifest, for the default handler."""
    (store / "m").mkdir()
    (store / "m" / "service.py").write_text(OBEDIENT)
    return {"MMS_DEFAULT_SERVICE_HANDLER": "service:handle"}


def bare_flat(source: Path, store: Path) -> dict[str, str]:
    """Files at the top without a manifest, for the default handler."""
    (store / "service.py").write_text(OBEDIENT)
    return {"SAGEMAKER_HANDLER": "service:handle"}


def children(pid: int) -> list[int]:
    """The processes that this one started and has not reaped."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("layout", [nested, flat, packed, bare, bare_flat])
def test_layouts(start: Start, store: Store, tmp_path: Path, layout: Layout) -> None:
    """Each is found, and is the endpoint's only model; nothing is written to the read-only folder."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "service.py").write_text(OBEDIENT)
    env = layout(source, store.folder)
    container = start("serve", env=env)
    container.wait_until_healthy()
    models = json.loads(container.ask("GET", "/models", management=True).body)["models"]
    assert len(models) == 1, models
    assert container.ask("POST", "/invocations", "echo:hi").body == b"hi", container.output


@pytest.mark.parametrize("options", [
    [], ["--user", "1000"], ["--user", "4242:4242"], ["--read-only"],
    ["--read-only", "--user", "4242", "--cap-drop", "all", "--security-opt", "no-new-privileges"],
])
def test_users(start: Start, store: Store, options: list[str]) -> None:
    """Root, the image's own user, one that it has never heard of, and whoever has nothing but /tmp to write to."""
    store.add("m")
    container = start("serve", options=options)
    container.wait_until_healthy()
    assert container.ask("POST", "/invocations", "echo:hi").body == b"hi", container.output
    assert container.stop() == 0


def test_several_models(start: Start, store: Store) -> None:
    """All are loaded; without a name it is said that one is needed."""
    store.add("one")
    store.add("two")
    container = start("serve")
    container.wait_until_healthy()
    assert container.ask("POST", "/predictions/two", "echo:2").body == b"2"
    assert container.ask("POST", "/invocations", "echo:1").status == 400


def test_no_model(start: Start) -> None:
    """A container without a model ends at once and says where it looked."""
    container = start("serve")
    assert container.process.wait(60) == 1
    assert "there is no model in /opt/ml/model" in container.output


def test_models_that_come_later(start: Start, store: Store) -> None:
    """A multi-model container waits for them, and takes orders where it takes requests: at the port that the platform chose."""
    store.add("m")
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    env = {"SAGEMAKER_MULTI_MODEL": "true", "SAGEMAKER_BIND_TO_PORT": str(port), "SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
    container = start("serve", volumes={store.folder / "m": "/opt/ml/models/a1b2/model"}, env=env)
    container.wait_until_healthy()
    assert container.ports == (port, port)
    order = json.dumps({"model_name": "a1b2", "url": "/opt/ml/models/a1b2/model"})
    assert container.ask("POST", "/models", order, "application/json").status == 200, container.output
    assert container.ask("POST", "/models/a1b2/invoke", "echo:hi").body == b"hi"


def test_process_1(start: Start, store: Store) -> None:
    """It is the server itself, which reaps what handlers leave behind."""
    store.add("m")
    container = start("serve", env={"MMS_DEFAULT_WORKERS_PER_MODEL": "1"})
    container.wait_until_healthy()
    server = container.pid
    assert Path(f"/proc/{server}/cmdline").read_bytes().split(b"\0")[1:] == [b"/usr/local/bin/argosy-entrypoint", b"serve", b""]
    assert "NSpid" in (status := Path(f"/proc/{server}/status").read_text())
    assert next(line for line in status.splitlines() if line.startswith("NSpid")).split()[-1] == "1"
    before = children(server)
    assert container.ask("POST", "/invocations", "orphans:5").body == b"left"
    wait_for(lambda: children(server) == before, "orphans to be reaped")


def test_sigterm_drains(start: Start, store: Store, tmp_path: Path) -> None:
    """A request that runs is answered, then the container ends with status 0, within the 30 seconds that platforms give."""
    store.add("m")
    shared = tmp_path / "shared"
    shared.mkdir()
    os.mkfifo(shared / "pipe")
    container = start("serve", env={"BEGUN_FILE": "/shared/begun"}, options=["--volume", f"{shared}:/shared"])
    container.wait_until_healthy()
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(container.ask, "POST", "/invocations", "hold:/shared/pipe")
        wait_for((shared / "begun").exists, "the request to begin")
        stopping = threads.submit(container.stop)
        wait_for(lambda: "Stopping:" in container.output, "the server to drain")
        with (shared / "pipe").open("wb") as pipe:
            pipe.write(b"held")
        assert answer.result(30).body == b"held"
        # podman kills with status 137 after 30 seconds
        assert stopping.result(60) == 0, container.output


def test_a_kill_leaves_nothing(start: Start, store: Store) -> None:
    """Even when the server is killed, its workers end."""
    store.add("m")
    container = start("serve")
    container.wait_until_healthy()
    workers = children(container.pid)
    assert workers
    podman("kill", "--signal", "KILL", container.name)
    wait_for(lambda: not any(map(is_alive, workers)), "the workers to end")


def test_the_old_command(start: Start, store: Store) -> None:
    """The documented way to serve other models stays in the foreground as process 1."""
    store.add("m")
    container = start("multi-model-server", "--start", "--models", "other=m", "--model-store", "/opt/ml/model")
    container.wait_until_healthy()
    assert container.ask("POST", "/predictions/other", "echo:1").body == b"1"
    assert CLASS_NAME in Path(f"/proc/{container.pid}/cmdline").read_bytes()
    assert container.stop() == 0


@pytest.mark.parametrize(("command", "status", "words"), [
    (["argosy", "version"], 0, "argosy "),
    (["bash", "-c", "echo $0 $1", "a", "b"], 0, "a b"),
    (["echo one && python --version | tr P p"], 0, "one\npython 3.11"),
    (["python -c 'import argosy, psutil, uvloop; print(argosy.__name__)'"], 0, "argosy"),
    (["golden"], 127, "no command golden"),
    (["/etc/passwd"], 126, "cannot be run"),
])
def test_other_commands(command: list[str], status: int, words: str) -> None:
    """They run instead of the server, and their status is the container's."""
    done = subprocess.run(["podman", "run", "--rm", BASE, *command], env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, done.stderr
    assert words in done.stdout


def test_time_to_healthy(start: Start, store: Store, tmp_path: Path, figure: Callable[[Figure], Figure]) -> None:
    """The image adds to the start of the bare process what the engine needs to make a container; how much is reported."""
    store.add("m")
    in_image = min(start("serve", env={"MMS_DEFAULT_WORKERS_PER_MODEL": "1"}).wait_until_healthy() for _ in range(3))
    (tmp_path / "bare").mkdir()
    begun_at = time.monotonic()
    with serving(tmp_path / "bare", "m") as server:
        assert server.ping().status == 200
        bare = time.monotonic() - begun_at
    report = f"podman run to healthy {in_image:.2f} s, bare process {bare:.2f} s, difference {in_image - bare:.2f} s (goal 2.00)"
    assert figure(Figure("start of a container", figures=report)).figures
