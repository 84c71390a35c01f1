"""`argosy docker init` and `argosy docker build`: from a handler's folder, or an archive, to an image."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from argosy.cli.ephemeral import entry_point, find, handler_name
from argosy.cli.options import fail
from argosy.cli.place import current_folder
from argosy.config import parse_target
from argosy.docker import context
from argosy.docker.execution import build, probe
from argosy.docker.recipe import BASES, Recipe, image_name
from argosy.docker.tool import NAMES, Order, Tool, find_tool
from argosy.errors import ArgosyError, ErrorCode

_target = click.argument("target", metavar="TARGET")
_base = click.option("--base", metavar="IMAGE", help="Image to start from. Default: argosy:base-cpu, which docker/build makes.")
_gpu = click.option("--gpu", is_flag=True, help="Start from argosy:base-gpu.")


@dataclass(frozen=True, slots=True)
class Source:
    """What a target stands for: a folder, or an archive to be unpacked."""

    path: Path
    is_archive: bool
    name: str
    handler: str | None = None


@click.command("init", short_help="Write a Dockerfile for a model.")
@_target
@_base
@_gpu
@click.option("--output", type=click.Path(path_type=Path), metavar="FOLDER", help="Where an archive is unpacked. Default: named after it.")
@click.option("--force", is_flag=True, help="Replace the Dockerfile that is there.")
def init_command(target: str, base: str | None, gpu: bool, output: Path | None, force: bool) -> None:
    """Write a Dockerfile and a .dockerignore for TARGET: a handler file, one of its functions, a model folder, or an archive.

    The files go into the folder; an archive becomes a folder first. requirements.txt, if there is one, is installed into the image.

    \b
    argosy docker init model
    argosy docker init model/service.py:handle
    argosy docker init sentiment.mar --output sentiment-image
    """
    with fail():
        folder = _init(_source(target, current_folder()), _chosen(base, gpu), output, force)
        click.echo(f"{folder / context.DOCKERFILE} is written; next: argosy docker build {folder}")


@click.command("build", short_help="Build an image that serves a model.")
@_target
@click.argument("extra", nargs=-1, metavar="[-- OPTION...]")
@click.option("--tag", "tags", multiple=True, metavar="NAME[:TAG]", help="Name of the image; may be repeated. Default: the model's.")
@_base
@_gpu
@click.option("--tool", type=click.Choice(NAMES), help="Program that builds. Default: the first one that works.")
@click.option("--dry-run", is_flag=True, help="Print the Dockerfile and the command, do nothing.")
def build_command(
    target: str, extra: tuple[str, ...], tags: tuple[str, ...], base: str | None, gpu: bool, tool: str | None, dry_run: bool
) -> None:
    """Build an image that serves TARGET, with docker, podman or buildah. Options behind -- go to that program.

    A Dockerfile in the folder is used as it is; without one the image is built as `argosy docker init` would write it, and nothing stays behind.

    \b
    argosy docker build model --tag words:1
    argosy docker build sentiment.mar --dry-run
    """
    with fail():
        program = Tool(tool or NAMES[0]) if dry_run else find_tool(tool, probe)
        source, chosen = _source(target, current_folder()), _chosen(base, gpu)
        with _folder(source) as folder, _order(folder, source, chosen, tags, extra) as (order, text):
            if dry_run:
                click.echo(f"{text}\n{program.line(order)}")
                return
            build(program, order)
            click.echo(f"{order.tags[0]} is built; next: {program.name} run --rm -p 8080:8080 {order.tags[0]}")


def _chosen(base: str | None, gpu: bool) -> str | None:
    if base is not None and gpu:
        raise ArgosyError(ErrorCode.INVALID_REQUEST, "--base and --gpu both name an image to start from: give one of them")
    return base or (BASES["gpu"] if gpu else None)


def _source(text: str, cwd: Path) -> Source:
    """Raises `ArgosyError` MODEL_NOT_FOUND, or INVALID_MODEL for what is neither folder, handler nor archive."""
    found = find(parse_target(text), cwd, None)
    if found.is_handler:
        return Source(found.path.parent, False, found.name or handler_name(found.path), entry_point(found.path, found.function))
    name = found.name or handler_name(found.path)
    return Source(found.path, not found.path.is_dir(), name)


def _init(source: Source, base: str | None, output: Path | None, force: bool) -> Path:
    if output is not None and not source.is_archive:
        raise ArgosyError(ErrorCode.INVALID_REQUEST, "--output is for archives: the Dockerfile of a folder goes into the folder")
    if not source.is_archive:
        recipe = _recipe(source.path, source, base)
        context.write(source.path, context.additions(source.path, recipe), force=force)
        return Path(os.path.relpath(source.path))
    target = output or Path(source.name)
    with context.unpacked(source.path, target.absolute().parent) as folder:
        context.write(folder, context.additions(folder, _recipe(folder, source, base)), force=True)
        context.keep(folder, target)
    return target


def _recipe(folder: Path, source: Source, base: str | None) -> Recipe:
    return context.describe(folder, base or BASES["cpu"], source.name, source.handler)


@contextmanager
def _folder(source: Source) -> Iterator[Path]:
    """The folder to build from, for as long as the block lasts."""
    if not source.is_archive:
        yield source.path
        return
    with context.unpacked(source.path, Path(tempfile.gettempdir())) as folder:
        yield folder


@contextmanager
def _order(folder: Path, source: Source, base: str | None, tags: Sequence[str], extra: Sequence[str]) -> Iterator[tuple[Order, str]]:
    """What is to be built, and the text of its Dockerfile, which is temporary if the folder has none."""
    own = folder / context.DOCKERFILE
    if own.exists():
        if base is not None:
            raise ArgosyError(ErrorCode.CONFLICT, f"{own} says itself what it starts from: leave --base and --gpu out, or remove it")
        yield Order(folder, own, tags or [image_name(source.name)], extra=extra), own.read_text("utf-8", "replace")
        return
    recipe = _recipe(folder, source, base)
    files = context.additions(folder, recipe)
    with tempfile.TemporaryDirectory(prefix="argosy-image-") as made:
        placed = {name.replace(context.IGNORE_FILE, "Dockerfile.dockerignore"): text for name, text in files.items()}
        context.write(Path(made), placed, force=True)
        ignored = Path(made, "Dockerfile.dockerignore") if context.IGNORE_FILE in files else None
        order = Order(folder, Path(made, context.DOCKERFILE), tags or [image_name(recipe.name)], ignore_file=ignored, extra=extra)
        yield order, files[context.DOCKERFILE]
