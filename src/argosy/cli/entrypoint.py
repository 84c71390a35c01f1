"""What a container of Argosy runs as process 1: the server for `serve`, or the command that it was given. Nothing stays in between."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from argosy.cli.compatible import launch, say
from argosy.cli.place import current_folder

_SERVERS = frozenset({"multi-model-server", "mxnet-model-server"})
_SHELL = re.compile(r"[;&|<>()$`*?#~\n\\]")
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
Serve = Callable[[Sequence[str]], int]
Exec = Callable[[str, list[str], Mapping[str, str]], object]


def main() -> None:
    """The command `argosy-entrypoint`; ends with the status of what it ran, unless it becomes that."""
    sys.exit(run(sys.argv[1:], os.environ, current_folder(), serve, os.execvpe))


def serve(options: Sequence[str]) -> NoReturn:
    """`argosy serve` in this process, which ends with its status."""
    from argosy.cli.serve import serve_command

    serve_command.main(list(options), prog_name="serve")


def words(argv: Sequence[str]) -> list[str]:
    """The command in words. One argument with blanks is a line: split, or left to a shell if it uses what only a shell knows.

    Without any argument it is `serve`.
    """
    if len(argv) != 1 or not re.search(r"\s", argv[0]):
        return list(argv) or ["serve"]
    if _SHELL.search(argv[0]):
        return ["/bin/sh", "-c", argv[0]]
    try:
        return shlex.split(argv[0]) or ["serve"]
    except ValueError:
        return ["/bin/sh", "-c", argv[0]]


def run(argv: Sequence[str], environ: Mapping[str, str], cwd: Path, serve: Serve, become: Exec) -> int:
    """Be the server or become the command; the exit status: 127 for a command that does not exist, 126 for one that is no program.

    `serve` gets its options. `multi-model-server` stays in the foreground.
    """
    command = words(argv)
    if command[0] == "serve":
        return serve(command[1:])
    if command[0].rpartition("/")[2] in _SERVERS:
        return launch([*command[1:], "--foreground"], environ, cwd)
    try:
        become(command[0], command, environ)
    except FileNotFoundError:
        say(f"There is no command {command[0]} in this image; `serve` starts the model server.")
        return _NOT_FOUND
    except OSError as error:
        say(f"{command[0]} cannot be run: {error.strerror}")
    return _NOT_EXECUTABLE
