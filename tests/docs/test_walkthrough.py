"""What the README tells a newcomer to type is typed here, in an empty folder."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# the way to SageMaker needs containers: tests/containers types that one
WALKTHROUGHS = [ROOT / "README.md", *sorted(set((ROOT / "docs" / "tutorial").glob("*.md")) - {ROOT / "docs" / "tutorial" / "sagemaker.md"})]
SERVERS = ("argosy serve", "multi-model-server --start")
FILE = re.compile(r"`([\w/]+\.\w+)`[^`\n]*:\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
START_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Step:
    """A command and what it should print; empty if the page does not show it. `…` in it stands for anything."""

    command: str
    output: str


def steps(page: Path) -> Iterator[Step]:
    """The commands of a page, in order."""
    for block in CONSOLE.findall(page.read_text()):
        for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = re.sub(r"\\\n\s*", "", entry).partition("\n")
            yield Step(command, output.strip())


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Reader:
    """Somebody with two terminals: one for the server, one for everything else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {"8080": str(free_port()), "8081": str(free_port())}
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(("ARGOSY_", "MMS_"))}
        self.environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), self.environment["PATH"]])
        self.environment["TMPDIR"] = str(folder)
        inference, management = (f"http://127.0.0.1:{port}" for port in self.ports.values())
        # read by every server that is started in this folder; a newcomer has none, and the ports of the page
        (folder / "config.properties").write_text(f"inference_address={inference}\nmanagement_address={management}\n")
        self.server: subprocess.Popen[bytes] | None = None

    def do(self, step: Step) -> None:
        """Type a command and look at what it prints."""
        if step.command.startswith(SERVERS):
            self.stop()
            self.serve(step.command)
            return
        command = re.sub(r"127\.0\.0\.1:(808[01])", lambda found: f"127.0.0.1:{self.ports[found[1]]}", step.command)
        typed = ["bash", "-c", command]
        result = subprocess.run(typed, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}{self.log()}"
        if step.output:
            expected = re.sub(r"([\[\]*?])", r"[\1]", step.output).replace("…", "*")
            assert fnmatch.fnmatchcase(result.stdout.strip(), expected), f"{command}: {result.stdout}{self.log()}"

    def serve(self, command: str) -> None:
        """Start the server and wait until it is healthy."""
        with (self.folder / "server.txt").open("ab") as log:
            self.server = subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{self.ports['8080']}/ping"
        ready = ["curl", "-sf", "--retry", str(START_TIMEOUT_S), "--retry-delay", "1", "--retry-all-errors", url]
        result = subprocess.run(ready, capture_output=True, timeout=2 * START_TIMEOUT_S, check=False)
        assert result.returncode == 0, f"{command} does not become healthy: {self.log()}"

    def stop(self) -> None:
        """Press Ctrl-C in the server's terminal."""
        if self.server is not None:
            self.server.send_signal(signal.SIGINT)
            assert self.server.wait(30) in (0, 130), self.log()
            self.server = None

    def log(self) -> str:
        """What the server printed."""
        file = self.folder / "server.txt"
        return f"\n-- server:\n{file.read_text(errors='replace')}" if file.exists() else ""


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A newcomer in an empty folder."""
    reader = Reader(tmp_path)
    yield reader
    if reader.server is not None:
        reader.server.kill()
        reader.server.wait()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("page", WALKTHROUGHS, ids=lambda page: page.name)
def test_commands_of_the_page_work(reader: Reader, page: Path) -> None:
    """Every file is saved, every command is typed, and prints what the page shows."""
    for relative, content in FILE.findall(page.read_text()):
        path = reader.folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    for step in steps(page):
        reader.do(step)
    reader.stop()
