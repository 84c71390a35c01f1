"""How a server is started: in a container by podman or docker, or as a process on this machine."""

from __future__ import annotations

import os
import random
import shlex
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from argosy.sagemaker.local.settings import ContainerSettings, invalid
from argosy.store import manifest

MODEL_FOLDER = "/opt/ml/model"
TARGETS_FOLDER = "/opt/ml/models"
_HIDDEN = ("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME",)
"""Variables of ours that a process must not inherit: it would ask the endpoint that it belongs to."""
_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000
_HANDLERS = ("handler.py", "model.py", "service.py")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to start one server and how to end it."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path | None
    stop: tuple[str, ...] = ()
    """A command that ends the container gently. Empty: SIGTERM for the process."""
    kill: tuple[str, ...] = ()
    """A command that ends the container at once. Empty: SIGKILL for the process."""
    remove: tuple[str, ...] = ()
    """A command after which nothing is left of the container."""


@dataclass(frozen=True, slots=True)
class Place:
    """What is fixed about a server before it starts."""

    name: str
    """Of the container: nobody else's."""
    port: int
    folder: Path | None
    """Its model, or the folder that its target models are brought to; None when the image has it."""
    work: Path
    """Where a process runs: a folder of its own, in which the model is called as in `/opt/ml`."""
    region: str


def free_port() -> int:
    """A port that nobody uses now.

    It lies below those that the system gives to outgoing connections where there are such: a connection, even one that asks whether the server
    is up, could otherwise take the port before the server does.
    """
    try:
        first = int(_OUTGOING.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first = 0
    ports = random.sample(range(_LOWEST, first), 20) if first >= _LOWEST + 1000 else []
    return next((port for port in ports if not is_taken(port)), None) or _any_port()


def _any_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def is_taken(port: int) -> bool:
    """Whether somebody has this port, on any address of this machine."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("", port))
        except OSError:
            return True
        return False


def environment(settings: ContainerSettings, place: Place, port: int) -> dict[str, str]:
    """What SageMaker sets in a container, and what the settings add. `port` is where the container has to listen."""
    env = {
        "SAGEMAKER_BIND_TO_PORT": str(port), "AWS_REGION": place.region, "SAGEMAKER_REGION": place.region,
        **({"SAGEMAKER_MULTI_MODEL": "true"} if settings.multi_model else {}),
    }  # fmt: skip
    return {**env, **settings.env}


# -- containers ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Engine:
    """A command line that runs containers.

    With the network `host` a container listens on this machine's loopback by itself, at the port that `SAGEMAKER_BIND_TO_PORT` names;
    with `publish` it listens at 8080, which the engine makes reachable.
    """

    command: tuple[str, ...]
    network: str

    def recipe(self, settings: ContainerSettings, place: Place, stop_s: float) -> Recipe:
        """How to run an image."""
        is_host = self.network == "host"
        run = [*self.command, "run", "--rm", "--name", place.name]
        run += ["--network", "host"] if is_host else ["--publish", f"127.0.0.1:{place.port}:8080"]
        if Path(self.command[0]).name == "podman":
            # its own defaults ask for more than an unprivileged machine may give
            run += ["--ulimit", "host", "--pull", "missing"]
        for name, value in environment(settings, place, place.port if is_host else 8080).items():
            run += ["--env", f"{name}={value}"]
        if place.folder is not None:
            run += ["--volume", f"{place.folder}:{TARGETS_FOLDER if settings.multi_model else MODEL_FOLDER}:ro"]
        run += [settings.image, *(settings.command or ("serve",))]
        stop = (*self.command, "stop", "--time", str(max(1, round(stop_s))), place.name)
        kill, remove = (*self.command, "kill", place.name), (*self.command, "rm", "--force", place.name)
        return Recipe(tuple(run), dict(os.environ), None, stop, kill, remove)


def find_engine(asked: str, network: str) -> Engine:
    """The engine that was asked for, else podman or docker. Raises `ArgosyError` INVALID_CONFIG when there is none."""
    command = tuple(shlex.split(asked)) or next(((name,) for name in ("podman", "docker") if shutil.which(name)), ())
    if not command or shutil.which(command[0]) is None:
        what = f"there is no {command[0]}" if command else "there is neither podman nor docker"
        raise invalid(f"{what} to run an image with: install one, name one with --engine, or leave the image out for a process")
    return Engine(command, network or ("host" if Path(command[0]).name == "podman" else "publish"))


# -- processes -------------------------------------------------------------------------------------------------------


def process_recipe(settings: ContainerSettings, place: Place) -> Recipe:
    """How to run a process in place of a container: the settings' own command, else Argosy on the model's folder.

    In the settings' command `{port}` and `{model}` stand for the port and the model's folder.
    """
    env = {name: value for name, value in os.environ.items() if name not in _HIDDEN}
    env.update(environment(settings, place, place.port))
    if settings.command:
        command = [part.replace("{port}", str(place.port)).replace("{model}", str(place.folder or "")) for part in settings.command]
        return Recipe(tuple(command), env, None)
    env["SAGEMAKER_BASE_DIR"] = str(place.work)
    return Recipe(tuple(_own_server(place)), env, place.work)


def _own_server(place: Place) -> Sequence[str]:
    """The server as in a container, but for its addresses: it is nobody else's. -P: a file of the model must not take the place of a module."""
    address = f"http://127.0.0.1:{place.port}"
    command = [sys.executable, "-P", "-m", "argosy", "serve", "--set", f"inference_address={address}", "--set", f"management_address={address}"]
    command += ["--set", "log_console=all"]
    return [*command, str(place.folder)] if place.folder is not None and _is_handler(place.folder) else command


def _is_handler(folder: Path) -> bool:
    """Whether the folder is no archive's, but has a plain handler file."""
    return not (folder / manifest.FOLDER).exists() and any((folder / name).is_file() for name in _HANDLERS)
