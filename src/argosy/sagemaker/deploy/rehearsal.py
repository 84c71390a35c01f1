"""The archive is tried on this machine first: in its image if that can run here, else in a process, as SageMaker would start it."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy.artifact import Artifact
from argosy.sagemaker.deploy.images import Commands, LocalImage
from argosy.sagemaker.deploy.step import Action
from argosy.store import manifest, unpack

_ADDRESS = re.compile(r"^  inference +http://127\.0\.0\.1:(\d+)", re.MULTILINE)
_RUNNERS = ("docker", "podman")
_PORT = 8080
_GIVEN_UP = re.compile("did not load|could not load again")
"""What Argosy prints when a second attempt failed too; other servers are waited for."""
_TELLING = {"ARGOSY_ERROR_DETAIL": "traceback"}
"""The answer to a sample that fails tells why; nobody else asks."""
_ANSWER_S = 60
_PAUSE_S = 0.2
_TAIL = 30


@dataclass(frozen=True, slots=True)
class Sample:
    """A request to try, and its content type."""

    body: bytes
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Running:
    """Something that serves the model at a port of this machine."""

    port: int
    is_alive: Callable[[], bool]
    output: Callable[[], str]


class Rehearsal:
    """Unpacks the archive, starts it, waits for `/ping`, and sends the sample if there is one. Leaves nothing behind."""

    title = "check"

    def __init__(
        self, artifact: Artifact, image: LocalImage | None, environment: Mapping[str, str], sample: Sample | None, timeout_s: float,
        pause: Callable[[float], None], is_wanted: Callable[[], bool],
    ) -> None:
        self._artifact = artifact
        self._image = image
        self._environment = environment
        self._sample = sample
        self._timeout_s = timeout_s
        self._pause = pause
        self._is_wanted = is_wanted
        self.target = artifact.path.name

    @property
    def _place(self) -> str:
        has_runner = self._image is not None and self._image.tool.name in _RUNNERS
        return f"the image {self._image.reference}" if has_runner and self._image is not None else "a process on this machine"

    def observe(self) -> bool:
        """Whether this archive has yet to be tried."""
        return self._is_wanted()

    def decide(self, seen: bool) -> Sequence[Action]:
        """See `Step`."""
        what = "/ping and a sample" if self._sample is not None else "/ping"
        return [Action("try", f"{self.target} answers {what} in {self._place}")] if seen else []

    def apply(self, action: Action) -> None:
        """Try it. Raises `ArgosyError` LOAD_FAILED with what the server printed."""
        environment = {**_TELLING, **self._environment}
        with tempfile.TemporaryDirectory(prefix="argosy-check-") as scratch:
            folder = Path(scratch, "model")
            with self._artifact.path.open("rb") as file:
                unpack.unpack(file, folder, self.target)
            _open_to_readers(folder)
            with self._started(folder, Path(scratch), environment) as running:
                self._examine(running)

    def _started(self, folder: Path, scratch: Path, environment: Mapping[str, str]) -> contextlib.AbstractContextManager[Running]:
        if self._image is not None and self._image.tool.name in _RUNNERS:
            return _container(self._image, folder, environment)
        return _process(folder, scratch, environment, self._pause, self._timeout_s)

    def _examine(self, running: Running) -> None:
        waited_s, status = 0.0, None
        while status != 200:
            if not running.is_alive():
                raise _failure(f"{self.target} does not start in {self._place}: it ended", running)
            if waited_s > self._timeout_s:
                said = f"/ping gave {status or 'nothing'} for {self._timeout_s:.0f} s"
                raise _failure(f"{self.target} does not start in {self._place}: {said}", running)
            self._pause(_PAUSE_S)
            waited_s += _PAUSE_S
            status, _ = _ask(running.port, "GET", "/ping")
            if status not in (None, 200) and _GIVEN_UP.search(running.output()):
                raise _failure(f"{self.target} does not load in {self._place}", running)
        if self._sample is not None:
            status, answer = _ask(running.port, "POST", "/invocations", self._sample.body, self._sample.content_type)
            if status != 200:
                raise _failure(f"{self.target} answers the sample with {status or 'nothing'}", running, answer.decode("utf-8", "replace"))


def _failure(message: str, running: Running, answer: str = "") -> ArgosyError:
    lines = running.output().splitlines()[-_TAIL:]
    detail = "\n".join(filter(None, [answer, "what it printed:", *(f"  {line}" for line in lines)]))
    return ArgosyError(ErrorCode.LOAD_FAILED, f"{message}. Correct it, or leave the check out with --no-check.", detail=detail)


def _ask(port: int, method: str, path: str, body: bytes | None = None, content_type: str = "") -> tuple[int | None, bytes]:
    """Status and body; None when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_S)
    try:
        connection.request(method, path, body, {"Content-Type": content_type} if content_type else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return None, b""
    finally:
        connection.close()


def _open_to_readers(folder: Path) -> None:
    """The user of the container is another one."""
    folder.parent.chmod(0o755)
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))


