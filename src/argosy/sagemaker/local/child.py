"""One server while it runs: a process, or the client of a container engine with the container behind it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.local.engine import Recipe
from argosy.sagemaker.local.tether import bound

_log = logging.getLogger("argosy.sagemaker")
_PIECE = 64 * 1024
_ENGINE_S = 20.0
"""How much longer than the container an engine may take for its commands."""


class Child:
    """Started when it is made, by a thread that lives longer. `told` gets what it prints.

    Raises `ArgosyError` LOAD_FAILED when there is no such program.
    """

    def __init__(self, recipe: Recipe, told: Callable[[bytes], None]) -> None:
        self._recipe = recipe
        self._told = told
        self._loop = asyncio.get_running_loop()
        self.exited = asyncio.Event()
        self._hurrying: asyncio.Task[None] | None = None
        self._process = _start(recipe)
        assert self._process.stdout is not None
        self._pipe = self._process.stdout.fileno()
        os.set_blocking(self._pipe, False)
        self._loop.add_reader(self._pipe, self._read)
        self._pidfd = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._pidfd, self._ended)

    def __repr__(self) -> str:
        return f"<Child {self._process.pid} {'ended' if self.exited.is_set() else 'running'}>"

    @property
    def pid(self) -> int:
        """Of the process, which is also the number of its group."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.returncode

    def _read(self) -> bool:
        """Take what it printed; whether there may be more."""
        try:
            data = os.read(self._pipe, _PIECE)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(self._pipe)
            return False
        self._told(data)
        return True

    def _ended(self) -> None:
        """The process has ended. What it left behind in its group ends too, and the pipe is read to its end, whoever holds it."""
        self._process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        while self._read():
            pass
        self._loop.remove_reader(self._pipe)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self.exited.set()

    async def end(self, stop_s: float) -> None:
        """End it: gently, after `stop_s` seconds by force. Nothing of it is left."""
        try:
            if not self.exited.is_set():
                await self._ask_to_end(stop_s)
        finally:
            if not self.exited.is_set():
                self._process.kill()
            await self.exited.wait()
            if self._hurrying is not None:
                await self._hurrying
            if self._recipe.remove:
                await _run(self._recipe.remove, _ENGINE_S)

    def hurry(self) -> None:
        """Let `end`, which waits for it to end gently, wait no longer."""
        if self.exited.is_set() or self._hurrying is not None:
            return
        if self._recipe.kill:
            self._hurrying = self._loop.create_task(_run(self._recipe.kill, _ENGINE_S))
        else:
            self._process.kill()

    async def _ask_to_end(self, stop_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            if self._recipe.stop:
                await _run(self._recipe.stop, stop_s + _ENGINE_S)
                stop_s = _ENGINE_S
            else:
                self._process.terminate()
            await asyncio.wait_for(self.exited.wait(), stop_s)


def _start(recipe: Recipe) -> subprocess.Popen[bytes]:
    """Start it so that it is asked to end if we are killed. Raises `ArgosyError` LOAD_FAILED."""
    program = recipe.command[0]
    try:
        if shutil.which(program, path=recipe.env.get("PATH")) is None:
            number = errno.EACCES if os.path.exists(program) else errno.ENOENT
            raise OSError(number, os.strerror(number))
        # a session of its own: Ctrl-C on the terminal is for us, who end it in order
        return subprocess.Popen(
            bound(recipe.command, os.getpid()), env=dict(recipe.env), cwd=recipe.cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip
    except OSError as error:
        raise ArgosyError(ErrorCode.LOAD_FAILED, f"{program} cannot be started: {error.strerror}") from None


async def _run(command: Sequence[str], timeout_s: float) -> None:
    """Run a command of the engine. That it fails is no failure: what it shall end may be gone already."""

    def run() -> None:
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            _log.warning("%s: %s", " ".join(command), error)

    await asyncio.to_thread(run)
