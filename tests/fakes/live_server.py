"""A real server in a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ADDRESS = re.compile(r"Serving predictions on (\S+), management on (\S+) \(pid (\d+)\)")


@dataclass(frozen=True)
class LiveServer:
    """A server that serves; its addresses as it tells them."""

    inference: str
    management: str
    pid: int
    log: Path

    def connect(self, tls: ssl.SSLContext | None = None, *, management: bool = False, timeout_s: float = 20) -> socket.socket:
        """A connection to one of its listeners."""
        address = self.management if management else self.inference
        if address.startswith("unix:"):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(timeout_s)
            sock.connect(address[5:])
            return sock
        host, port = address.partition("://")[2].rsplit(":", 1)
        sock = socket.create_connection((host, int(port)), timeout_s)
        return sock if tls is None else tls.wrap_socket(sock, server_hostname=host)

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, tls: ssl.SSLContext | None = None,
        *, management: bool = False,
    ) -> tuple[int, bytes]:  # fmt: skip
        """Status and body of a reply."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = self.connect(tls, management=management)
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers or {}))
            reply = connection.getresponse()
            return reply.status, reply.read()

    def raw(self, data: bytes, *, management: bool = False, timeout_s: float = 5) -> bytes:
        """What comes back for these bytes until the server closes, or until it says nothing more for that long."""
        with self.connect(management=management, timeout_s=timeout_s) as sock:
            received = b""
            with contextlib.suppress(TimeoutError, ConnectionError):
                sock.sendall(data)
                while piece := sock.recv(65536):
                    received += piece
            return received

    def models(self) -> list[str]:
        """The names of its models."""
        found: dict[str, Any] = json.loads(self.ask("GET", "/models?limit=1000", management=True)[1])
        return [model["modelName"] for model in found["models"]]


@contextlib.contextmanager
def live_server(
    folder: Path, handler: str, settings: Mapping[str, object] | None = None, *, open_files: int = 0, workers: int = 1
) -> Iterator[LiveServer]:
    """Serve a handler file named `m` with these settings; SIGTERM must end the server cleanly. `open_files` limits what it may open."""
    (folder / "m.py").write_text(handler)
    lines = {"inference_address": "http://127.0.0.1:0", "management_address": "http://127.0.0.1:0", **(settings or {})}
    config = folder / "config.properties"
    config.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    log = folder / "server.log"

    def limit() -> None:
        if open_files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))

    command = [sys.executable, "-m", "argosy", "serve", str(folder / "m.py"), "--workers", str(workers), "--config", str(config)]
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            preexec_fn=limit, start_new_session=True,
        )  # fmt: skip
    try:
        yield _ready(process, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()[-3000:]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _ready(process: subprocess.Popen[bytes], log: Path) -> LiveServer:
    """Wait until the server tells its addresses."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
            raise AssertionError(f"the server ended: {log.read_text()[-3000:]}")
        found = _ADDRESS.search(log.read_text())
        if found is not None:
            return LiveServer(found[1], found[2], int(found[3]), log)
