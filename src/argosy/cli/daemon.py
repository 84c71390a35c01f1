"""The server as a process of its own: the pid file, starting in the background, stopping."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from argosy.folders import temporary_folder

CLASS_NAME = "com.amazonaws.ml.mms.ModelServer"
"""Process managers find the server by this argument; no other process of ours carries it."""
READY_FD = "ARGOSY_READY_FD"
"""Names the descriptor on which a server in the background tells its launcher that it listens."""
_PROC = Path("/proc")


def pid_file(environ: Mapping[str, str], cwd: Path) -> Path:
    """Where the pid of the server is, as a decimal number without a newline."""
    return temporary_folder(environ, cwd) / ".model_server.pid"


def read_pid(path: Path) -> int | None:
    """The pid in the file; 0 if there is no number in it, None if there is no file."""
    try:
        text = path.read_text("ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        return 0
    return int(text) if text.isdigit() and len(text) < 10 else 0


def claim(path: Path) -> bool:
    """Write our own pid, whole or not at all. False if there is a file already. Raises OSError when the folder cannot be written."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        os.write(handle, str(os.getpid()).encode())
        os.fchmod(handle, 0o644)
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        os.close(handle)
        os.unlink(temporary)
    return True


def release(path: Path) -> None:
    """Delete the pid file if it still names this process."""
    if read_pid(path) == os.getpid():
        path.unlink(missing_ok=True)


def is_server(pid: int) -> bool:
    """Whether the process exists and is a model server: pids are used again, so the number alone proves nothing."""
    try:
        arguments = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    # a zombie has no arguments
    return pid > 0 and CLASS_NAME.encode() in arguments


def start_background(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Start the server in a session of its own and wait until it listens: 0. If it ends before that: its exit status, at least 1."""
    reader, writer = os.pipe()
    try:
        child = subprocess.Popen(
            argv, env={**environ, READY_FD: str(writer)}, stdin=subprocess.DEVNULL, start_new_session=True, pass_fds=(writer,))
    finally:
        os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        if pipe.read(1):
            # it goes on without us: nobody waits for it here
            child.returncode = 0
            return 0
    return max(child.wait(), 1)


def tell_launcher(environ: Mapping[str, str]) -> None:
    """Say that the server listens, if somebody waits for that."""
    text = environ.get(READY_FD, "")
    if text.isdigit():
        with contextlib.suppress(OSError):
            os.write(int(text), b"1")
            os.close(int(text))


def stop(pid: int, wait_s: float) -> None:
    """End the server: SIGTERM, which drains; after `wait_s` seconds SIGKILL for it and whatever it started. Returns when it is gone."""
    processes = [fd for one in (pid, *descendants(pid)) if (fd := _open(one)) is not None]
    try:
        if processes and is_server(pid):
            _signal(processes[0], signal.SIGTERM)
            ended(processes[:1], wait_s)
            _end_all(processes)
    finally:
        for fd in processes:
            os.close(fd)


def _end_all(processes: Sequence[int]) -> None:
    """Kill what is left; a process file descriptor never hits a stranger."""
    if ended(processes, 2.0):
        return
    for fd in processes:
        _signal(fd, signal.SIGKILL)
    ended(processes, 5.0)


def ended(processes: Sequence[int], wait_s: float) -> bool:
    """Wait until all processes have ended, at most `wait_s` seconds; whether they have."""
    limit = time.monotonic() + wait_s
    waiting = select.poll()
    left = set(processes)
    for fd in processes:
        waiting.register(fd, select.POLLIN)
    while left and (pause := limit - time.monotonic()) > 0:
        for fd, _ in waiting.poll(pause * 1000):
            waiting.unregister(fd)
            left.discard(fd)
    return not left


def descendants(pid: int) -> list[int]:
    """All processes that the process started, and those they started."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    found = [pid]
    for one in found:
        found.extend(children.get(one, ()))
    return found[1:]


def _parents() -> Iterator[tuple[int, int]]:
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # the name in brackets may hold blanks and brackets
                yield int(folder.name), int((folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1])


def _open(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _signal(fd: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(fd, number)
