"""A script that becomes a command which is asked to end when its parent is gone: `python tether.py PARENT COMMAND…`.

It stands between, and not a function that runs in the child between fork and exec: the parent may have threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that Python ignores, and the command would after it."""
CANNOT_START = 127


def bound(command: Sequence[str], parent: int, python: str = sys.executable) -> list[str]:
    """The command line that runs `command` so that it gets SIGTERM when the thread that started it has ended. `parent` is the process of that."""
    return [python, "-I", "-S", __file__, str(parent), *command]


def become(parent: int, command: list[str]) -> str:
    """Become the command, or end if the parent is gone already. Returns only to say why the command cannot be started."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    # a parent that ended before this line sends no signal
    if os.getppid() != parent:
        raise SystemExit(CANNOT_START)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606  it is given as words
    except OSError as error:
        return f"{command[0]} cannot be started: {error.strerror}"


if __name__ == "__main__":
    print(become(int(sys.argv[1]), sys.argv[2:]), flush=True)  # noqa: T201  what the command would print goes where this goes
    sys.exit(CANNOT_START)
