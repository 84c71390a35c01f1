"""Docker's own command, over podman's socket: the commands that people type build and run our images."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from argosy.testing.server import Store, wait_for
from fakes.images import environment, podman

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not installed")


@contextmanager
def engine(folder: Path) -> Iterator[dict[str, str]]:
    """An engine for the docker command; the environment in which it finds it."""
    socket = folder / "engine.sock"
    service = subprocess.Popen(["podman", "system", "service", "--time", "0", f"unix://{socket}"], env=environment())
    try:
        wait_for(socket.exists, "the socket of podman")
        # podman's side of the older protocol is the one that it has
        yield {**environment(), "DOCKER_HOST": f"unix://{socket}", "DOCKER_BUILDKIT": "0"}
    finally:
        service.terminate()
        service.wait(30)


def test_docker(store: Store, tmp_path: Path) -> None:
    """`argosy docker build` takes docker when its engine answers; `docker run`, `docker logs` and `docker stop` do what they should."""
    (store.folder / "handler.py").write_text("def predict(text: str) -> str:\n    return text.upper()\n")
    name = f"argosy-test-docker-{os.getpid()}"

    def run(*argv: str | Path) -> str:
        done = subprocess.run([*argv], env=env, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with engine(tmp_path) as env:
        try:
            assert "docker run" in run(Path(sys.executable).parent / "argosy", "docker", "build", store.folder, "--tag", name)
            free = "http://127.0.0.1:0"
            settings = ["-e", f"MMS_INFERENCE_ADDRESS={free}", "-e", f"MMS_MANAGEMENT_ADDRESS={free}"]
            run("docker", "run", "--detach", "--network", "host", "--name", name, *settings, name, "serve")
            found = wait_for(lambda: re.search(r"Serving predictions on (\S+),", run("docker", "logs", name)), "the server")
            assert found is not None
            assert run("curl", "--silent", "--retry", "20", "--retry-all-errors", "--fail", f"{found[1]}/invocations", "--data", "hello") == "HELLO"
            run("docker", "stop", "--time", "30", name)
            assert run("docker", "inspect", "--format", "{{.State.ExitCode}}", name) == "0\n"
        finally:
            podman("rm", "--force", "--ignore", "--time", "0", name)
            podman("rmi", "--force", "--ignore", name)
