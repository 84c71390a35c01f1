"""What makes a process a worker: it dies with its server, is killed first when memory is short, and its output is a log."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import select
import signal
import sys
from typing import Callable

from argosy.worker.output import Output, Running

_PR_SET_PDEATHSIG = 1
_OOM_SCORE_ADJ = 500
_LOADING_SCORE_ADJ = 900
"""A worker that loads goes before one that serves, however small it is yet: who asked for it is told and can make room."""
_SERVER_GONE = 0


def die_with_parent(fd: int) -> None:
    """Have the kernel kill this process when the server ends, where it can; end at once if `fd`, the link, is closed already."""
    parent = os.getppid()
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):  # without it the worker ends when it next reads the closed link
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    poll = select.poll()
    poll.register(fd, 0)
    if os.getppid() != parent or any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0)):
        os._exit(_SERVER_GONE)


def nothing_to_do() -> None:
    """For processes that load nothing themselves."""


def offer_to_oom_killer() -> Callable[[], None]:
    """Make the kernel prefer this process to the server when memory runs out, where it lets us, and to other workers until the result is called."""
    try:
        with open("/proc/self/oom_score_adj") as file:
            score = int(file.read())
    except (OSError, ValueError):  # not Linux
        return nothing_to_do
    _set_score(min(1000, score + _LOADING_SCORE_ADJ))
    return lambda: _set_score(min(1000, score + _OOM_SCORE_ADJ))


def _set_score(score: int) -> None:
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # not allowed
        file.write(str(score))


def set_signals() -> None:
    """SIGINT belongs to the server, which the terminal sends it to as well; SIGTERM ends the worker as usual."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def set_output(running: Running) -> Output:
    """Write at once, marked with what is running, and what is logged at INFO and above to standard output as bare text."""
    output = Output(running)
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
    return output
