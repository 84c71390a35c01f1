"""A real server in a process of its own on free ports, its clients, and a handler that does what its requests say."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any, TypeVar

T = TypeVar("T")

_COMMAND = "from argosy.cli.compatible import multi_model_server; multi_model_server()"

OBEDIENT = dedent('''
    """Does what the body of a request says: a verb, and an argument behind a colon."""
    import ctypes, os, signal, sys, time

    def begun(token):
        path = os.environ.get("BEGUN_FILE")
        if path:
            with open(path, "a") as file:
                file.write(token + "\\n")

    def junk(_):
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2:
                try:
                    os.set_blocking(int(name), False)
                    os.write(int(name), b"\\xff" * 65536)
                except OSError:
                    pass
        return "written"

    def orphans(count):
        for _ in range(int(count)):
            if os.fork() == 0:
                if os.fork() == 0:
                    os._exit(0)
                os._exit(0)
        for _ in range(int(count)):
            os.wait()
        return "left"

    def grandchild(path):
        """A child outside of the group that holds everything open; then the worker dies."""
        if os.fork() == 0:
            os.setsid()
            with open(path + ".new", "w") as file:
                file.write(str(os.getpid()))
            os.rename(path + ".new", path)
            signal.pause()
        while not os.path.exists(path):
            time.sleep(0.005)
        os._exit(7)

    def hold(path):
        """Runs until somebody has opened and closed the pipe."""
        with open(path, "rb") as pipe:
            return pipe.read()

    def spin(_):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while True:
            pass

    def noise(count):
        sys.stdout.write("n" * int(count))
        sys.stderr.write("line\\n" * (int(count) // 5))
        os.write(1, b"\\xff\\x00" * 100)
        return "said"

    def memory(_):
        raise MemoryError("all of it")

    def error(text):
        raise ValueError(text)

    def sleep(seconds):
        time.sleep(float(seconds))
        return seconds

    VERBS = {
        "echo": lambda text: text, "pid": lambda _: str(os.getpid()), "kill": lambda number: os.kill(os.getpid(), int(number)),
        "exit": lambda status: os._exit(int(status)), "sysexit": lambda status: sys.exit(int(status)),
        "segfault": lambda _: ctypes.string_at(0), "abort": lambda _: os.abort(), "env": lambda name: os.environ.get(name, "unset"),
        "none": lambda _: None, "object": lambda _: object(), "large": lambda size: b"z" * int(size), "length": lambda text: str(len(text)),
        "junk": junk, "orphans": orphans, "grandchild": grandchild, "hold": hold, "spin": spin, "noise": noise, "memory": memory,
        "error": error, "sleep": sleep,
    }

    def handle(data, context):
        if data is None:
            return None
        results = []
        for item in data:
            body = item.get("body", item.get("data", b""))
            text = body if isinstance(body, str) else bytes(body).decode()
            verb, _, argument = text.partition(":")
            begun(text)
            results.append(VERBS[verb](argument))
        return results
''')


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client got."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def wait_for(probe: Callable[[], T], what: str, limit_s: float = 30.0) -> T:
    """The first true value of `probe`. Raises `AssertionError` that says what was awaited when that takes too long."""
    deadline = time.monotonic() + limit_s
    while not (value := probe()):
        assert time.monotonic() < deadline, f"waited {limit_s:g} s in vain: {what}"
        time.sleep(0.01)
    return value


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    return state_of(pid) not in ("", "Z", "X")


def state_of(pid: int) -> str:
    """The letter that the kernel has for a process; empty if there is none."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
    return ""


def resident_mb(pid: int) -> float:
    """Memory of a process in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def open_files(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def end(process: subprocess.Popen[Any], gently_s: float = 60.0) -> None:
    """End a process that leads a group: by SIGTERM, after `gently_s` seconds all of its group by force. One that has ended is left alone."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(gently_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@dataclass(slots=True)
class Store:
    """A model store that tests fill."""

    folder: Path

    def add(self, name: str, code: str = OBEDIENT) -> str:
        """Put a model there; its url."""
        target = self.folder / name
        (target / "MAR-INF").mkdir(parents=True)
        manifest = {"runtime": "python", "modelServerVersion": "1.0", "model": {"modelName": name, "handler": "service:handle"}}
        (target / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))
        (target / "service.py").write_text(dedent(code))
        return name


