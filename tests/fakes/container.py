"""A container without a container engine: a scratch root with processes, mounts and a network of its own, seen from outside.

Run as a program (in fresh namespaces) it builds the root that its argument describes and becomes the entry point, as process 1.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import http.client
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from argosy.testing.server import wait_for

UNSHARE = ("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child")
_ETC = ("passwd", "group", "hosts", "nsswitch.conf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "ssl")
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1


def why_not() -> str:
    """Why containers cannot be made here; empty if they can."""
    try:
        done = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, timeout=30, check=False)
    except FileNotFoundError:
        return "there is no unshare (util-linux)"
    return "" if done.returncode == 0 else f"namespaces cannot be made: {done.stderr.strip()}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got."""

    status: int
    body: bytes
    kind: str | None
    """The content type."""


@dataclass(slots=True)
class Container:
    """A scratch root below `root`, with the machine's programs and the folders in `shown`. As a context manager it kills what is left.

    `path` gives the folders of PATH before the usual ones.
    """

    root: Path
    shown: Sequence[Path] = ()
    path: Sequence[Path] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        """Put a file into the root."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)
        return target

    def start(self, *argv: str, cwd: str = "/", user: int = 0) -> None:
        """Run the entry point as process 1 of the container."""
        path = ":".join([*map(str, self.path), "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"])
        spec = {
            "root": str(self.root), "shown": [str(folder) for folder in self.shown], "argv": argv, "cwd": cwd, "user": user,
            "env": {"PATH": path, "LANG": "C.UTF-8", **self.env}}  # fmt: skip
        with (self.root.parent / "output").open("wb") as out:
            self._process = subprocess.Popen([*UNSHARE, sys.executable, __file__, json.dumps(spec)], stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def __enter__(self) -> Container:
        self.root.mkdir(exist_ok=True)
        self.root.chmod(0o755)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            with contextlib.suppress(OSError, IndexError):
                # with process 1 everything ends
                os.kill(self._first(), signal.SIGKILL)
            self._process.kill()
            self._process.wait()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process that holds the namespaces; it ends with process 1 and with its status."""
        assert self._process is not None, "the container has not been started"
        return self._process

    @property
    def output(self) -> str:
        """What the entry point and everything that it started printed."""
        return (self.root.parent / "output").read_text("utf-8", "replace")

    def _first(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def stop(self) -> int:
        """SIGTERM for process 1; its exit status. Waits until it handles the signal: the kernel drops it before that."""
        first = self._first()
        wait_for(lambda: _handles(first, signal.SIGTERM), "process 1 to handle SIGTERM")
        os.kill(first, signal.SIGTERM)
        return self.process.wait(60)

    def ask(self, method: str, path: str, body: bytes | str | None = None, kind: str = "", port: int = 8080, **headers: str) -> Answer | None:
        """One request to a port of the container; None when nobody listens there. `kind` is the content type."""
        assert self.process.poll() is None, self.output
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.sock = self._connect(port)
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, {**sent, **({"content-type": kind} if kind else {})})
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), answer.getheader("content-type"))
        except TimeoutError:
            raise
        except (OSError, IndexError):
            return None
        finally:
            connection.close()

    def _connect(self, port: int) -> socket.socket:
        """A socket belongs to the network that its thread was in when it was made."""
        made: list[socket.socket | OSError] = []
        space = os.open(f"/proc/{self._first()}/ns/net", os.O_RDONLY)

        def connect() -> None:
            try:
                if ctypes.CDLL(None, use_errno=True).setns(space, _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
                made.append(socket.create_connection(("127.0.0.1", port), 60))
            except OSError as error:
                made.append(error)

        try:
            thread = threading.Thread(target=connect)
            thread.start()
            thread.join()
        finally:
            os.close(space)
        if isinstance(made[0], OSError):
            raise made[0]
        return made[0]


def _handles(pid: int, number: int) -> bool:
    found = re.search(r"^SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> (number - 1) & 1)


# -- inside ----------------------------------------------------------------------------------------------------------------


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _show(root: Path, source: Path) -> None:
    """Make a folder of the machine appear at the same place."""
    target = root / str(source).lstrip("/")
    if source.is_symlink():
        with contextlib.suppress(FileExistsError):
            target.symlink_to(os.readlink(source))
        return
    target.mkdir(parents=True, exist_ok=True)
    _mount("--rbind", str(source), str(target))


def _programs() -> Iterator[Path]:
    for name in ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "dev", "sys"):
        if (folder := Path("/", name)).exists():
            yield folder


def _fill(root: Path, shown: Sequence[str]) -> None:
    (root / "etc").mkdir(exist_ok=True)
    for name in _ETC:
        source = Path("/etc", name)
        if source.is_dir():
            shutil.copytree(source, root / "etc" / name, symlinks=True, dirs_exist_ok=True)
        elif source.exists():
            shutil.copy(source, root / "etc" / name)
    for name in ("tmp", "proc", "run", "var/tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    for folder in [*_programs(), *map(Path, shown)]:
        if not _is_there(root, folder):
            _show(root, folder)
    _mount("-t", "proc", "proc", str(root / "proc"))


def _is_there(root: Path, folder: Path) -> bool:
    """Whether the folder has been shown with another one."""
    inside = root / str(folder).lstrip("/")
    return inside.exists() and folder.exists() and inside.stat().st_ino == folder.stat().st_ino


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        # SIOCSIFFLAGS with IFF_UP
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))


def main(text: str, become: Callable[[str, list[str], dict[str, str]], object] = os.execvpe) -> None:
    """Build the root, enter it, and become the entry point."""
    spec = json.loads(text)
    root = Path(spec["root"])
    _fill(root, spec["shown"])
    _raise_loopback()
    os.chroot(root)
    os.chdir(spec["cwd"])
    if spec["user"]:
        os.setgroups([])
        os.setgid(spec["user"])
        os.setuid(spec["user"])
        # another user: what --kill-child asked for is forgotten
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ.clear()
    os.environ.update(spec["env"])
    become(spec["argv"][0], spec["argv"], spec["env"])


if __name__ == "__main__":
    main(sys.argv[1])
