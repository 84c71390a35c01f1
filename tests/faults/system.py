"""The server that the faults befall: Argosy, or with ARGOSY_FAULT_SYSTEM=original the Multi Model Server of ARGOSY_ORIGINAL_MMS, for comparison."""

from __future__ import annotations

import contextlib
import http.client
import math
import os
import secrets
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from argosy.testing.server import Reply, RunningServer, is_alive, is_free, wait_for

WICKED = Path(__file__).with_name("wicked.py").read_text()
IS_ORIGINAL = os.environ.get("ARGOSY_FAULT_SYSTEM") == "original"
PATIENCE_S = 20.0
"""How long clients wait for an answer of the original, which does not always give one."""


@dataclass(slots=True)
class OriginalServer(RunningServer):
    """Multi Model Server 1.1.11: a launcher, a Java process, and workers. An answer that does not come in time has the status 0."""

    java: int = 0
    """The Java process, once it has been found."""

    def launch(self) -> None:
        """Start it on two free ports."""
        self.inference, self.management = low_port(), low_port()
        settings: dict[str, object] = {
            "inference_address": f"http://127.0.0.1:{self.inference}", "management_address": f"http://127.0.0.1:{self.management}",
            "model_store": self.store.folder, "default_workers_per_model": 1, **self.settings,
        }  # fmt: skip
        for name, port in (("inference_address", self.inference), ("management_address", self.management)):
            if str(settings.get(name, "")).endswith(":0"):
                settings[name] = f"{str(settings[name])[:-1]}{port}"
        if self.models:
            settings["load_models"] = ",".join(self.models)
        config = self.folder / "config.properties"
        config.write_text("".join(f"{name}={value}\n" for name, value in settings.items() if value is not None))
        home = Path(os.environ["ARGOSY_ORIGINAL_MMS"]).absolute()
        logs = {name: str(self.folder / "logs") for name in ("LOG_LOCATION", "METRICS_LOCATION")}
        path = os.pathsep.join([str(home), os.environ.get("PATH", "")])
        self.process = subprocess.Popen(
            [*self.prefix, str(home / "multi-model-server"), "--start", "--foreground", "--mms-config", str(config)],
            cwd=self.folder, env={**os.environ, **logs, "PATH": path, "TMPDIR": str(self.temp), "TEMP": str(self.temp), **self.env},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_until_ready(self) -> None:
        """Wait until all workers of the start are there."""
        wait_for(self._is_up, "the original server answers", 40)
        assert is_alive(self.pid)  # it is looked for now, since its launcher may end first
        if "management_address" in self.settings:  # it may speak TLS
            wait_for(lambda: not is_free(self.management), "it listens for management too", 20)
            return
        for model in self.models:
            wait_for(lambda: self._is_ready(model), "its workers are ready", 40)  # noqa: B023

    def _is_ready(self, model: str) -> bool:
        with contextlib.suppress(AssertionError, LookupError):
            return all(worker["status"] == "READY" for worker in self.describe(model)["workers"])
        return False

    def __exit__(self, *_: object) -> None:
        """Kill it: SIGTERM ends the launcher alone."""
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pid in family(Path(self.env["BEGUN_FILE"])):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self._reader.join(10)

    def _is_up(self) -> bool:
        with contextlib.suppress(OSError):
            return self.ping().status == 200
        return False

    def connect(self, timeout_s: float = 60.0, *, management: bool = False) -> http.client.HTTPConnection:
        """A connection that waits no longer than is reasonable."""
        return RunningServer.connect(self, min(timeout_s, PATIENCE_S), management=management)

    def predict(self, model: str, body: str | bytes, timeout_s: float = 60.0, kind: str = "text/plain") -> Reply:
        """One prediction."""
        return _in_time(lambda: RunningServer.predict(self, model, body, timeout_s, kind))

    def manage(self, method: str, path: str, timeout_s: float = 60.0) -> Reply:
        """One management request."""
        return _in_time(lambda: RunningServer.manage(self, method, path, timeout_s))

    def stop(self, limit_s: float = 60.0) -> int:
        """SIGTERM ends its launcher; what does not follow in a second is killed. -1 if anything was."""
        self.process.send_signal(signal.SIGTERM)
        left = seconds_until(lambda: not family(Path(self.env["BEGUN_FILE"])), 1) == math.inf
        self.__exit__()
        return -1 if left else self.process.returncode

    @property
    def pid(self) -> int:
        """The Java process; before it is there, the launcher."""
        with contextlib.suppress(psutil.Error):
            found = [child.pid for child in psutil.Process(self.process.pid).children(recursive=True) if child.name() == "java"]
            self.java = found[0] if found else self.java
        return self.java or self.process.pid

    def workers(self, name: str) -> list[int]:
        """The processes that run handlers: children of children of the server."""
        with contextlib.suppress(psutil.Error):
            helpers = psutil.Process(self.pid).children()
            return [child.pid for helper in helpers for child in helper.children()] or [helper.pid for helper in helpers]
        return []


def _in_time(ask: Callable[[], Reply]) -> Reply:
    try:
        return ask()
    except (OSError, http.client.HTTPException):
        return Reply(0, b"", {})


def low_port() -> int:
    """A free port below 32768: the original takes no other."""
    while True:
        port = 15_000 + secrets.randbelow(17_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextlib.contextmanager
def system(
    folder: Path, *models: str, workers: int = 2, settings: Mapping[str, object] | None = None, env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (), code: str = WICKED,
) -> Iterator[RunningServer]:  # fmt: skip
    """A server with these models, each with the wicked handler or the one given. Afterwards no process may be left that has its environment."""
    begun = folder / "begun"
    begun.touch()
    kind = OriginalServer if IS_ORIGINAL else RunningServer
    options = {"default_workers_per_model": workers, **(settings or {})}
    server = kind(folder, options, models, {"BEGUN_FILE": str(begun), **(env or {})}, prefix)
    for model in models:
        server.store.add(model, code)
    try:
        with server:
            yield server
    finally:
        left = family(begun)
        try:
            wait_for(lambda: not any(is_alive(pid) for pid in left), "all processes are gone", 15)
        finally:
            for pid in family(begun):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def launched(folder: Path, settings: Mapping[str, object], prefix: Sequence[str] = ()) -> Iterator[RunningServer]:
    """A server that has only been started: nobody waits until it serves."""
    begun = folder / "begun"
    begun.touch()
    kind = OriginalServer if IS_ORIGINAL else RunningServer
    with kind(folder, settings, (), {"BEGUN_FILE": str(begun)}, prefix).launched() as server:
        yield server


def seconds_until(probe: Callable[[], object], limit_s: float = 30.0) -> float:
    """Seconds until `probe` is true; infinity, if it is not within the limit."""
    begin = time.monotonic()
    try:
        wait_for(probe, "", limit_s)
    except AssertionError:
        return math.inf
    return time.monotonic() - begin


def in_s(seconds: float, digits: int = 1) -> str:
    """For the table. Nobody has waited less than ten seconds for what did not come."""
    return "more than 10 s" if seconds == math.inf else f"{seconds:.{digits}f} s"


def listed(server: RunningServer) -> list[str]:
    """The models that are registered; a question mark if the server does not say."""
    reply = server.manage("GET", "/models?limit=100")
    return [model["modelName"] for model in reply.json["models"]] if reply.status == 200 else ["?"]


def family(begun: Path) -> list[int]:
    """Every living process that has inherited the environment of the server, wherever it went."""
    mark = f"BEGUN_FILE={begun}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0") and is_alive(int(entry.name)):
                    found.append(int(entry.name))
    return found


def begun_twice(server: RunningServer) -> int:
    """How many requests a handler has begun more than once."""
    lines = Counter(line for line in (server.folder / "begun").read_text("utf-8", "replace").splitlines() if ":t-" in line)
    return sum(count - 1 for count in lines.values())


def run_for(seconds: float) -> None:
    """Let a fault go on for its time, which is a part of what is promised: nothing has to happen in it."""
    time.sleep(seconds)


def arena_mb(pid: int, model: str) -> float:
    """Memory in MB that a model's arena for large bodies has ever needed at once: a slot that was given back is used again before a new one."""
    total = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(entry).startswith(f"/memfd:argosy-{model} "):
                total += entry.stat().st_blocks * 512
    return total / 1e6


def tree_mb(pid: int) -> float:
    """Memory of a process and its descendants in MB, shared pages counted once."""
    processes = [psutil.Process(pid)]
    processes += processes[0].children(recursive=True)
    total = 0
    for process in processes:
        with contextlib.suppress(OSError, psutil.Error, StopIteration):
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1e3
