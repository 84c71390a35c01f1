"""What the process that `multi-model-server` starts does: read the configuration, own the pid file, run the server."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from argosy.cli import daemon
from argosy.cli.banner import Run, ServerStatus, load_server
from argosy.cli.compatible import say
from argosy.config import Config, Loaded, load_config, read_host
from argosy.errors import ArgosyError, ErrorCode


def main(argv: Sequence[str]) -> None:
    """Run the server with the arguments after the class name; ends the process with the exit status."""
    environ = dict(os.environ)
    # workers must neither hold the launcher's pipe open nor see its number
    pipe = os.environ.pop(daemon.READY_FD, "")
    if pipe.isdigit():
        os.set_inheritable(int(pipe), False)
    sys.exit(serve(argv, environ, Path.cwd(), load_server))


def serve(argv: Sequence[str], environ: Mapping[str, str], cwd: Path, server: Callable[[], Run]) -> int:
    """Serve until the end and return the exit status; 1 and one line on standard output when it cannot start."""
    try:
        loaded = _load(argv, environ, cwd)
        return _run_claimed(loaded, daemon.pid_file(environ, cwd), environ, server())
    except ArgosyError as error:
        say(f"Invalid configuration: {error.message}" if error.code is ErrorCode.INVALID_CONFIG else f"Model server cannot start: {error.message}")
        return 1


def _load(argv: Sequence[str], environ: Mapping[str, str], cwd: Path) -> Loaded:
    """The configuration; what the operator should know is printed."""
    asked = _parser().parse_args(argv)
    flags = {"model_store": asked.store, "load_models": ",".join(asked.models) if asked.models else None}
    seen = {name: value for name, value in environ.items() if name != daemon.READY_FD}
    loaded = load_config({name: text for name, text in flags.items() if text}, seen, cwd, config_file=asked.config, host=read_host())
    for warning in loaded.warnings:
        say(f"Warning: {warning}")
    for note in loaded.notes:
        say(f"Note: {note}")
    return loaded


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=daemon.CLASS_NAME)
    parser.add_argument("--python")
    parser.add_argument("-f", dest="config")
    parser.add_argument("-s", dest="store")
    parser.add_argument("-m", dest="models", nargs="+")
    return parser


def _run_claimed(loaded: Loaded, path: Path, environ: Mapping[str, str], run: Run) -> int:
    try:
        claimed = daemon.claim(path)
    except OSError as error:
        raise ArgosyError(ErrorCode.INVALID_CONFIG, f"Cannot write the pid file {path}: {error.strerror}") from None
    if not claimed:
        raise ArgosyError(ErrorCode.CONFLICT, f"another server has just been started: {path}")
    try:
        return _run(loaded.config, environ, run)
    finally:
        daemon.release(path)


def _run(config: Config, environ: Mapping[str, str], run: Run) -> int:
    def started(status: ServerStatus) -> None:
        say("Model server started.")
        daemon.tell_launcher(environ)

    # without targets the models of the configuration are loaded, and nobody waits for them to say that the server listens
    return run(config, targets=(), on_ready=started)
