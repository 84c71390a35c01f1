"""What builds and runs container images on this machine: docker, podman, or podman with a storage of its own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from background import STOP_S, JourneyError

ROOT = Path(__file__).resolve().parents[2]
PRIVATE = ROOT / "build" / "journey" / "images"
BASE = "argosy:base-cpu-py3.11"
NEEDED = ("podman", "buildah", "runc", "mmdebstrap")
ADVICE = f"apt-get install --no-install-recommends {' '.join(NEEDED)}"


@dataclass(frozen=True)
class Engine:
    """`tool` is docker or podman; `environ` is what it runs with. `private` is its storage if that is nobody else's, and goes when we go."""

    tool: str
    environ: Mapping[str, str]
    private: Path | None = None

    def has(self, image: str) -> bool:
        """Whether there is such an image."""
        return self._quietly("image", "inspect", image)

    def remove(self, image: str) -> None:
        """Remove an image."""
        self._quietly("rmi", "--force", image)

    def build_base(self) -> None:
        """Build the base image. Raises `JourneyError`."""
        do([str(ROOT / "docker" / "build"), "--tool", self.tool], self.environ)

    def build(self, image: str, dockerfile: Path) -> None:
        """Build an image from a Dockerfile that needs no other files. Raises `JourneyError`."""
        with TemporaryDirectory(prefix="argosy-image-") as context:
            do([self.tool, "build", "-t", image, "-f", str(dockerfile), context], self.environ)

    def _quietly(self, *command: str) -> bool:
        done = subprocess.run([self.tool, *command], env=dict(self.environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        return done.returncode == 0


def do(command: Sequence[str], environ: Mapping[str, str]) -> None:
    """Run a command; what it prints is shown. Raises `JourneyError` if it fails. When we are interrupted it is too, with all that it started."""
    sys.stdout.flush()
    process = subprocess.Popen(command, env=dict(environ), stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        status = process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if status:
        raise JourneyError(f"{' '.join(map(str, command))}\nfailed with status {status}; what it printed above says why")


def works(command: Sequence[str]) -> bool:
    """Whether a command is there and succeeds."""
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def choose(asked: str | None) -> str:
    """`docker`, `podman` or `private`: what was asked for, else the first that can be used. Raises `JourneyError` that says what to install."""
    if asked is not None:
        return asked
    if os.environ.get("ARGOSY_IMAGES"):
        return "podman"
    if works(["docker", "version", "--format", "{{.Server.Version}}"]):
        return "docker"
    if os.geteuid() == 0 and all(map(shutil.which, NEEDED)):
        return "private"
    if works(["podman", "info"]):
        return "podman"
    raise JourneyError(f"there is nothing here to build container images with. As root: {ADVICE}\nor install and start docker.")


def ready(kind: str) -> Engine:
    """The engine of that kind, `private` with the base image in it. Raises `JourneyError`."""
    if kind != "private":
        return Engine(kind, os.environ)
    done = subprocess.run([str(ROOT / "scripts" / "images"), str(PRIVATE)], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise JourneyError(f"scripts/images failed; what it printed above says why. It needs root and {', '.join(NEEDED)}: {ADVICE}")
    settings = re.findall(r'(\w+)="?([^"\s]+)"?', Path(done.stdout.strip()).read_text())
    return Engine("podman", {**os.environ, **dict(settings)}, PRIVATE)


def remove_private() -> None:
    """Remove the private storage with everything in it. Raises `JourneyError`."""
    if PRIVATE.exists():
        do([str(ROOT / "scripts" / "images"), "--remove", str(PRIVATE)], os.environ)
