"""Turns file descriptors into a link and runs the worker on it."""

from __future__ import annotations

import mmap
import os
import socket
import sys
from typing import Dict, List, Optional

from argosy.worker import compat, forks, process
from argosy.worker.link import Link
from argosy.worker.loop import Worker
from argosy.worker.output import Running

OPTIONS = ("--fd", "--page-fd", "--arena-fd", "--arena-size", "--fork-fd", "--seed-fd")
USAGE = 2


def read_options(argv: List[str]) -> Dict[str, int]:
    """The numbers behind the options. Raises ValueError for anything else."""
    found = dict(zip(argv[::2], map(int, argv[1::2])))  # noqa: B905  strict= needs Python 3.10
    if len(argv) % 2 or not set(found) <= set(OPTIONS) or not {"--fd", "--page-fd"} <= set(found):
        raise ValueError("options are {}, each with a number".format(" ".join(OPTIONS)))
    return found


def _map_arena(options: Dict[str, int]) -> Optional[memoryview]:
    if "--arena-fd" not in options:
        return None
    return memoryview(mmap.mmap(options["--arena-fd"], options["--arena-size"], mmap.MAP_SHARED, mmap.PROT_READ))


def main(argv: List[str]) -> int:
    """Run a worker until its server stops it; the result is the exit status."""
    try:
        options = read_options(argv)
    except ValueError as error:
        sys.stderr.write("a worker is started by the server, not by hand: {}\n".format(error))
        return USAGE
    process.set_signals()
    process.die_with_parent(options["--fd"])
    loaded = process.nothing_to_do if "--seed-fd" in options else process.offer_to_oom_killer()
    running = Running()
    output = process.set_output(running)
    compat.install()
    for name in ("--fd", "--page-fd", "--arena-fd", "--fork-fd", "--seed-fd"):
        if name in options:
            os.set_inheritable(options[name], False)
    page = mmap.mmap(options["--page-fd"], 0)
    link = Link(socket.socket(fileno=options["--fd"]), memoryview(page))
    os.register_at_fork(after_in_child=link.abandon)
    worker = Worker(link, _map_arena(options), running, loaded)
    if "--fork-fd" in options:
        return worker.preload() or forks.serve(worker, socket.socket(fileno=options["--fork-fd"]), output)
    if "--seed-fd" in options:
        worker.tell_ready()
        return forks.serve(worker, socket.socket(fileno=options["--seed-fd"]), output)
    status = worker.run()
    if link.abandoned:
        os._exit(0)  # a fork of the handler's that came back out of it: it must not run the worker's exit handlers
    return status
