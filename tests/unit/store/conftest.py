"""What the tests of the store share: archives and a small web server."""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fakes.certificates import identity

MANIFEST = b'{"model": {"modelName": "m", "handler": "service:handle"}}'
MODEL = {"service.py": b"def handle(data, context):\n    return data\n", "sub/weights.bin": bytes(range(256)), "MAR-INF/MANIFEST.json": MANIFEST}

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def model_files() -> dict[str, bytes]:
    """The files of a small model."""
    return dict(MODEL)


@pytest.fixture
def zipped() -> Callable[[Mapping[str, bytes]], bytes]:
    """Makes a zip of files."""

    def make(files: Mapping[str, bytes]) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return buffer.getvalue()

    return make


@pytest.fixture
def tarred() -> Callable[[Mapping[str, bytes]], bytes]:
    """Makes a tar.gz of files."""

    def make(files: Mapping[str, bytes]) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for name, data in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
        return buffer.getvalue()

    return make


@pytest.fixture
def model_dir(tmp_path: Path, model_files: dict[str, bytes]) -> Path:
    """The small model as a folder."""
    directory = tmp_path / "model"
    for name, data in model_files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return directory


@dataclass
class WebServer:
    """A web server on a loopback port; `answers` decides by path, `requests` has the headers of what was asked."""

    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0
    scheme: str = "http"

    def url(self, path: str) -> str:
        """The whole address of a path."""
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def serve(self, path: str, body: bytes, status: int = 200, **headers: str) -> str:
        """Answer that path with these bytes; returns the whole address."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            handler.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(body)

        self.answers[path] = answer
        return self.url(path)

    def redirect(self, path: str, location: str) -> str:
        """Send who asks for that path elsewhere; returns the whole address."""
        return self.serve(path, b"", 302, Location=location)


@contextlib.contextmanager
def running(tls: ssl.SSLContext | None = None) -> Iterator[WebServer]:
    """A running web server."""
    server = WebServer(scheme="https" if tls else "http")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.requests.append((self.path, dict(self.headers.items())))
            answer = server.answers.get(self.path.partition("?")[0])
            if answer is None:
                self.send_error(404)
            else:
                answer(self)

        def log_message(self, format: str, *args: object) -> None:
            """Tests need no access log."""

    class Server(ThreadingHTTPServer):
        def get_request(self) -> tuple[socket.socket, Any]:
            client, peer = super().get_request()
            return (client if tls is None else tls.wrap_socket(client, server_side=True, do_handshake_on_connect=False)), peer

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that does not believe the certificate goes away."""

    with Server(("127.0.0.1", 0), Handler) as running:
        server.port = running.server_address[1]
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        running.shutdown()
        thread.join()


@pytest.fixture
def web() -> Iterator[WebServer]:
    """A running web server."""
    with running() as server:
        yield server


@pytest.fixture
def secure_web(tmp_path: Path) -> Iterator[tuple[WebServer, Path]]:
    """A web server with TLS for 127.0.0.1 and localhost, and the file of its certificate, which no authority has signed."""
    made = identity(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    with running(context) as server:
        yield server, made.certificate
