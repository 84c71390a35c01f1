"""`argosy docker`: the group, and the command that lists what is in an image."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata
from itertools import chain
from pathlib import Path

import click

from argosy import __version__
from argosy.cli.lazy import LazyGroup
from argosy.cli.options import fail
from argosy.docker import sbom
from argosy.errors import ArgosyError, ErrorCode

_OS_RELEASE = Path("/etc/os-release")


_COMMANDS = {
    "init": ("argosy.cli.docker_images", "init_command", "Write a Dockerfile for a model."),
    "build": ("argosy.cli.docker_images", "build_command", "Build an image that serves a model."),
    "sbom": ("argosy.cli.docker_command", "sbom_command", "List what is installed in an image."),
}


@click.group("docker", cls=LazyGroup, table=_COMMANDS)
def docker_group() -> None:
    """Write Dockerfiles, build images, list what is in them."""


@click.command("sbom", short_help="List what is installed in an image.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write. Default: standard output.")
def sbom_command(output: Path | None) -> None:
    """List what is installed here, Python distributions and Debian packages, as CycloneDX JSON: the bill of materials of an image.

    SOURCE_DATE_EPOCH gives the time in it; 1970 without.
    """
    with fail():
        _write(_bill(), output)


def _bill() -> str:
    system = sbom.os_release(_OS_RELEASE.read_text("utf-8", "replace")) if _OS_RELEASE.exists() else {}
    found = chain(sbom.python_components(metadata.distributions()), sbom.debian_components(_debian_packages(), system.get("ID", "debian")))
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "0")
    if not re.fullmatch("[0-9]{1,11}", epoch):  # up to the year 5138
        raise ArgosyError(ErrorCode.INVALID_REQUEST, f"SOURCE_DATE_EPOCH={epoch} is not a number of seconds since 1970")
    return sbom.document(found, system, __version__, int(epoch))


def _debian_packages() -> str:
    """The listing of the package manager; empty on systems without it."""
    try:
        return subprocess.run(["dpkg-query", "--show", f"--showformat={sbom.FORMAT}"], check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        return ""


def _write(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text)
    except OSError as error:
        raise ArgosyError(ErrorCode.INVALID_REQUEST, f"cannot write {output}: {error.strerror}") from None
