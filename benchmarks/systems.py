"""The systems that are measured: how each is started for a workload."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

HERE = Path(__file__).resolve().parent
COMPILER = os.environ.get("CC", "cc")


@dataclass(frozen=True, slots=True)
class Workload:
    """What is asked: `size` zero bytes, `connections` at a time, of `workers` worker processes."""

    name: str
    handler: str
    size: int
    answer: bytes
    workers: int
    connections: int


@dataclass(frozen=True, slots=True)
class Launch:
    """A command and where it answers."""

    command: list[str]
    path: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)


class System(Protocol):
    """Something that serves a workload."""

    name: str

    def launch(self, workload: Workload, port: int, directory: Path) -> Launch:
        """How to start it on `port`; `directory` is its own. Ports up to `port + 1` are free."""


class Floor:
    """The C program: with worker processes for small bodies, dropping large ones in the loop."""

    name = "floor"

    def __init__(self, directory: Path) -> None:
        self._program = directory / "floor"
        subprocess.run([COMPILER, "-O2", "-o", str(self._program), str(HERE / "floor.c")], check=True)

    def launch(self, workload: Workload, port: int, directory: Path) -> Launch:
        mode = "drop" if workload.handler == "size" else "hop"
        return Launch([str(self._program), mode, str(port), str(workload.workers)])


class BarePython:
    """uvloop and httptools answering inside the loop."""

    name = "bare"

    def launch(self, workload: Workload, port: int, directory: Path) -> Launch:
        return Launch([sys.executable, str(HERE / "bare.py"), str(port), str(workload.workers), workload.handler])


class ModelServer:
    """A server with the command line of the original: Argosy, or the original itself."""

    def __init__(self, name: str, program: Path, handlers: Mapping[str, str]) -> None:
        self.name = name
        self._program = program
        self._handlers = handlers

    def launch(self, workload: Workload, port: int, directory: Path) -> Launch:
        handler = self._handlers[workload.handler]
        write_model(directory / "store" / "m", handler)
        config = directory / "config.properties"
        config.write_text(
            f"inference_address=http://127.0.0.1:{port}\nmanagement_address=http://127.0.0.1:{port + 1}\n"
            f"default_workers_per_model={workload.workers}\n"
        )
        options = ["--start", "--foreground", "--models", "m=m", "--model-store", str(directory / "store"), "--mms-config", str(config)]
        logs = {name: str(directory / "logs") for name in ("LOG_LOCATION", "METRICS_LOCATION")}
        path = os.pathsep.join([str(self._program.parent), os.environ.get("PATH", "")])
        return Launch([str(self._program), *options], "/predictions/m", {**logs, "PATH": path, "TMPDIR": str(directory)})


def write_model(directory: Path, handler: str) -> None:
    """An unpacked archive that holds one of our handlers, named `module:function`."""
    module = handler.partition(":")[0]
    (directory / "MAR-INF").mkdir(parents=True)
    shutil.copy(HERE / "handlers" / f"{module}.py", directory)
    manifest = {
        "specificationVersion": "1.0", "implementationVersion": "1.0", "modelServerVersion": "1.0", "runtime": "python",
        "model": {"modelName": "m", "handler": handler},
    }
    (directory / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))


def all_systems(directory: Path) -> list[System]:
    """Every system that can run here. The floor is compiled into `directory`."""
    systems: list[System] = [Floor(directory), BarePython()]
    server = Path(sys.executable).with_name("multi-model-server")
    if server.exists():
        systems.append(ModelServer("argosy", server, {"noop": "noop:handle", "size": "size:predict"}))
    if original := os.environ.get("ARGOSY_ORIGINAL_MMS"):
        handlers = {"noop": "noop:handle", "size": "size_original:handle"}
        systems.append(ModelServer("original", Path(original).absolute() / "multi-model-server", handlers))
    return systems
