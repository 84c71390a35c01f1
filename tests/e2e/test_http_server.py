"""A real server on real sockets: TLS, unix sockets, one shared address, and too few file descriptors."""

from __future__ import annotations

import json
import os
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fakes.certificates import identity
from fakes.live_server import LiveServer, live_server

ECHO = """
import hashlib

def handle(data, context):
    if data is None:
        return None
    return [hashlib.sha256(bytes(item.get("body") or b"")).hexdigest() for item in data]
"""
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with two listeners."""
    with live_server(tmp_path_factory.mktemp("server"), ECHO, {"max_request_size": 1000000, "header_timeout_s": 1}) as running:
        yield running


def test_two_listeners(server: LiveServer) -> None:
    """Predictions and management have an address each, and neither serves the other's paths."""
    assert server.ask("POST", "/predictions/m") == (200, EMPTY.encode())
    assert server.models() == ["m"]
    assert server.ask("GET", "/models")[0] == 404
    assert server.ask("POST", "/predictions/m", management=True)[0] == 404


def test_large_body_reaches_the_worker(server: LiveServer) -> None:
    """A body at the limit arrives; one byte more is refused."""
    assert server.ask("POST", "/predictions/m", b"x" * 1000000)[0] == 200
    status, body = server.ask("POST", "/predictions/m", b"x" * 1000001)
    assert status == 413
    assert "max_request_size" in json.loads(body)["message"]


def test_slow_head_is_cut_off(server: LiveServer) -> None:
    """A client that does not finish its head is told and disconnected."""
    assert server.raw(b"GET /ping HTTP/1.1\r\n", timeout_s=20).startswith(b"HTTP/1.1 408 ")


def test_one_shared_address(tmp_path: Path) -> None:
    """Equal addresses are one listener with both APIs."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with live_server(tmp_path, ECHO, {"inference_address": address, "management_address": address}) as server:
        assert server.inference == server.management == address
        assert server.ask("POST", "/predictions/m")[0] == 200
        assert server.models() == ["m"]


def test_unix_sockets(tmp_path: Path) -> None:
    """Both listeners on socket files, which are gone when the server has ended."""
    paths = [tmp_path / "inference.sock", tmp_path / "management.sock"]
    addresses = {"inference_address": f"unix:{paths[0]}", "management_address": f"unix:{paths[1]}"}
    with live_server(tmp_path, ECHO, addresses) as server:
        assert server.ask("POST", "/predictions/m", b"x" * 500_000)[0] == 200
        assert server.models() == ["m"]
        assert all(path.is_socket() for path in paths)
    assert not any(path.exists() for path in paths)


@pytest.mark.parametrize("kind", ["pem", "keystore"])
def test_tls(tmp_path: Path, kind: str) -> None:
    """Predictions over TLS, with PEM files or a key store; management stays on plain HTTP."""
    files = identity(tmp_path, is_rsa=True)
    settings: dict[str, object] = {"inference_address": "https://127.0.0.1:0"}
    if kind == "pem":
        settings |= {"private_key_file": files.key, "certificate_file": files.certificate}
    else:
        settings |= {"keystore": files.keystore, "keystore_pass": files.password, "keystore_type": "PKCS12"}
    trusting = ssl.create_default_context(cafile=str(files.certificate))
    with live_server(tmp_path, ECHO, settings) as server:
        assert server.ask("POST", "/predictions/m", b"x" * 2_000_000, tls=trusting)[0] == 200
        assert server.ask("GET", "/ping", tls=trusting)[0] == 200
        assert server.models() == ["m"]
        with pytest.raises(ssl.SSLCertVerificationError):
            server.connect(ssl.create_default_context())


def test_more_clients_than_file_descriptors(tmp_path: Path) -> None:
    """Clients beyond what the server may open are turned away without spinning; when they leave, it serves as before."""
    with live_server(tmp_path, ECHO, open_files=200) as server:
        process = psutil.Process(server.pid)
        clients = [server.connect(management=number % 2 == 1) for number in range(600)]
        try:
            before = process.cpu_times()
            time.sleep(2)  # the promise is about this time: nothing happens in it
            after = process.cpu_times()
            assert after.user + after.system - before.user - before.system < 0.5
            assert process.num_fds() <= 200
        finally:
            for client in clients:
                client.close()
        assert server.ask("POST", "/predictions/m")[0] == 200
        assert os.path.exists(f"/proc/{server.pid}")
