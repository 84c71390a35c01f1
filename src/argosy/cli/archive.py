"""`model-archiver` with the options, messages and exit statuses that scripts know, and `argosy archive`, which says more."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from argosy.cli.interruption import interruptible
from argosy.cli.place import current_folder
from argosy.errors import ArgosyError, ErrorCode
from argosy.store import archive, conversion, manifest
from argosy.worker.loader import parse_handler

_FORMATS = ("tgz", "no-archive", "default")

_HELP = {
    "model-name": "Name of the model. The archive is named after it: MODEL_NAME.mar, or as --archive-format says.",
    "model-path": "Folder with everything that the model needs: handler, weights, vocabularies.",
    "handler": "Where the prediction code is: module[:function], relative to the model folder.",
    "runtime": "Interpreter that runs the handler; python (the default) is the one that runs the server.",
    "export-path": "Existing folder that the archive goes to. Default: the current one.",
    "archive-format": "default: a zip file, MODEL_NAME.mar. tgz: MODEL_NAME.tar.gz with everything below a folder\n"
    "MODEL_NAME, as SageMaker wants it. no-archive: a plain folder MODEL_NAME.",
    "force": "Replace the archive if there is one already. A folder (no-archive) is merged into.",
    "convert": "Convert the .onnx file of the folder to an MXNet model and pack that instead; needs mxnet and onnx.",
}


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asks for."""

    model_name: str
    model_path: str
    handler: str
    runtime: str = "python"
    export_path: str = "."
    archive_format: str = "default"
    force: bool = False
    convert: bool = False


@dataclass(frozen=True, slots=True)
class Packed:
    """What was written."""

    target: str
    files: int
    refusal: str
    """Why the server would not take the model, in its own words; empty if it would."""


def carry_out(order: Order, warn: Callable[[str], None], progress: archive.Progress | None = None) -> Packed:
    """Check the order and pack the model; `warn` is told what is overwritten.

    Raises `ArgosyError` with the message for the user; then nothing was changed.
    """
    archive.check_inputs(order.model_path, order.model_name, order.export_path)
    form = archive.ArchiveFormat(order.archive_format)
    target = archive.target_of(order.export_path, order.model_name, form)
    _check_target(target, order.force, warn)
    text = manifest.build_manifest(order.model_name, order.handler, order.runtime)
    source = Path(order.model_path)
    with _converted(order) as found:
        exclude, extra = ([found.replaced], found.files) if found else ([], {})
        files = archive.pack(source, Path(target), form, order.model_name, text, exclude=exclude, extra=extra, progress=progress)
    return Packed(target, files + 1, _refusal(order))


def _refusal(order: Order) -> str:
    try:
        manifest.Manifest(order.model_name, order.handler, runtime=order.runtime).resolve()
        parse_handler(order.handler)
    except ArgosyError as error:
        return f"The server will refuse this model: {error.message}"
    return ""


@contextlib.contextmanager
def _converted(order: Order) -> Iterator[conversion.Converted | None]:
    """What a wanted conversion made, until the block ends."""
    if not order.convert:
        yield None
        return
    with TemporaryDirectory(prefix="argosy-convert-") as scratch:
        yield conversion.convert(Path(order.model_path), order.model_name, Path(scratch))


def _check_target(target: str, force: bool, warn: Callable[[str], None]) -> None:
    if not os.path.exists(target):
        return
    if not force:
        advice = "Please specify --force/-f option to overwrite the model archive output file.\nSee -h/--help for more details."
        raise ArgosyError(ErrorCode.CONFLICT, f"{target} already exists.\n{advice}")
    warn(f"Overwriting {target} ...")


