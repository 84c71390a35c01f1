"""The programs that build images: which one is here and can be used, and how each is told what to build."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from argosy.errors import ArgosyError, ErrorCode

NAMES = ("docker", "podman", "buildah")
"""In the order in which they are tried."""
_PROBES: Mapping[str, Sequence[str]] = {
    "docker": ("docker", "version", "--format", "{{.Server.Version}}"),
    "podman": ("podman", "info", "--format", "{{.Version.Version}}"),
    "buildah": ("buildah", "info"),
}
Probe = Callable[[Sequence[str]], str]
"""Runs a command; why it failed in one line, empty if it did not, "not installed" if there is no such program."""


@dataclass(frozen=True, slots=True)
class Order:
    """An image to be built."""

    context: Path
    dockerfile: Path
    tags: Sequence[str]
    target: str | None = None
    """The stage of the Dockerfile; the last one unless said."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    made_at: int | None = None
    """The one time of all files, in seconds since 1970, which makes builds repeatable; None for the times that they have."""
    ignore_file: Path | None = None
    """What does not belong to the context, where that has no .dockerignore; docker finds it beside the Dockerfile, as Dockerfile.dockerignore."""
    extra: Sequence[str] = ()
    """Options of the program itself."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that builds images: docker, podman or buildah."""

    name: str

    @property
    def environment(self) -> dict[str, str]:
        """What must be in its environment. An index with attestations, which docker makes otherwise, is refused by SageMaker."""
        return {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"} if self.name == "docker" else {}

    def command(self, order: Order) -> list[str]:
        """The command that builds the image."""
        command = [self.name, "build", "--file", str(order.dockerfile)]
        if self.name != "docker":
            # what every registry and platform takes
            command += ["--format", "docker"]
            if order.made_at is not None:
                command += ["--timestamp", str(order.made_at)]
            if order.ignore_file is not None:
                command += ["--ignorefile", str(order.ignore_file)]
        arguments = {**order.arguments, **({} if order.made_at is None else {"SOURCE_DATE_EPOCH": str(order.made_at)})}
        for tag in order.tags:
            command += ["--tag", tag]
        if order.target is not None:
            command += ["--target", order.target]
        for name, value in arguments.items():
            command += ["--build-arg", f"{name}={value}"]
        return [*command, *order.extra, str(order.context)]

    def line(self, order: Order) -> str:
        """The command as one would type it."""
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        return shlex.join([*settings, *self.command(order)])


def find_tool(asked: str | None, probe: Probe) -> Tool:
    """The program that was asked for, or the first one that is installed and works.

    Raises `ArgosyError` INVALID_CONFIG that tells what is wrong with each.
    """
    problems = []
    for name in NAMES if asked is None else (asked,):
        problem = probe(_PROBES[name])
        if not problem:
            return Tool(name)
        problems.append(f"{name}: {problem}")
    advice = "install and start one of them, or see the command with --dry-run" if asked is None else "start it, or leave --tool out"
    raise ArgosyError(ErrorCode.INVALID_CONFIG, f"no image can be built here ({'; '.join(problems)}): {advice}")
