"""A server started as SageMaker starts containers: by the word `serve`, environment variables and a folder of models, and its platform."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from argosy.testing.server import OBEDIENT, Reply, end, wait_for

SERVE = ("-m", "argosy", "serve")
MULTI_MODEL_SERVER = ("-c", "from argosy.cli.compatible import multi_model_server; multi_model_server()", "--start", "--foreground")
_LISTENING = "0A"


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])


def free_ports() -> tuple[int, int]:
    """Two neighbouring ports that nobody has now."""
    while True:
        low = free_port()
        with socket.socket() as probe, contextlib.suppress(OSError, OverflowError):
            probe.bind(("0.0.0.0", low + 1))
            return low, low + 1


def manifest(name: str, handler: str = "service:handle") -> str:
    """The text of a manifest."""
    return json.dumps({"runtime": "python", "modelServerVersion": "1.0", "model": {"modelName": name, "handler": handler}})


@dataclass(slots=True)
class EndpointContainer:
    """A server with its models in `folder/ml`. As a context manager it starts one and kills what is left.

    `command` follows the name of the interpreter. With `port` 0 a free one is chosen and the platform's variable says it.
    """

    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = SERVE
    prefix: Sequence[str] = ()
    port: int = 0
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def base(self) -> Path:
        """What a real container sees as /opt/ml."""
        return self.folder / "ml"

    @property
    def output(self) -> str:
        """What it has printed."""
        return (self.folder / "output").read_text("utf-8", "replace")

    def write(self, path: str, text: str | bytes) -> Path:
        """Put a file below the platform's folder."""
        target = self.base / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode() if isinstance(text, str) else text)
        return target

    def add(self, path: str, name: str, code: str = OBEDIENT) -> Path:
        """Put a model with a manifest into a folder below the platform's; the folder."""
        self.write(f"{path}/MAR-INF/MANIFEST.json", manifest(name))
        return self.write(f"{path}/service.py", code).parent

    def launch(self) -> None:
        """Start it and do not wait for anything."""
        (self.base / "model").mkdir(parents=True, exist_ok=True)
        (self.folder / "temp").mkdir(exist_ok=True)
        self.port = self.port or free_port()
        ours = {"SAGEMAKER_BASE_DIR": str(self.base), "SAGEMAKER_BIND_TO_PORT": str(self.port), "TEMP": str(self.folder / "temp")}
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("SAGEMAKER_", "ARGOSY_"))}
        with (self.folder / "output").open("wb") as out:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-P", *self.command], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env={**clean, **ours, "PYTHONWARNINGS": "error", **self.env}, start_new_session=True)  # fmt: skip

    def __enter__(self) -> EndpointContainer:
        self.launch()
        try:
            wait_for(self._is_healthy, "a healthy /ping", 60)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _is_healthy(self) -> bool:
        assert self.process.poll() is None, self.output
        with contextlib.suppress(OSError):
            return self.ask("GET", "/ping", timeout_s=10.0).status == 200
        return False

    def __exit__(self, *_: object) -> None:
        end(self.process)

    def ask(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None, *, port: int = 0,
        timeout_s: float = 60.0,
    ) -> Reply:
        """One request, with these headers and no others but the client's own."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=timeout_s)) as connection:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Reply(response.status, response.read(), {name.lower(): value for name, value in response.getheaders()})

    def invoke(self, body: bytes | str, **headers: str) -> Reply:
        """What the platform does with a prediction; underscores in names of headers stand for hyphens."""
        return self.ask("POST", "/invocations", body, {name.replace("_", "-"): value for name, value in headers.items()})

    def load(self, name: str, url: str | None = None) -> Reply:
        """Load a model of a multi-model container; it lies where the platform puts it unless `url` says something else."""
        body = json.dumps({"model_name": name, "url": url or str(self.base / "models" / name / "model")})
        return self.ask("POST", "/models", body, {"Content-Type": "application/json"})

    def children(self) -> set[int]:
        """The processes that belong to the server, itself aside."""
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError, IndexError):
                    parent, state = _parent(int(entry.name))
                    if parent == self.process.pid and state not in "ZX":
                        found.add(int(entry.name))
        return found

    def memory_files(self) -> int:
        """How many memory files the server has mapped: one for each model's bodies, one for each worker."""
        maps = Path(f"/proc/{self.process.pid}/maps").read_text()
        return len(set(re.findall(r"memfd:(argosy-\S*)", maps)))

    def listening(self) -> set[int]:
        """The TCP ports that the server and its workers listen on, as the kernel says."""
        inodes = {inode for pid in (self.process.pid, *self.children()) for inode in _sockets(pid)}
        found = set()
        for table in ("tcp", "tcp6"):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and fields[9] in inodes:
                    found.add(int(fields[1].rpartition(":")[2], 16))
        return found


def _parent(pid: int) -> tuple[int, str]:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    return int(fields[1]), fields[0]


def _sockets(pid: int) -> set[str]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(entry))
            if match is not None:
                found.add(match[1])
    return found