@contextlib.contextmanager
def _process(folder: Path, scratch: Path, environment: Mapping[str, str], pause: Callable[[float], None], timeout_s: float) -> Iterator[Running]:
    is_flat = (folder / manifest.FOLDER).is_dir()
    targets = [str(folder)] if is_flat else ["--model-store", str(folder), "ALL"]
    command = [sys.executable, "-m", "argosy", "serve", "--port", "0", "--workers", "1", *targets]
    said = scratch / "output"
    with said.open("wb") as out:
        server = subprocess.Popen(command, cwd=scratch, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        port = _announced(server, said, pause, timeout_s)
        yield Running(port, lambda: server.poll() is None, lambda: said.read_text("utf-8", "replace"))
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _announced(server: subprocess.Popen[bytes], said: Path, pause: Callable[[float], None], timeout_s: float) -> int:
    """The port that the server says it has; 0 if it ends before, or says nothing in time."""
    waited_s = 0.0
    while (found := _ADDRESS.search(said.read_text("utf-8", "replace"))) is None:
        if server.poll() is not None or waited_s > timeout_s:
            return 0
        pause(_PAUSE_S)
        waited_s += _PAUSE_S
    return int(found[1])


@contextlib.contextmanager
def _container(image: LocalImage, folder: Path, environment: Mapping[str, str]) -> Iterator[Running]:
    tool, commands = image.tool.name, image.tool.commands
    name = f"argosy-check-{secrets.token_hex(4)}"
    try:
        port = _run(commands, tool, name, image.reference, folder, environment)
        yield Running(
            port, lambda: (commands.ask(tool, "inspect", "--format", "{{.State.Running}}", name) or "").strip() == "true",
            lambda: commands.output(tool, "logs", name))  # fmt: skip
    finally:
        commands.ask(tool, "rm", "--force", "--volumes", name)


def _run(commands: Commands, tool: str, name: str, image: str, folder: Path, environment: Mapping[str, str]) -> int:
    """Start it with its port published, or, where there are no networks for containers, in that of this machine; the port."""
    variables = [argument for pair in environment.items() for argument in ("--env", "=".join(pair))]
    shared = ("--volume", f"{folder}:/opt/ml/model:ro", *variables)
    commands.ask(tool, "run", "--detach", "--name", name, "--publish", f"127.0.0.1::{_PORT}", *shared, image, "serve")
    published = re.search(r":(\d+)\s*$", commands.ask(tool, "port", name, f"{_PORT}/tcp") or "", re.MULTILINE)
    if published is not None:
        return int(published[1])
    commands.ask(tool, "rm", "--force", name)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    bound = ("--network", "host", "--env", f"SAGEMAKER_BIND_TO_PORT={port}")
    commands.do(tool, "run", "--detach", "--name", name, *bound, *shared, image, "serve")
    return port
