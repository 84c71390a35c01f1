"""Container images on this machine: what a tool knows of one, and how it is pushed without a password in sight."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy.spec import refuse

_TRANSPORTS = ("oci:", "oci-archive:", "docker-archive:", "docker-daemon:", "containers-storage:", "dir:")
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class Login:
    """Who pushes where. Never shown."""

    host: str
    password: str
    user: str = "AWS"

    def __repr__(self) -> str:
        return f"<Login {self.user} at {self.host}>"

    @property
    def is_plain(self) -> bool:
        """Whether the registry is on this machine, and so speaks plain HTTP."""
        return self.host.rsplit(":", 1)[0] in _LOOPBACK


@dataclass(frozen=True, slots=True)
class Commands:
    """Runs commands with this environment."""

    environ: Mapping[str, str]

    def ask(self, *argv: str) -> str | None:
        """What it prints, None if it fails or is not installed."""
        if shutil.which(argv[0], path=self.environ.get("PATH")) is None:
            return None
        done = subprocess.run(argv, env=self.environ, capture_output=True, stdin=subprocess.DEVNULL, check=False)
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None

    def output(self, *argv: str) -> str:
        """What it prints, on both outputs, however it ends."""
        done = subprocess.run(argv, env=self.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.stdout.decode("utf-8", "replace")

    def do(self, *argv: str, secret: str = "", env: Mapping[str, str] | None = None) -> None:
        """Run it with `secret` on its standard input. Raises `ArgosyError` INTERNAL with the end of what it printed."""
        done = subprocess.run(
            argv, env={**self.environ, **(env or {})}, input=secret.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            said = done.stdout.decode("utf-8", "replace").strip()[-2000:]
            last = said.splitlines()[-1] if said else f"status {done.returncode}"
            raise ArgosyError(ErrorCode.INTERNAL, f"{argv[0]} {argv[1]} failed: {last}", detail=said)


class Tool(Protocol):
    """A command that knows images."""

    @property
    def commands(self) -> Commands:
        """How it is run."""

    @property
    def name(self) -> str:
        """The command."""

    def identity(self, reference: str) -> str | None:
        """The digest of an image's content, None if the tool does not have that image."""

    def push(self, reference: str, destination: str, login: Login) -> None:
        """Copy it to a registry. Raises `ArgosyError` INTERNAL with what the command printed."""


@dataclass(frozen=True, slots=True)
class Docker:
    """The docker command. The login goes into a configuration of its own, which is gone afterwards."""

    commands: Commands
    name: str = "docker"

    def identity(self, reference: str) -> str | None:
        """See `Tool`."""
        return _one_line(self.commands.ask("docker", "image", "inspect", "--format", "{{.Id}}", reference))

    def push(self, reference: str, destination: str, login: Login) -> None:
        """See `Tool`."""
        with TemporaryDirectory(prefix="argosy-login-") as folder:
            # another configuration has other contexts, so the address of the engine is taken along
            address = _one_line(self.commands.ask("docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"))
            env = {"DOCKER_CONFIG": folder, **({"DOCKER_HOST": address} if address else {})}
            self.commands.do("docker", "login", "--username", login.user, "--password-stdin", login.host, secret=login.password, env=env)
            self.commands.do("docker", "tag", reference, destination, env=env)
            self.commands.do("docker", "push", destination, env=env)
            self.commands.ask("docker", "rmi", "--no-prune", destination)


@dataclass(frozen=True, slots=True)
class Containers:
    """podman, buildah or skopeo, which share their options. The login goes into a file of its own, which is gone afterwards."""

    commands: Commands
    name: str
    inspect: Sequence[str]
    copy: Sequence[str]
    authfile: str = "--authfile"
    verify: str = "--tls-verify"

    def identity(self, reference: str) -> str | None:
        """See `Tool`."""
        said = self.commands.ask(self.name, *self.inspect, reference)
        if said is None or self.name != "skopeo":
            return _one_line(said)
        # skopeo knows manifests, and is the only one that prints them
        return f"sha256:{hashlib.sha256(said.encode()).hexdigest()}" if _is_manifest(said) else None

    def push(self, reference: str, destination: str, login: Login) -> None:
        """See `Tool`."""
        plain = "=false" if login.is_plain else "=true"
        with TemporaryDirectory(prefix="argosy-login-") as folder:
            file = str(Path(folder, "auth.json"))
            asked = ("--authfile", file, f"--tls-verify{plain}", "--username", login.user, "--password-stdin", login.host)
            self.commands.do(self.name, "login", *asked, secret=login.password)
            self.commands.do(self.name, *self.copy, self.authfile, file, f"{self.verify}{plain}", reference, f"docker://{destination}")


def _one_line(text: str | None) -> str | None:
    line = (text or "").strip()
    return line if line and "\n" not in line else None


def _is_manifest(text: str) -> bool:
    try:
        return "schemaVersion" in json.loads(text)
    except (ValueError, TypeError):
        return False


def tools(environ: Mapping[str, str] | None = None) -> dict[str, Tool]:
    """Every tool that is known, in the order in which they are asked."""
    commands = Commands(dict(os.environ) if environ is None else environ)
    inspect = ("image", "inspect", "--format", "{{.Id}}")
    found: list[Tool] = [
        Docker(commands),
        Containers(commands, "podman", inspect, ("push",)),
        Containers(commands, "buildah", ("inspect", "--type", "image", "--format", "{{.FromImageID}}"), ("push",)),
        Containers(commands, "skopeo", ("inspect", "--raw"), ("copy",), "--dest-authfile", "--dest-tls-verify"),
    ]
    return {tool.name: tool for tool in found}


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image that a tool of this machine has."""

    reference: str
    identity: str
    tool: Tool

    @property
    def short(self) -> str:
        """Twelve digits of its content."""
        return self.identity.rpartition(":")[2][:12]


def find_image(reference: str, available: Mapping[str, Tool]) -> LocalImage:
    """The image, with the first tool that has it. Raises `ArgosyError` INVALID_REQUEST, with what was asked, if none has."""
    asked = [available["skopeo"]] if reference.startswith(_TRANSPORTS) else [tool for tool in available.values() if tool.name != "skopeo"]
    for tool in asked:
        identity = tool.identity(reference)
        if identity is not None:
            return LocalImage(reference, identity, tool)
    names = ", ".join(tool.name for tool in asked)
    raise refuse(f"There is no image {reference} here (asked: {names}). Build it first, or give the URI of an image in ECR.")
