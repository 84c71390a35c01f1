"""`python -m argosy`: the command line, or the server process that `multi-model-server` starts."""

from __future__ import annotations

import importlib
import sys

from argosy.cli.daemon import CLASS_NAME


def start() -> None:
    """Run what the arguments ask for; each side is imported only when it is wanted."""
    try:
        if CLASS_NAME in sys.argv[1:2]:
            importlib.import_module("argosy.cli.server_process").main(sys.argv[2:])
        else:
            importlib.import_module("argosy.cli.main").main(prog_name="argosy")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    start()
