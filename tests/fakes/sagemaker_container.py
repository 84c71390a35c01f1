"""A container that does as its requests say: `python sagemaker_container.py PORT [MOST_MODELS [MODEL_FOLDER]]`, or in a thread of the test.

A request to `/invocations` or `/models/NAME/invoke` whose body is a JSON object with `do` gets what that says: `status`, `headers`, `body`,
`chunks` (sent as such), `breaks` (the connection ends in the middle), `hang` (no answer until `release`), `die` (the process ends), `deaf`
(it takes no more connections), `forget` (all target models). Every other
request gets what the container saw of it: `{"path", "headers", "body"}`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class StandIn(ThreadingHTTPServer):
    """Listens on loopback. `most_models` are loaded at once; a target model with a file `refuse` gets 400."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int = 0, most_models: int = 2) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.most_models = most_models
        self.models: dict[str, str] = {}
        """Loaded target models: name, url."""
        self.calls: list[str] = []
        """Of the multi-model API, in order."""
        self.ping_status = 200
        self.hanging = threading.Semaphore(0)
        """Counts requests that hang."""
        self.released = threading.Event()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])


@contextmanager
def stand_in(most_models: int = 2) -> Iterator[StandIn]:
    """One in a thread of this process."""
    server = StandIn(0, most_models)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StandIn

    def log_message(self, format: str, *args: Any) -> None:
        line = format % args
        if "/ping" not in line:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()

    def do_GET(self) -> None:
        if self.path == "/ping":
            self._reply(self.server.ping_status, b"")
        else:
            self._reply(404, b"")

    def do_DELETE(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server.calls.append(f"DELETE {name}")
        known = self.server.models.pop(name, None) is not None
        self._reply(200 if known else 404, b"{}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        if self.path == "/models":
            self._load(json.loads(body))
            return
        parts = self.path.split("/")
        if parts[1] == "models" and parts[2] not in self.server.models:
            self.server.calls.append(f"MISSING {parts[2]}")
            self._reply(404, b"no such model")
            return
        asked = _asked(body)
        if asked is None:
            seen = {"path": self.path, "headers": dict(self.headers.items()), "body": body.decode("latin-1")}
            self._reply(200, json.dumps(seen).encode(), {"Content-Type": "application/json"})
        else:
            self._obey(asked)

    def _load(self, order: dict[str, str]) -> None:
        name, url = order["model_name"], order["url"]
        self.server.calls.append(f"POST {name}")
        if name in self.server.models:
            self._reply(409, b"loaded already")
        elif len(self.server.models) >= self.server.most_models:
            self._reply(507, b"no memory")
        elif not Path(url).is_dir():
            self._reply(404, f"there is no {url}".encode())
        elif (Path(url) / "refuse").exists():
            self._reply(400, b"a broken model")
        else:
            self.server.models[name] = url
            self._reply(200, b"{}")

    def _obey(self, asked: dict[str, Any]) -> None:
        if asked.get("die"):
            sys.stdout.write("dying as told\n")
            sys.stdout.flush()
            os._exit(7)
        if asked.get("deaf"):
            self.server.shutdown()
            self.server.server_close()
        if asked.get("forget"):
            self.server.models.clear()
        if "ping_status" in asked:
            self.server.ping_status = asked["ping_status"]
        if asked.get("hang"):
            self.log_message("asked to hang")
            self.server.hanging.release()
            self.server.released.wait(60)
        if "chunks" in asked:
            self._chunked(asked)
        else:
            body = asked.get("body", "").encode() * asked.get("times", 1)
            self._reply(asked.get("status", 200), body, asked.get("headers"), asked.get("breaks", False))

    def _chunked(self, asked: dict[str, Any]) -> None:
        self.send_response(asked.get("status", 200))
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in asked.get("headers", {}).items():
            self.send_header(name, value)
        self.end_headers()
        for chunk in asked["chunks"]:
            data = chunk.encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        if asked.get("stall"):
            self.server.hanging.release()
            self.server.released.wait(60)
        if not asked.get("breaks"):
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None, breaks: bool = False) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) + breaks))
        self.end_headers()
        self.wfile.write(body)
        if breaks:
            self.close_connection = True


def _asked(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found["do"] if isinstance(found, dict) and isinstance(found.get("do"), dict) else None


def do(**asked: Any) -> bytes:
    """The body that has the container do this."""
    return json.dumps({"do": asked}).encode()


if __name__ == "__main__":
    server = StandIn(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2)
    sys.stdout.write(f"model folder {sorted(os.listdir(sys.argv[3])) if len(sys.argv) > 3 else ''}\n")
    sys.stdout.flush()
    server.serve_forever()
    threading.Event().wait()
