"""A local runtime as a whole: it starts entirely or tells why not, and leaves nothing either way."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.local.client import Question, ask
from argosy.sagemaker.local.runtime import Runtime
from argosy.sagemaker.local.settings import ContainerSettings, EndpointSettings, RuntimeSettings, VariantSettings, Watch
from argosy.testing.server import is_free
from fakes import sagemaker_container

STAND_IN = ContainerSettings(command=(sys.executable, sagemaker_container.__file__, "{port}"))
FAILS = ContainerSettings(command=("sh", "-c", "echo no weights; exit 3"))
WATCH = Watch(start_ping_every_s=0.01, stop_s=10.0)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runtimes put what they need; empty before and after."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def settings(*containers: ContainerSettings, **more: object) -> RuntimeSettings:
    """Endpoints `e0`, `e1` …, of one container each."""
    endpoints = tuple(EndpointSettings(f"e{number}", (VariantSettings(containers=(one,)),)) for number, one in enumerate(containers))
    return RuntimeSettings(endpoints, allow_unsigned=True, watch=WATCH, **more)  # type: ignore[arg-type]  # names of settings


def run(wish: RuntimeSettings, work: Callable[[Runtime], Awaitable[None]]) -> None:
    """Start a runtime, do the work, and stop it on every path."""

    async def whole() -> None:
        runtime = Runtime(wish)
        try:
            await runtime.start()
            await work(runtime)
        finally:
            await runtime.stop()

    asyncio.run(whole())


def refused(wish: RuntimeSettings) -> ArgosyError:
    """Why a runtime does not start. Nothing of it may be left."""

    async def never(_: Runtime) -> None:
        raise AssertionError

    with pytest.raises(ArgosyError) as caught:
        run(wish, never)
    assert psutil.Process().children() == []
    return caught.value


async def asked(runtime: Runtime, path: str, body: bytes = b"") -> tuple[int, bytes | None]:
    """Status and body of one request."""
    answer = await ask(int(runtime.url.rpartition(":")[2]), Question("POST" if body else "GET", path, (), body))
    return answer.status, await answer.read(1 << 20)


def test_a_runtime_serves_all_its_endpoints_and_leaves_nothing(temporary: Path) -> None:
    """Behind one address; after its stop no process, port or folder is left."""
    ports = []

    async def work(runtime: Runtime) -> None:
        assert runtime.is_up
        ports.append(int(runtime.url.rpartition(":")[2]))
        assert (await asked(runtime, "/ping"))[0] == 200
        for name in ("e0", "e1"):
            status, body = await asked(runtime, f"/endpoints/{name}/invocations", b"x")
            assert (status, json.loads(body or b"{}")["body"]) == (200, "x")
        assert repr(runtime) == f"<Runtime {runtime.url} ['e0', 'e1']>"
        assert len(os.listdir(temporary)) == 1

    run(settings(STAND_IN, STAND_IN), work)
    assert psutil.Process().children() == []
    assert is_free(ports[0])
    assert list(temporary.iterdir()) == []


def test_one_container_that_fails_fails_the_start(temporary: Path) -> None:
    """The others are ended; the failure has what the one printed."""
    error = refused(settings(STAND_IN, FAILS, STAND_IN))
    assert (error.code, error.detail.strip()) == (ErrorCode.LOAD_FAILED, "no weights")
    assert "container e1/AllTraffic/0 ended with status 3" in error.message
    assert list(temporary.iterdir()) == []


def test_a_port_that_is_taken_is_told_before_anything_is_started(temporary: Path) -> None:
    """With what can be done about it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        error = refused(settings(FAILS, port=port))
    assert (error.code, f"cannot listen on 127.0.0.1:{port}" in error.message, "Choose another port" in error.message) == (
        ErrorCode.INVALID_CONFIG, True, True)  # fmt: skip
    assert list(temporary.iterdir()) == []


def test_model_data_that_is_missing_is_told_before_anything_is_started(temporary: Path, tmp_path: Path) -> None:
    """Though other endpoints have theirs."""
    proof = tmp_path / "proof"
    started = ContainerSettings(command=("touch", str(proof)))
    error = refused(settings(started, ContainerSettings(str(tmp_path / "none.tar.gz"))))
    assert error.code is ErrorCode.MODEL_NOT_FOUND
    assert not proof.exists()
    assert list(temporary.iterdir()) == []


def test_no_place_for_its_folder_is_told(temporary: Path) -> None:
    """By the name of the place, and how to choose another."""
    temporary.rmdir()
    error = refused(settings(STAND_IN))
    assert error.code is ErrorCode.INVALID_CONFIG
    assert f"cannot make a folder in {temporary}: No such file or directory" in error.message
    assert "TMPDIR" in error.message


def test_a_folder_for_logs_that_cannot_be_made_is_told(temporary: Path, tmp_path: Path) -> None:
    """Nothing is started for an endpoint whose output would be lost."""
    (tmp_path / "file").touch()
    error = refused(settings(STAND_IN, logs=str(tmp_path / "file" / "logs")))
    assert error.code is ErrorCode.INVALID_CONFIG
    assert f"cannot make the folder {tmp_path / 'file' / 'logs'} for logs" in error.message
    assert list(temporary.iterdir()) == []


def test_logs_with_a_folder_of_their_own_stay(tmp_path: Path) -> None:
    """A relative one is in the current folder; the output of a container is there after the stop."""
    printed = ContainerSettings(command=("sh", "-c", f"echo here I am; exec {sys.executable} {sagemaker_container.__file__} {{port}}"))

    async def work(runtime: Runtime) -> None:
        assert runtime.logs == tmp_path / "logs"

    run(settings(printed, logs=str(tmp_path / "logs")), work)
    assert (tmp_path / "logs" / "e0" / "AllTraffic" / "0.log").read_text().startswith("here I am\n")


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]")])
def test_the_address_that_clients_are_told_is_one_they_can_use(host: str, shown: str) -> None:
    """All addresses of a machine are none to connect to."""
    assert Runtime(settings(STAND_IN, host=host)).url == f"http://{shown}:0"


def test_a_runtime_that_was_never_started_can_be_stopped() -> None:
    """And hurried: whoever cleans up need not know how far it came."""

    async def whole() -> None:
        runtime = Runtime(settings(STAND_IN))
        runtime.hurry()
        await runtime.stop()
        assert not runtime.is_up

    asyncio.run(whole())