@dataclass(slots=True)
class RunningServer:
    """A server of its own process group in `folder`, and its clients. Use it as a context manager: it kills what is left.

    `settings` are lines of config.properties; one that is None is left out. `prefix` is a command to run it under, e.g. `unshare`.
    """

    folder: Path
    settings: Mapping[str, object] = field(default_factory=dict)
    models: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    prefix: Sequence[str] = ()
    output: list[str] = field(default_factory=list)
    inference: int = 0
    management: int = 0

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._ended = False
        self.store = Store(self.folder / "store")
        self.temp = self.folder / "temp"
        for folder in (self.store.folder, self.temp):
            folder.mkdir(parents=True, exist_ok=True)

    store: Store = field(init=False)
    temp: Path = field(init=False)
    process: subprocess.Popen[str] = field(init=False)
    _changed: threading.Condition = field(init=False)
    _ended: bool = field(init=False)
    _reader: threading.Thread = field(init=False)

    def __enter__(self) -> RunningServer:
        self.launch()
        with contextlib.ExitStack() as undo:
            undo.callback(self.__exit__)
            self.wait_until_ready()
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        end(self.process)
        self._reader.join()

    @contextlib.contextmanager
    def launched(self) -> Iterator[RunningServer]:
        """Only started: nobody waits until it serves."""
        self.launch()
        try:
            yield self
        finally:
            self.__exit__()

    def launch(self) -> None:
        """Start the process and do not wait for anything."""
        settings: dict[str, object] = {
            "inference_address": "http://127.0.0.1:0", "management_address": "http://127.0.0.1:0", "model_store": self.store.folder,
            "default_workers_per_model": 1, "log_location": "none", "metrics_location": "none", **self.settings,
        }  # fmt: skip
        if self.models:
            settings["load_models"] = ",".join(self.models)
        config = self.folder / "config.properties"
        config.write_text("".join(f"{name}={value}\n" for name, value in settings.items() if value is not None))
        self.process = subprocess.Popen(
            [*self.prefix, sys.executable, "-P", "-c", _COMMAND, "--foreground", "--mms-config", str(config)],
            cwd=self.folder, env={**os.environ, "TEMP": str(self.temp), "PYTHONWARNINGS": "error", **self.env}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                with self._changed:
                    self.output.append(line.rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for_line(self, pattern: str, limit_s: float = 30.0) -> re.Match[str]:
        """The first line of its output, past or coming, that matches."""
        at = 0
        deadline = time.monotonic() + limit_s
        with self._changed:
            while True:
                for line in self.output[at:]:
                    found = re.search(pattern, line)
                    if found:
                        return found
                at = len(self.output)
                assert not self._ended, f"the server ended without saying {pattern}:\n" + "\n".join(self.output[-60:])
                assert self._changed.wait(deadline - time.monotonic()), f"the server did not say {pattern}:\n" + "\n".join(self.output[-60:])

    def wait_until_ready(self) -> None:
        """Note its ports and wait until the models of the start have loaded, or failed to."""
        found = self.wait_for_line(r"Serving predictions on \S*:(\d+), management on \S*:(\d+)")
        self.inference, self.management = int(found[1]), int(found[2])
        wait_for(lambda: "still loading" not in self.ping().text, "the models have loaded")

    # -- clients -----------------------------------------------------------------------------------------------------

    def connect(self, timeout_s: float = 60.0, *, management: bool = False) -> http.client.HTTPConnection:
        """A connection of one's own."""
        return http.client.HTTPConnection("127.0.0.1", self.management if management else self.inference, timeout=timeout_s)

    def predict(self, model: str, body: str | bytes, timeout_s: float = 60.0, kind: str = "text/plain") -> Reply:
        """One prediction on a connection of its own; `kind` is the content type."""
        with contextlib.closing(self.connect(timeout_s)) as connection:
            return ask(connection, model, body, kind)

    def manage(self, method: str, path: str, timeout_s: float = 60.0) -> Reply:
        """One management request."""
        with contextlib.closing(self.connect(timeout_s, management=True)) as connection:
            connection.request(method, path)
            return _reply(connection)

    def ping(self) -> Reply:
        """What /ping says."""
        with contextlib.closing(self.connect(10.0)) as connection:
            connection.request("GET", "/ping")
            return _reply(connection)

    def register(self, name: str, **query: object) -> Reply:
        """Register a model of the store and wait for its workers; `query` are more parameters."""
        values = {"url": name, "initial_workers": 1, "synchronous": "true", **query}
        return self.manage("POST", "/models?" + "&".join(f"{key}={value}" for key, value in values.items()))

    def describe(self, name: str) -> dict[str, Any]:
        """What the server says of a model."""
        reply = self.manage("GET", f"/models/{name}")
        assert reply.status == 200, reply
        found: list[dict[str, Any]] | dict[str, Any] = reply.json
        return found[0] if isinstance(found, list) else found

    def workers(self, name: str) -> list[int]:
        """The processes of a model's workers."""
        return [worker["pid"] for worker in self.describe(name)["workers"] if worker.get("pid")]

    @contextlib.contextmanager
    def clients(self, count: int, kind: str = "text/plain") -> Iterator[Callable[[str, str], Future[Reply]]]:
        """So many clients at once; gives a function that starts a prediction."""
        with ThreadPoolExecutor(count) as pool:
            yield lambda model, body: pool.submit(self.predict, model, body, 60.0, kind)

    # -- the process -------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The process of the server."""
        return self.process.pid

    def stop(self, limit_s: float = 60.0) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(limit_s)

    def wait(self, limit_s: float = 60.0) -> int:
        """The exit status, when it has ended."""
        status = self.process.wait(limit_s)
        self._reader.join(limit_s)
        return status

    def leftovers(self) -> list[str]:
        """Files that it left in its temporary folder."""
        return sorted(str(path.relative_to(self.temp)) for path in self.temp.rglob("*") if not path.is_dir())


@contextlib.contextmanager
def serving(
    folder: Path, *models: str, settings: Mapping[str, object] | None = None, env: Mapping[str, str] | None = None, prefix: Sequence[str] = ()
) -> Iterator[RunningServer]:
    """A server with these models, each with the obedient handler and one worker; `begun` in its folder lists what handlers have begun."""
    begun = folder / "begun"
    begun.touch()
    server = RunningServer(folder, settings or {}, models, {"BEGUN_FILE": str(begun), **(env or {})}, prefix)
    for model in models:
        server.store.add(model)
    with server:
        yield server


def begun(server: RunningServer) -> list[str]:
    """The bodies that handlers have begun to work on, in order."""
    return (server.folder / "begun").read_text().splitlines()


def ask(connection: http.client.HTTPConnection, model: str, body: str | bytes, kind: str = "text/plain") -> Reply:
    """One prediction on a connection that stays."""
    connection.request("POST", f"/predictions/{model}", body, {"content-type": kind})
    return _reply(connection)


def _reply(connection: http.client.HTTPConnection) -> Reply:
    response = connection.getresponse()
    return Reply(response.status, response.read(), {name.lower(): value for name, value in response.getheaders()})
