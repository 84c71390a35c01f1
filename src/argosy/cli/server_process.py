"""What the process that `multi-model-server` starts does: read the configuration, own the pid file, run the server."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from argosy import __version__
from argosy.cli import daemon
from argosy.cli.banner import Run, ServerStatus, load_server
from argosy.cli.compatible import say
from argosy.cli.interruption import stoppable
from argosy.cli.place import current_folder
from argosy.config import Host, Loaded, check_host, load_config, read_host
from argosy.config.reference import show
from argosy.errors import ArgosyError, ErrorCode
from argosy.printable import escape


def main(argv: Sequence[str]) -> None:
    """Run the server with the arguments after the class name; ends the process with the exit status."""
    environ = dict(os.environ)
    # workers must neither hold the launcher's pipe open nor see its number
    pipe = os.environ.pop(daemon.READY_FD, "")
    if pipe.isdigit():
        os.set_inheritable(int(pipe), False)
    sys.exit(serve(argv, environ, current_folder(), load_server))


@stoppable()
def serve(argv: Sequence[str], environ: Mapping[str, str], cwd: Path, server: Callable[[], Run]) -> int:
    """Serve until the end and return the exit status; 1 and one line on standard output when it cannot start.

    Raises SystemExit when it is stopped before it listens to signals.
    """
    host = read_host()
    try:
        check_host(host)
        loaded = _load(argv, environ, cwd, host)
    except ArgosyError as error:
        return _refuse(error)
    try:
        return _run_claimed(loaded, report(loaded, cwd, host), daemon.pid_file(environ, cwd), environ, server())
    except ArgosyError as error:
        for warning in loaded.warnings:
            say(f"Warning: {warning}")
        return _refuse(error)


def _refuse(error: ArgosyError) -> int:
    what = "Invalid configuration" if error.code is ErrorCode.INVALID_CONFIG else "Model server cannot start"
    say(f"{what}: {escape(error.message)}")
    return 1


def _load(argv: Sequence[str], environ: Mapping[str, str], cwd: Path, host: Host) -> Loaded:
    asked = _parser().parse_args(argv)
    flags = {"model_store": asked.store, "load_models": ",".join(asked.models) if asked.models else None}
    seen = {name: value for name, value in environ.items() if name != daemon.READY_FD}
    return load_config({name: text for name, text in flags.items() if text}, seen, cwd, config_file=asked.config, host=host)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=daemon.CLASS_NAME)
    parser.add_argument("--python")
    parser.add_argument("-f", dest="config")
    parser.add_argument("-s", dest="store")
    parser.add_argument("-m", dest="models", nargs="+")
    return parser


def report(loaded: Loaded, cwd: Path, host: Host) -> str:
    """What the log says about the server when it has started, under the labels that Multi Model Server used."""
    config = loaded.config
    rows = {
        "Current directory": cwd, "Temp directory": config.temp_dir, "Number of CPUs": f"{host.processors} ({host.processors_reason})",
        "Python executable": sys.executable, "Config file": loaded.file, "Inference address": config.inference_address,
        "Management address": config.management_address, "Model Store": config.model_store, "Initial Models": config.load_models,
        "Log dir": config.log_location, "Metrics dir": config.metrics_location, "Default workers per model": config.default_workers_per_model,
        "Blacklist Regex": config.blacklist_env_vars, "Maximum Response Size": config.max_response_size,
        "Maximum Request Size": config.max_request_size, "Preload model": config.preload_model,
    }
    return "\n".join([f"Argosy {__version__}", *(f"{label}: {'N/A' if value is None else show(value)}" for label, value in rows.items())])


def _run_claimed(loaded: Loaded, text: str, path: Path, environ: Mapping[str, str], run: Run) -> int:
    try:
        claimed = daemon.claim(path)
    except OSError as error:
        raise ArgosyError(ErrorCode.INVALID_CONFIG, f"Cannot write the pid file {path}: {error.strerror}") from None
    if not claimed:
        raise ArgosyError(ErrorCode.CONFLICT, f"another server has just been started: {path}")
    try:
        return _run(loaded, text, environ, run)
    finally:
        daemon.release(path)


def _run(loaded: Loaded, text: str, environ: Mapping[str, str], run: Run) -> int:
    log = logging.getLogger("argosy.config")

    def started(status: ServerStatus) -> None:
        # the files of the log are open only now
        log.info("%s", text)
        for warning in loaded.warnings:
            log.warning("%s", warning)
        for note in loaded.notes:
            log.info("%s", note)
        say("Model server started.")
        daemon.tell_launcher(environ)

    # without targets the models of the configuration are loaded, and nobody waits for them to say that the server listens
    return run(loaded.config, targets=(), on_ready=started)
