"""The process that forks a worker whenever the server asks for one: it has loaded the model if that is preloaded, else nothing of it.

A request is a packet with a number (u64) and four descriptors: link, page, stdout, stderr. The answer is the number and the pid of the worker.
A worker is forked twice and so becomes a child of the server, which adopts orphans.
"""

from __future__ import annotations

import array
import mmap
import os
import socket
import struct
import sys
import time
from typing import List, Optional, Tuple

from argosy.worker import process
from argosy.worker.link import Link
from argosy.worker.loop import Worker
from argosy.worker.output import Output

REQUEST = struct.Struct("<Q")
ANSWER = struct.Struct("<QQ")
DESCRIPTORS = 4
_ADOPTION_S = 5.0


def receive(sock: socket.socket) -> Optional[Tuple[int, List[int]]]:
    """The next request; None when the server is gone."""
    room = socket.CMSG_SPACE(DESCRIPTORS * array.array("i").itemsize)
    data, ancillary, _, _ = sock.recvmsg(REQUEST.size, room)
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    if len(data) != REQUEST.size or len(descriptors) != DESCRIPTORS:
        for descriptor in descriptors:
            os.close(descriptor)
        return None
    return REQUEST.unpack(data)[0], list(descriptors)


def serve(worker: Worker, sock: socket.socket, output: Output) -> int:
    """Fork workers until the server is gone. Returns in the template, and in every worker when that has ended: the exit status."""
    _warn_of_threads()
    while True:
        request = receive(sock)
        if request is None:
            return 0
        number, descriptors = request
        middle = os.fork()
        if middle == 0:
            middle = os.getpid()  # now: it may be gone before the worker could ask who its parent is
            if os.fork():
                os._exit(0)
            _wait_for_adoption(middle)
            return _become(worker, sock, number, descriptors, output)
        os.waitpid(middle, 0)
        for descriptor in descriptors:
            os.close(descriptor)


def _warn_of_threads() -> None:
    """Threads are not there in a fork, and who waits for one there waits for ever: say so, since a hang does not."""
    try:
        count = len(os.listdir("/proc/self/task"))
    except OSError:
        return
    if count > 1:
        text = "The model has started {} threads while it loaded; its workers are forked without them. If predictions hang, turn preload_model off.\n"
        sys.stderr.write(text.format(count - 1))


def _become(worker: Worker, sock: socket.socket, number: int, descriptors: List[int], output: Output) -> int:
    """Be a worker of the server from now on."""
    link_fd, page_fd, out, err = descriptors
    os.setsid()
    process.die_with_parent(link_fd)
    for source, target in ((out, 1), (err, 2)):
        os.dup2(source, target)
        os.close(source)
    output.attach()
    link = Link(socket.socket(fileno=link_fd), memoryview(mmap.mmap(page_fd, 0)))
    os.register_at_fork(after_in_child=link.abandon)
    sock.send(ANSWER.pack(number, os.getpid()))
    sock.close()
    status = worker.adopt(link)
    if link.abandoned:
        os._exit(0)  # a fork of the handler's that came back out of it: it must not run the worker's exit handlers
    return status


def _wait_for_adoption(middle: int) -> None:
    """Wait until the process in the middle has gone: only then is the server our parent, and its death ours."""
    deadline = time.monotonic() + _ADOPTION_S
    while os.getppid() == middle and time.monotonic() < deadline:
        time.sleep(0.0005)  # there is nothing to wait on: a grandchild is not told