def model_archiver(arguments: Sequence[str] | None = None) -> None:
    """The `model-archiver` command: silent on success. Ends the process with status 1 for a refusal, 2 for wrong usage."""
    order = Order(**vars(_parser().parse_args(arguments)))
    try:
        with interruptible(), _progress_bar() as progress:
            packed = carry_out(order, lambda text: _say("WARNING", text), progress)
        if packed.refusal:
            _say("WARNING", packed.refusal)
    except ArgosyError as error:
        _say("ERROR", error.message)
        sys.exit(1)
    except KeyboardInterrupt:
        _say("ERROR", "Interrupted; no archive was written.")
        sys.exit(130)


def _say(level: str, text: str) -> None:
    click.echo(f"{level} - {text}", err=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="model-archiver", description="Packs a model and its handler for serving.", formatter_class=argparse.RawTextHelpFormatter
    )
    for name in ("model-name", "model-path", "handler"):
        parser.add_argument(f"--{name}", required=True, help=_HELP[name])
    parser.add_argument("--runtime", default="python", choices=sorted(manifest.RUNTIMES), help=_HELP["runtime"])
    parser.add_argument("--export-path", default=str(current_folder()), help=_HELP["export-path"])
    parser.add_argument("--archive-format", default="default", choices=_FORMATS, help=_HELP["archive-format"])
    for name in ("force", "convert"):
        parser.add_argument(f"-{name[0]}", f"--{name}", action="store_true", help=_HELP[name])
    return parser


@click.command("archive", short_help="Pack a model and its handler for serving.")
@click.option("--model-name", required=True, help=_HELP["model-name"])
@click.option("--model-path", required=True, help=_HELP["model-path"])
@click.option("--handler", required=True, help=_HELP["handler"])
@click.option("--runtime", default="python", show_default=True, type=click.Choice(manifest.RUNTIMES), help=_HELP["runtime"])
@click.option("--export-path", default=".", help=_HELP["export-path"])
@click.option("--archive-format", default="default", type=click.Choice(_FORMATS), help=_HELP["archive-format"])
@click.option("-f", "--force", is_flag=True, help=_HELP["force"])
@click.option("-c", "--convert", is_flag=True, help=_HELP["convert"])
def archive_command(
    model_name: str, model_path: str, handler: str, runtime: str, export_path: str, archive_format: str, force: bool, convert: bool
) -> None:
    """Pack a model folder and its handler into one archive that the server loads."""
    order = Order(model_name, model_path, handler, runtime, export_path, archive_format, force, convert)
    try:
        with interruptible(), _progress_bar() as progress:
            packed = carry_out(order, lambda text: click.echo(text, err=True), progress)
    except ArgosyError as error:
        raise click.ClickException(error.message) from error
    click.echo(f"Packed {packed.files} files into {packed.target}{_size_of(packed.target)}.")
    if warning := packed.refusal or _runtime_warning(order) or _handler_warning(order):
        click.echo(f"Warning: {warning}", err=True)


def _size_of(target: str) -> str:
    return f" ({os.path.getsize(target) / 1e6:,.1f} MB)" if os.path.isfile(target) else ""


def _runtime_warning(order: Order) -> str:
    try:
        manifest.check_supported(order.model_name, order.runtime)
    except ArgosyError as error:
        return f"The server will refuse this model: {error.message}"
    return ""


def _handler_warning(order: Order) -> str | None:
    """What is likely wrong with the handler: its file is not in the folder."""
    module = order.handler.split(":", 1)[0].removesuffix(".py")
    places = [f"{module}.py", module, f"{module.replace('.', '/')}.py", module.replace(".", "/")]
    if any(os.path.exists(os.path.join(order.model_path, place)) for place in places):
        return None
    return f"there is no {module}.py in {order.model_path}; the model loads only where the module {module!r} is installed."


@contextlib.contextmanager
def _progress_bar() -> Iterator[archive.Progress | None]:
    """A bar on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=1000, label="Packing", file=sys.stderr, show_eta=True) as bar:

        def show(done: int, total: int) -> None:
            bar.update(1000 * done // max(total, 1) - bar.pos)

        yield show
