"""Real images and containers for tests, in the folder that `scripts/images` made and `ARGOSY_IMAGES` names: built and run by podman."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import itertools
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from argosy.testing.server import wait_for
from fakes.container import Answer

BASE = "localhost/argosy:base-cpu"
"""The base image, made from the sources that are tested."""
DEBIAN = "localhost/debian-base:bookworm"
"""What it starts from."""
STORE = "/opt/ml/model"
ARTICLE = Path(__file__).resolve().parents[2] / "examples" / "paddle_sentiment" / "Dockerfile.paddle.mms"
"""What adds PaddlePaddle to the base image."""
_FOLDER = os.environ.get("ARGOSY_IMAGES", "")
_NUMBERS = itertools.count(1)
_SERVING = re.compile(r"Serving predictions on http://[\d.]+:(\d+), management on http://[\d.]+:(\d+)")


def why_not() -> str:
    """Why no images can be built and run here; empty if they can."""
    if not _FOLDER:
        return "ARGOSY_IMAGES does not name a folder made by scripts/images"
    return "" if Path(_FOLDER, "built").exists() else f"{_FOLDER} holds no base image: run scripts/images {_FOLDER}"


def environment() -> dict[str, str]:
    """What podman, buildah and the commands of Argosy need in their environment."""
    lines = Path(_FOLDER, "env").read_text().splitlines()
    words = [word for line in lines for word in shlex.split(line) if "=" in word]
    return {**os.environ, **dict(word.split("=", 1) for word in words)}


def podman(*argv: str | Path) -> str:
    """What a command of podman prints on its standard output. Fails with what it said."""
    done = subprocess.run(["podman", *map(str, argv)], env=environment(), capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"podman {argv[0]}: {done.stderr}"
    return done.stdout


@contextlib.contextmanager
def built(context: Path, tag: str, dockerfile: str | None = None) -> Iterator[str]:
    """An image built from a folder with a Dockerfile, or with the text of one, for as long as the block lasts; its name."""
    if dockerfile is not None:
        (context / "Dockerfile").write_text(dockerfile)
    podman("build", "--quiet", "--tag", tag, context)
    try:
        yield f"localhost/{tag}"
    finally:
        podman("rmi", "--force", tag)


def article_image() -> str:
    """The image of the article about PaddlePaddle on SageMaker, from its own Dockerfile with our tag. Made once (800 MB) and kept; its name."""
    name = "localhost/paddle-mms:latest"
    folder = Path(_FOLDER, "paddle-mms")
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # what is unchanged comes from the cache
        podman("build", "--quiet", "--tag", "paddle-mms", "--file", ARTICLE, folder)
    return name


@dataclass(slots=True)
class Running:
    """A container. It listens on ports that the system chose, on the machine's own loopback."""

    name: str
    process: subprocess.Popen[bytes]
    """`podman run`, which ends with the container's exit status."""
    _output: Path
    started_at: float = field(default_factory=time.monotonic)

    @property
    def output(self) -> str:
        """What the container has printed."""
        return self._output.read_text("utf-8", "replace")

    @property
    def ports(self) -> tuple[int, int]:
        """Of predictions, and of management. Waits until the server says them."""
        found = wait_for(self._serving, f"the server in {self.name}", 60)
        assert found is not None
        return int(found[1]), int(found[2])

    def _serving(self) -> re.Match[str] | None:
        assert self.process.poll() is None, self.output
        return _SERVING.search(self.output)

    @property
    def pid(self) -> int:
        """Of process 1 of the container, as the machine numbers it."""
        return int(podman("inspect", "--format", "{{.State.Pid}}", self.name))

    def ask(self, method: str, path: str, body: bytes | str | None = None, kind: str = "", *, management: bool = False) -> Answer:
        """One request; `kind` is the content type."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[management], timeout=60)
        try:
            connection.request(method, path, body, {"content-type": kind} if kind else {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), answer.getheader("content-type"))
        finally:
            connection.close()

    def wait_until_healthy(self) -> float:
        """Wait until `/ping` answers 200; the seconds since the container was asked for."""
        wait_for(lambda: self.ask("GET", "/ping").status == 200, f"/ping of {self.name}: {self.output}", 60)
        return time.monotonic() - self.started_at

    def stop(self, limit_s: int = 30) -> int:
        """What platforms do: SIGTERM, and SIGKILL after the limit. The exit status of the container."""
        podman("stop", "--time", str(limit_s), self.name)
        return self.process.wait(30)


@contextlib.contextmanager
def running(
    folder: Path,
    image: str,
    *command: str,
    volumes: Mapping[Path, str] | None = None,
    env: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> Iterator[Running]:
    """A container of the image, removed at the end whatever happens. `folder` takes its output, `volumes` are mounted read-only.

    The system chooses its ports, unless `env` has `SAGEMAKER_BIND_TO_PORT`.
    """
    name = f"argosy-test-{os.getpid()}-{next(_NUMBERS)}"
    ports = {"MMS_INFERENCE_ADDRESS": "http://127.0.0.1:0", "MMS_MANAGEMENT_ADDRESS": "http://127.0.0.1:0"}
    argv = ["podman", "run", "--rm", "--name", name, *options]
    for host, inside in (volumes or {}).items():
        argv += ["--volume", f"{host}:{inside}:ro"]
    for variable, value in {**({} if "SAGEMAKER_BIND_TO_PORT" in (env or {}) else ports), **(env or {})}.items():
        argv += ["--env", f"{variable}={value}"]
    output = folder / f"{name}.log"
    with output.open("wb") as out:
        process = subprocess.Popen([*argv, image, *command], env=environment(), stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        yield Running(name, process, output)
    finally:
        # the container outlives `podman run`
        podman("rm", "--force", "--ignore", "--time", "0", name)
        process.wait(60)
