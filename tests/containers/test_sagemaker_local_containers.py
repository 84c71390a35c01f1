"""The local runtime in front of real containers of the base image."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from argosy.errors import ArgosyError
from argosy.sagemaker.local import ContainerSettings, EndpointSettings, LocalEndpoint, RuntimeSettings, VariantSettings, Watch
from argosy.testing.server import Store, wait_for
from fakes.images import BASE, environment, podman

NAME = f"test-{os.getpid()}"
"""Of the endpoint: other processes may run these tests too."""
WORKERS = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}


@pytest.fixture(autouse=True)
def engine(images: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has podman find its images."""
    for name, value in environment().items():
        monkeypatch.setenv(name, value)


def names() -> set[str]:
    """The containers that there are, running or not."""
    return {name for name in podman("ps", "--all", "--format", "{{.Names}}").split() if name.startswith(f"argosy-{NAME}-")}


def settings(container: ContainerSettings, **more: Any) -> RuntimeSettings:
    """One endpoint, `NAME`."""
    return RuntimeSettings((EndpointSettings(NAME, (VariantSettings(containers=(container,)),)),), engine="podman", **more)


def packed(store: Store, target: Path, prefix: str) -> Path:
    """An archive of the store's model, below `prefix`."""
    with tarfile.open(target, "w:gz") as tar:
        tar.add(store.folder / "m", prefix)
    return target


def test_an_archive_in_a_container(store: Store, tmp_path: Path) -> None:
    """The platform's way: unpacked, mounted read-only, found by `serve`; ended and removed with the endpoint, and started again when it dies."""
    store.add("m")
    archive = packed(store, tmp_path / "model.tar.gz", "m")
    watch = Watch(ping_every_s=0.2, backoff_s=(0.1,))
    with LocalEndpoint(settings(ContainerSettings(str(archive), BASE, env=WORKERS), watch=watch)) as running, closing(running.client()) as client:
        found = client.invoke_endpoint(EndpointName=NAME, Body="echo:hello", ContentType="text/plain")
        assert found["Body"].read() == b"hello"
        (first,) = names()
        assert "/opt/ml/model false" in podman("inspect", "--format", "{{range .Mounts}}{{.Destination}} {{.RW}} {{end}}", first)
        os.kill(int(podman("inspect", "--format", "{{.State.Pid}}", first)), 9)
        wait_for(lambda: names() - {first} and _answers(client), "another container", 60)
    assert names() == set()


def _answers(client: Any) -> bool:
    try:
        client.invoke_endpoint(EndpointName=NAME, Body="echo:hello", ContentType="text/plain")
    except (client.exceptions.ServiceUnavailable, client.exceptions.ModelError):
        return False
    return True


def test_target_models_in_a_container(store: Store, tmp_path: Path) -> None:
    """The models are brought to a folder that the container sees, and loaded by its own API."""
    store.add("m")
    models = tmp_path / "models"
    models.mkdir()
    packed(store, models / "a.tar.gz", ".")
    with LocalEndpoint(settings(ContainerSettings(str(models), BASE, env=WORKERS, multi_model=True))) as running, closing(running.client()) as client:
        found = client.invoke_endpoint(EndpointName=NAME, Body="echo:hello", ContentType="text/plain", TargetModel="a.tar.gz")
        assert found["Body"].read() == b"hello"
    assert names() == set()


def test_an_image_that_is_not_there(tmp_path: Path) -> None:
    """The engine's own words are shown, and nothing is left."""
    missing = ContainerSettings(image="localhost/no-such:image")
    with pytest.raises(ArgosyError, match="ended with status 125") as caught, LocalEndpoint(settings(missing)):
        pass
    assert "no-such" in caught.value.detail
    assert names() == set()


def test_a_container_that_serves_nothing(tmp_path: Path) -> None:
    """What it printed is told; the container is gone."""
    container = ContainerSettings(image=BASE, command=("python3", "-c", "print('not a server')"))
    with pytest.raises(ArgosyError, match="ended with status 0 before") as caught, LocalEndpoint(settings(container)):
        pass
    assert "not a server" in caught.value.detail
    assert names() == set()


@pytest.mark.parametrize("has_client", [True, False])
def test_the_container_of_a_killed_command_is_removed(store: Store, tmp_path: Path, has_client: bool) -> None:
    """By its engine's client, which is asked to end it; if that is killed too, by the next runtime of the same user."""
    store.add("m")
    code = "import sys; from argosy.sagemaker.local import LocalEndpoint, RuntimeSettings, one_endpoint as one\n"
    code += "settings = RuntimeSettings((one(*sys.argv[1:3], image=sys.argv[3]),), engine='podman')\n"
    code += "with LocalEndpoint(settings): print('up', flush=True); sys.stdin.readline()"
    (tmp_path / "temporary").mkdir()
    env = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    command = [sys.executable, "-c", code, NAME, str(store.folder)]
    with subprocess.Popen([*command, BASE], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"up\n"
        (left,) = names()
        if not has_client:
            killed.send_signal(signal.SIGSTOP)
            (client,) = psutil.Process(killed.pid).children()
            client.kill()
        killed.kill()
    if has_client:
        wait_for(lambda: names() == set(), "the end of the container")
    done = subprocess.run([*command, ""], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120)
    assert f"had left behind: container {left}" in done.stderr, done.stderr
    assert names() == set()
    assert list((tmp_path / "temporary").glob("argosy-sagemaker-*")) == []
