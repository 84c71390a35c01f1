"""Containers of SageMaker start by the word `serve`, their environment and what lies in their model folder."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from argosy.testing.server import OBEDIENT, wait_for
from fakes.endpoint_container import MULTI_MODEL_SERVER, SERVE, EndpointContainer, free_port, free_ports, manifest


def refused(container: EndpointContainer) -> str:
    """What it prints when it does not start."""
    container.launch()
    try:
        assert container.process.wait(60) == 1, container.output
    finally:
        container.__exit__()
    return container.output


@pytest.mark.parametrize(("name", "value", "words"), [
    ("SAGEMAKER_BIND_TO_PORT", "web", "Not a port from 1 to 65535: SAGEMAKER_BIND_TO_PORT=web"),
    ("SAGEMAKER_SAFE_PORT_RANGE", "9000", "Invalid port range: 9000"),
    ("SAGEMAKER_SAFE_PORT_RANGE", "9-8", "allowed is low-high, ports from 1 to 65535"),
    ("SAGEMAKER_MODEL_SERVER_WORKERS", "all", 'For input string: "all": default_workers_per_model=all'),
    ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "1m", "default_response_timeout=1m"),
    ("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "soon", "default_response_timeout_seconds=soon"),
    ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "6MB", "Not a whole number of MB from 0 to 1024: SAGEMAKER_MAX_PAYLOAD_IN_MB=6MB"),
    ("SAGEMAKER_MULTI_MODEL", "perhaps", "Not a yes or no: perhaps"),
    ("SAGEMAKER_BATCH_STRATEGY", "EACH", "Not MULTI_RECORD or SINGLE_RECORD"),
    ("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", "-1", "Out of range: -1"),
])
@pytest.mark.parametrize("command", [SERVE, MULTI_MODEL_SERVER], ids=["argosy", "multi-model-server"])
def test_a_malformed_variable_stops_the_start(tmp_path: Path, command: tuple[str, ...], name: str, value: str, words: str) -> None:
    """One line names the variable, its value and what is allowed; nothing is guessed."""
    output = refused(EndpointContainer(tmp_path, {name: value}, command))
    assert words in output
    assert name in output


def test_a_container_without_a_model_says_so(tmp_path: Path) -> None:
    """The log of the endpoint then tells why it does not come up."""
    container = EndpointContainer(tmp_path)
    container.write("model/readme.tar.gz", b"no archive")
    assert f"there is no model in {container.base}/model: put a folder with MAR-INF/MANIFEST.json" in refused(container)


def shown(env: Mapping[str, str], folder: Path) -> dict[str, dict[str, str]]:
    """What `argosy config show` says."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "argosy", "config", "show", "--origin", "-o", "json"], cwd=folder, env={"PATH": "", **env}, check=True,
        capture_output=True, text=True)
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


def test_every_variable_is_shown_with_its_origin(tmp_path: Path) -> None:
    """Value and variable, or what it follows from."""
    env = {
        "SAGEMAKER_BASE_DIR": str(tmp_path), "SAGEMAKER_BIND_TO_PORT": "9001", "SAGEMAKER_SAFE_PORT_RANGE": "9001-9010",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "3", "SAGEMAKER_MODEL_SERVER_TIMEOUT": "5", "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "90",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "20", "SAGEMAKER_BATCH": "True", "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "4", "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv", "SAGEMAKER_HANDLER": "/service.py:handle",
        "SAGEMAKER_MODEL_SERVER_VMARGS": "-Xmx1g",
    }  # fmt: skip
    found = shown(env, tmp_path)
    expected = {
        "inference_address": ("http://0.0.0.0:9001", "SAGEMAKER_BIND_TO_PORT"), "safe_port_range": ("9001-9010", "SAGEMAKER_SAFE_PORT_RANGE"),
        "default_workers_per_model": ("3", "SAGEMAKER_MODEL_SERVER_WORKERS"), "default_response_timeout": ("5", "SAGEMAKER_MODEL_SERVER_TIMEOUT"),
        "default_response_timeout_seconds": ("90", "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS"),
        "max_request_size": (str(20 * 2**20), "SAGEMAKER_MAX_PAYLOAD_IN_MB"), "batch_transform": ("true", "SAGEMAKER_BATCH"),
        "batch_strategy": ("single_record", "SAGEMAKER_BATCH_STRATEGY"),
        "max_concurrent_transforms": ("4", "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"),
        "default_accept": ("text/csv", "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"),
    }  # fmt: skip
    assert {name: found[name] for name in expected} == {
        name: {"value": value, "origin": f"environment {variable}"} for name, (value, variable) in expected.items()}
    assert found["management_address"] == {"value": "http://127.0.0.1:9002", "origin": "follows from safe_port_range"}
    assert found["model_store"] == {"value": str(tmp_path / "model"), "origin": "SageMaker container"}
    assert found["default_service_handler"] == {"value": "/service.py:handle", "origin": "SageMaker container"}
    assert shown({"SAGEMAKER_MULTI_MODEL": "true"}, tmp_path)["management_address"] == {
        "value": "http://0.0.0.0:8080", "origin": "follows from multi_model"}


