"""What the tutorial about SageMaker tells a reader to type is typed here, with a real image, in a clone of the reader's own."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.testing.server import wait_for
from docs.test_walkthrough import Step, free_port, steps
from fakes.images import ARTICLE, article_image, environment, podman

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial" / "sagemaker.md"
LASTING = (". ", "cd ", "export ")
"""Beginnings of commands that change the shell itself."""
SERVERS = {"argosy sagemaker local": "export AWS_ENDPOINT_URL", "python practice_aws.py": "# ready"}
"""What runs in a terminal of its own, and what it prints when others may go on."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not os.environ.get("ARGOSY_PADDLE"), reason="ARGOSY_PADDLE does not say that 800 MB of PaddlePaddle may be installed"),
    pytest.mark.skipif(shutil.which("docker-registry") is None, reason="docker-registry is not installed"),
]


class Reader:
    """Somebody with podman, a clone and three terminals, in each of which everything that lasts was typed."""

    def __init__(self, clone: Path) -> None:
        self._clone = clone
        self._port = str(free_port())
        self._lasting: list[str] = []
        self._servers: list[subprocess.Popen[bytes]] = []
        # nothing of the developer's own account, and no settings for other servers
        hidden = ("AWS_", "MMS_", "PYTEST_")
        self._environ = {name: value for name, value in environment().items() if not name.startswith(hidden)}
        self._environ.setdefault("ARGOSY_PADDLE_VENV", sys.prefix)

    def do(self, step: Step) -> None:
        """Type a command and look at what it prints."""
        command = step.command.replace("127.0.0.1:9000", f"127.0.0.1:{self._port}").replace("--port 9000", f"--port {self._port}")
        command = re.sub(r"^docker ", "podman ", command)
        ready = next((ready for beginning, ready in SERVERS.items() if command.startswith(beginning)), None)
        if ready is not None:
            self._serve(command, ready)
            return
        done = subprocess.run(self._typed(command), cwd=self._clone, env=self._environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}{self.logs()}"
        if step.output:
            expected = re.sub(r"([\[\]*?])", r"[\1]", step.output).replace("…", "*")
            assert fnmatch.fnmatchcase(done.stdout.strip(), expected), f"{command}: {done.stdout}{self.logs()}"
        if command.startswith(LASTING):
            self._lasting.append(command)

    def _typed(self, command: str) -> list[str]:
        return ["bash", "-ec", "\n".join([*self._lasting, command])]

    def _serve(self, command: str, ready: str) -> None:
        program, _, target = command.partition(" > ")
        log = self._clone / f"server-{len(self._servers)}.log"
        shown = log if not target else f"$PWD/{target}"
        typed = self._typed(f'exec {program} >"{shown}" 2>>{shlex.quote(str(log))}')
        self._servers.append(subprocess.Popen(typed, cwd=self._clone, env=self._environ))
        written = self._clone / "examples" / "paddle_sentiment" / target if target else log
        wait_for(lambda: written.exists() and ready in written.read_text(), f"{command}: {self.logs()}", 120)

    def logs(self) -> str:
        """What the servers printed."""
        return "".join(f"\n-- {path.name}:\n{path.read_text(errors='replace')}" for path in sorted(self._clone.glob("server-*.log")))

    def stop(self) -> list[int]:
        """Press Ctrl-C in the other terminals; how the servers ended."""
        for server in self._servers:
            server.send_signal(2)
        return [server.wait(60) for server in self._servers]

    def give_up(self) -> None:
        """Whatever still runs is ended."""
        for server in self._servers:
            if server.poll() is None:
                server.terminate()
                server.wait(60)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A newcomer with a clone in which nothing was done yet, and the base image."""
    clone = tmp_path / "clone"
    clone.mkdir()
    unwanted = shutil.ignore_patterns("artifacts", "model-store", "__pycache__", "practice.env", "review.txt")
    shutil.copytree(ROOT / "examples", clone / "examples", ignore=unwanted)
    for path in ROOT.iterdir():
        if path.name in ("src", "docker", "scripts", "pyproject.toml", "README.md", "LICENSE"):
            (clone / path.name).symlink_to(path)
    reader = Reader(clone)
    yield reader
    reader.give_up()


def test_the_tutorial_works(reader: Reader) -> None:
    """Every command is typed and prints what the page shows; afterwards no container is left."""
    article_image()
    assert f"```dockerfile\n{ARTICLE.read_text()}```" in PAGE.read_text()
    typed = list(steps(PAGE))
    assert len(typed) > 15
    for step in typed:
        reader.do(step)
    assert reader.stop() == [0, 0], reader.logs()
    # by both: the journey has an endpoint of the same name, perhaps at the same time, and others run the same image
    left = [line.split() for line in podman("ps", "--all", "--format", "{{.Names}} {{.Image}}").splitlines()]
    assert not [name for name, image in left if name.startswith("argosy-sentiment-") and "paddle-mms" in image]
