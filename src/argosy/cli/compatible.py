"""`multi-model-server` and `mxnet-model-server`, with the options, texts and exit statuses that scripts know."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from argosy import __version__
from argosy.cli import daemon
from argosy.cli.place import current_folder
from argosy.errors import ArgosyError
from argosy.printable import escape

_REMOTE = re.compile(r"([^/?:=]+=)?https?://.+", re.IGNORECASE)
_SAGEMAKER = "sagemaker"
"""In place of a configuration file: the settings of a container of Amazon SageMaker."""
Say = Callable[[str], None]


def multi_model_server() -> None:
    """The command `multi-model-server`; ends the process with its exit status."""
    try:
        sys.exit(launch(sys.argv[1:], os.environ, current_folder()))
    except KeyboardInterrupt:
        sys.exit(130)  # what a shell says of a command that Ctrl-C has ended


def mxnet_model_server() -> None:
    """The command `mxnet-model-server`: the same under its former name."""
    say("Warning: Calling MMS with mxnet-model-server. Please move to multi-model-server.")
    multi_model_server()


def say(line: str) -> None:
    """Print a line at once, also into a pipe; a reader that has gone is no reason to fail."""
    with contextlib.suppress(OSError):
        os.write(1, f"{line}\n".encode("utf-8", "backslashreplace"))


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(prog="multi-model-server", description="Argosy, a drop-in for Multi Model Server")
    action = made.add_mutually_exclusive_group()
    action.add_argument("--start", action="store_true", help="Start the model-server, which is also done without any option")
    action.add_argument("--stop", action="store_true", help="Stop the model-server: it answers what it has accepted, then ends")
    made.add_argument("--mms-config", help="Configuration file for model server, or the word sagemaker")
    made.add_argument("--model-store", help="Folder with models; overrides model_store")
    made.add_argument(
        "--models", nargs="+", metavar="MODEL_PATH1 MODEL_NAME=MODEL_PATH2...",
        help="Models to load, as [name=]path or url relative to the model store, or ALL; overrides load_models")
    made.add_argument("--log-config", help="Logging configuration: log4j2 XML (its levels count), or Python's as JSON, TOML or ini")
    made.add_argument("--foreground", action="store_true", help="Stay in the foreground: this process becomes the server")
    made.add_argument("--version", action="version", version=f"argosy {__version__}", help="Print the version and leave")
    return made


def launch(argv: Sequence[str], environ: Mapping[str, str], cwd: Path) -> int:
    """Do what the command line says and return the exit status. With `--foreground` a start that passes the checks does not return."""
    asked = parser().parse_args(argv)
    path = daemon.pid_file(environ, cwd)
    if asked.stop:
        return _stop(path, asked, environ, cwd)
    refusal = _refusal(path, asked, environ, cwd)
    if refusal is not None:
        say(refusal)
        return 1
    complete = dict(environ)
    if asked.log_config:
        complete["ARGOSY_LOG_CONFIG"] = str((cwd / asked.log_config).resolve())
    command = server_command(asked)
    if asked.foreground:
        os.execve(command[0], command, complete)  # noqa: S606 - it is ourselves
    return daemon.start_background(command, complete)


def server_command(asked: argparse.Namespace) -> list[str]:
    """The command line of the server process. -P: a file of the current folder must not take the place of a module."""
    command = [sys.executable, "-P", "-m", "argosy", daemon.CLASS_NAME, "--python", sys.executable]
    if asked.mms_config:
        command += ["-f", asked.mms_config]
    if asked.model_store:
        command += ["-s", asked.model_store]
    if asked.models:
        command += ["-m", *asked.models]
    return command


def _stop(path: Path, asked: argparse.Namespace, environ: Mapping[str, str], cwd: Path) -> int:
    pid = daemon.read_pid(path)
    if pid is None:
        say("Model server is not currently running.")
        return 0
    was_running = daemon.is_server(pid)
    if was_running:
        daemon.stop(pid, _drain_timeout_s(asked, environ, cwd) + 5.0)
    path.unlink(missing_ok=True)
    say("Model server stopped." if was_running else "Model server already stopped.")
    return 0


def _drain_timeout_s(asked: argparse.Namespace, environ: Mapping[str, str], cwd: Path) -> float:
    """How long the server may drain; 30 s when its configuration cannot be read from here."""
    from argosy.config.load import load_config  # whoever starts a server waits for this program, which need not read the settings then

    try:
        return load_config({}, environ, cwd, config_file=asked.mms_config).config.drain_timeout_s
    except ArgosyError:
        return 30.0


def _refusal(path: Path, asked: argparse.Namespace, environ: Mapping[str, str], cwd: Path) -> str | None:
    """Why the server is not started, or None; the order is part of the contract."""
    pid = daemon.read_pid(path)
    if pid is not None and daemon.is_server(pid):
        return "Model server is already running, please use multi-model-server --stop to stop MMS."
    if pid is not None:
        say("Removing orphan pid file.")
        path.unlink(missing_ok=True)
    if asked.log_config and not os.path.isfile(cwd / asked.log_config):
        return f"--log-config file not found: {(cwd / asked.log_config).resolve()}"
    temp = environ.get("TEMP")
    if temp and not os.path.isdir(cwd / temp):
        return f"Invalid temp directory: {temp}, please check TEMP environment variable."
    if asked.mms_config and asked.mms_config != _SAGEMAKER and not os.path.isfile(cwd / asked.mms_config):
        return f"--mms-config file not found: {asked.mms_config}"
    _warn_of_jvm_options(cwd / (asked.mms_config or "config.properties"))
    return _refusal_of_models(asked, cwd)


def _refusal_of_models(asked: argparse.Namespace, cwd: Path) -> str | None:
    if asked.model_store and not os.path.isdir(cwd / asked.model_store):
        return f"--model-store directory not found: {asked.model_store}"
    if asked.models and not asked.model_store and not all(item == "ALL" or _REMOTE.fullmatch(item) for item in asked.models):
        return "--model-store is required to load model locally."
    return None


def _warn_of_jvm_options(file: Path) -> None:
    """Say that `vmargs` is without effect. Other faults of the file are for the server to tell."""
    try:
        data = file.read_bytes()
    except OSError:
        return
    if b"vmargs" not in data:
        return
    from argosy import properties  # only for those who have this line, since everybody else waits for the import

    try:
        entries = properties.parse(properties.decode(data))
    except ArgosyError:
        return
    options = next((entry.value for entry in reversed(entries) if entry.key == "vmargs"), "")
    if options:
        say(f"Warning: MMS is using non-default JVM parameters: {escape(options)} (without effect: there is no Java)")