@pytest.mark.parametrize("command", [SERVE, MULTI_MODEL_SERVER], ids=["argosy", "multi-model-server"])
def test_nothing_listens_outside_of_the_allowed_ports(tmp_path: Path, command: tuple[str, ...]) -> None:
    """With a range the second listener lies in it, without one there is none; also where a file names other ports, as old images do."""
    (tmp_path / "config.properties").write_text(
        f"inference_address=http://0.0.0.0:8080\nmanagement_address=http://0.0.0.0:8081\nload_models=ALL\nmodel_store={tmp_path}/ml/model\n")
    low, high = free_ports()
    EndpointContainer(tmp_path).add("model/m", "m")
    with EndpointContainer(tmp_path, {"SAGEMAKER_SAFE_PORT_RANGE": f"{low}-{high}"}, command) as container:
        assert container.listening() == {container.port, low}
        assert container.ask("GET", "/models", port=low).status == 200
        assert container.ask("GET", "/models").status == 404
    with EndpointContainer(tmp_path, {}, command) as container:
        assert container.listening() == {container.port}
        assert container.ask("GET", "/models").status == 200


def test_one_port_is_range_enough_for_one_listener(tmp_path: Path) -> None:
    """Where the port of predictions is the only one of the range, management joins it."""
    port = free_port()
    container = EndpointContainer(tmp_path, {"SAGEMAKER_SAFE_PORT_RANGE": f"{port}-{port}"}, port=port)
    container.add("model", "flat")
    with container:
        assert container.listening() == {port}


def archive(container: EndpointContainer) -> None:
    """Like `model-archiver` makes it by default."""
    folder = container.add("packed", "packed")
    made = shutil.make_archive(str(container.folder / "packed"), "zip", folder)
    shutil.move(made, container.write("model/packed.mar", ""))


def nested(container: EndpointContainer) -> None:
    """What is in the tar.gz of `model-archiver`, with the archive itself and other files beside it."""
    folder = container.add("model/nested", "nested")
    with tarfile.open(container.base / "model/nested.tar.gz", "w:gz") as made:
        made.add(folder, "nested")
    container.write("model/._nested", b"\0")
    container.write("model/.cache/file", "")
    container.write("model/__MACOSX/nested/._service.py", "")
    container.write("model/notes.txt", "")


def flat(container: EndpointContainer) -> None:
    """An archive that was unpacked without a folder of its own."""
    container.add("model", "flat")
    container.write("model/weights/layer", b"1")


def several(container: EndpointContainer) -> None:
    """More models than one."""
    container.add("model/one", "one")
    container.add("model/two", "two")


def plain(container: EndpointContainer) -> None:
    """Files of a model, and the code of nobody: the default handler serves them."""
    container.write("model/weights", b"1")
    container.write("model/code/inference.py", "raise SystemExit('is not run')")


def folder_without_manifest(container: EndpointContainer) -> None:
    """The same, one folder deeper."""
    container.write("model/deep/weights", b"1")


LAYOUTS = {
    "nested": (nested, ["nested"]), "flat": (flat, ["flat"]), "mar": (archive, ["packed"]), "several": (several, ["one", "two"]),
    "plain": (plain, ["model"]), "folder without manifest": (folder_without_manifest, ["deep"]),
}  # fmt: skip


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing below the folder may be written meanwhile; for root that is only checked afterwards."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    for path in before:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        yield
    finally:
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
        for path in before:
            path.chmod(0o755)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_model_folders(tmp_path: Path, layout: str) -> None:
    """Every layout is found by the word `serve` alone, strays are no models, and the folder is never written to."""
    fill, names = LAYOUTS[layout]
    (tmp_path / "service.py").write_text(OBEDIENT)
    container = EndpointContainer(tmp_path)
    if layout in ("plain", "folder without manifest"):
        container.env = {"SAGEMAKER_HANDLER": f"{tmp_path}/service.py:handle"}
    fill(container)
    container.env = {**container.env, "SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
    with read_only(container.base / "model"), container:
        assert [model["modelName"] for model in container.ask("GET", "/models").json["models"]] == names
        reply = container.invoke("echo:hello", Content_Type="text/plain")
        if len(names) == 1:
            assert (reply.status, reply.body) == (200, b"hello")
        else:
            assert (reply.status, reply.json["message"]) == (400, "Parameter model_name is required.")


def test_the_old_command_with_the_configuration_of_old_images(tmp_path: Path) -> None:
    """`load_models=ALL` and a store are what base images of Multi Model Server bring."""
    container = EndpointContainer(tmp_path, {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}, (*MULTI_MODEL_SERVER, "--mms-config", "old.properties"))
    container.add("model/paddle_sentiment", "paddle_sentiment")
    (tmp_path / "old.properties").write_text(f"vmargs=-Xmx128m\nmodel_store={container.base}/model\nload_models=ALL\ninference_address=http://0.0.0.0:8080\n")
    with container:
        assert container.invoke("echo:x", Content_Type="text/plain").body == b"x"


def test_sigterm_answers_what_was_accepted(tmp_path: Path) -> None:
    """Workers get the number that the platform says; the end is an orderly one, with status 0 and without a process left."""
    container = EndpointContainer(tmp_path, {"SAGEMAKER_MODEL_SERVER_WORKERS": "2"})
    container.add("model/m", "m")
    with container:
        wait_for(lambda: len(container.children()) == 3, "two workers and what they were forked from")
        workers = container.children()
        container.process.send_signal(signal.SIGTERM)
        assert container.process.wait(60) == 0, container.output
        assert not {pid for pid in workers if Path(f"/proc/{pid}").exists()}


def test_a_manifest_is_text(tmp_path: Path) -> None:
    """A broken one fails its model alone: the others serve."""
    container = EndpointContainer(tmp_path, {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"})
    container.add("model/good", "good")
    container.write("model/bad/MAR-INF/MANIFEST.json", manifest("bad")[:-5])
    with container:
        assert container.ask("POST", "/predictions/good", "echo:1", {"Content-Type": "text/plain"}).body == b"1"
        assert "Failed to load model: bad" in container.output
