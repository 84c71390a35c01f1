"""What a terminal shows when a server has started: addresses, models, workers and a line to try it; and why a model did not load."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, cast

from argosy import __version__
from argosy.config.settings import Config, Target, parse_target
from argosy.printable import escape

_MOST_MODELS = 4


class ModelStatus(Protocol):
    """How a model that was to be loaded at start is doing."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def workers(self) -> int:
        """Its workers."""

    @property
    def state(self) -> str:
        """A word for its state."""

    @property
    def error(self) -> str:
        """Why it did not load; empty if it did, or still loads."""


class ServerStatus(Protocol):
    """What a server says of itself when it is ready."""

    @property
    def inference(self) -> Sequence[str]:
        """Addresses of the inference listener."""

    @property
    def management(self) -> Sequence[str]:
        """Addresses of the management listener."""

    @property
    def models(self) -> Sequence[ModelStatus]:
        """The models that were to be loaded at start."""

    @property
    def workers_reason(self) -> str:
        """Why they have as many workers as they do."""


class Run(Protocol):
    """Runs a server until its end: see `argosy.server.run`."""

    def __call__(self, config: Config, *, targets: Sequence[Target] = (), on_ready: Callable[[ServerStatus], None]) -> int:
        """The exit status. Raises `ArgosyError` when the server cannot start."""


def load_server() -> Run:
    """The server; imported only when one is wanted, since that takes longer than most commands."""
    gc.disable()  # hardly anything of it is garbage, and looking for some takes a tenth of the time
    try:
        return cast(Run, importlib.import_module("argosy.server").run)
    finally:
        gc.enable()


def banner(status: ServerStatus, file: str | None = None) -> list[str]:
    """At most ten lines. `file` is the configuration file that was read."""
    lines = [f"Argosy {__version__}", _row("inference", ", ".join(status.inference))]
    if list(status.management) != list(status.inference):
        lines.append(_row("management", ", ".join(status.management)))
    if file is not None:
        lines.append(_row("settings", file))
    lines += [_row("model", text) for text in _models(status)]
    served = next((model.name for model in status.models if not model.error), None)
    if served is not None and status.inference:
        lines.append(_row("try", curl(status.inference[0], served)))
    return [*lines, _row("stop", "Ctrl-C")]


def _models(status: ServerStatus) -> Iterator[str]:
    shown = status.models if len(status.models) <= _MOST_MODELS else status.models[: _MOST_MODELS - 1]
    for model in shown:
        noun = "worker" if model.workers == 1 else "workers"
        yield f"{_name(model)}: did not load, see below" if model.error else f"{model.name}: {model.workers} {noun} ({status.workers_reason})"
    if len(status.models) > len(shown):
        yield f"and {len(status.models) - len(shown)} more"
    if not status.models:
        yield "none yet; register one at the management address"


def _name(model: ModelStatus) -> str:
    """Its name; what could not even be registered has only its target, which may begin with one."""
    return parse_target(model.name).name or model.name


def _row(label: str, text: str) -> str:
    return f"  {label:<11} {text}"


def curl(address: str, model: str) -> str:
    """A command line that asks the model for a prediction."""
    if address.startswith("unix:"):
        start = f"curl --unix-socket {address[5:]} http://localhost"
    else:
        insecure = "-k " if address.startswith("https:") else ""
        start = f"curl {insecure}{address.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:')}"
    # without the header curl would send a form
    return f"{start}/predictions/{model} -H 'Content-Type: text/plain' -d 'hello'"


def failures(status: ServerStatus) -> list[str]:
    """For each model that did not load: its error, and what to do. The log has the traceback."""
    lines = []
    for model in status.models:
        if model.error:
            error = [f"  {escape(line)}" for line in model.error.splitlines()]
            lines += [f"model {_name(model)} did not load:", *error, f"hint: {hint(model.error)}"]
    return lines


def hint(error: str) -> str:
    """What to do about a load error."""
    if "ModuleNotFoundError" in error or "No module named" in error:
        return "install the missing module for the interpreter that runs the model, or put its file beside the handler; then start again"
    if "FileNotFoundError" in error:
        return "a file that the handler opens is missing; paths count from the model folder"
    if "MemoryError" in error:
        return "the model needs more memory than there is; try --workers 1"
    if "Model handler is not defined" in error:
        return (
            "the folder has no manifest: give its handler's file, FOLDER/FILE.py, or pack it with model-archiver; "
            "--model-store FOLDER ALL serves a folder of archives"
        )
    if "Model name is not defined" in error:
        return "this is no archive: give a handler file that ends in .py, a model folder, or what model-archiver made"
    if "Failed to download" in error or "Download model timeout" in error:
        return "see whether this machine reaches the address, and whether the archive is there; then start again"
    if "Failed to parse signature.json" in error:
        return "MAR-INF/MANIFEST.json of the model is wrong: pack it again with model-archiver"
    if "function entry point" in error:
        return "call the function predict, or name yours as FILE.py:FUNCTION (the log says which there are); then start again"
    return "correct the handler and start again"
