"""One process of a local endpoint: what it prints, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.local.child import Child
from argosy.sagemaker.local.engine import Recipe
from argosy.testing.server import is_alive, wait_for


async def until(probe: Callable[[], bool], what: str) -> None:
    """Wait, while the loop goes on, until it is so."""
    await asyncio.to_thread(wait_for, probe, what)


def script(*code: str) -> Recipe:
    """A process of these lines."""
    return Recipe((sys.executable, "-u", "-c", "\n".join(code)), dict(os.environ), None)


def told(recipe: Recipe, then: Callable[[Child, bytearray], Awaitable[None]]) -> bytes:
    """What a child printed, once `then` is through with it."""

    async def run() -> bytes:
        said = bytearray()
        child = Child(recipe, said.extend)
        await then(child, said)
        return bytes(said)

    return asyncio.run(run())


async def exited(child: Child, said: bytearray) -> None:
    """Wait for its end."""
    await child.exited.wait()


def test_everything_that_a_child_printed_is_there_at_its_end() -> None:
    """Also when it prints much and ends at once."""
    assert told(script("print('x' * 300000, end='')"), exited) == b"x" * 300_000


def test_a_grandchild_that_holds_the_output_is_not_waited_for() -> None:
    """It ends with the group."""
    code = ("import subprocess, sys", "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])", "print(child.pid)")
    pid = int(told(script(*code), exited))
    wait_for(lambda: not is_alive(pid), "the end of the grandchild")


def test_a_child_that_ignores_the_end_is_killed() -> None:
    """After the time it has."""

    async def end(child: Child, said: bytearray) -> None:
        await until(lambda: bool(said), "the child")
        await child.end(0.05)
        assert child.status == -signal.SIGKILL

    told(script("import signal", "signal.signal(signal.SIGTERM, signal.SIG_IGN)", "print('ready')", "while True: signal.pause()"), end)


def test_a_child_with_a_stop_command_is_ended_by_it_and_removed(tmp_path: Path) -> None:
    """As containers are: their client is not signalled."""
    ready, removed = tmp_path / "ready", tmp_path / "removed"
    path = repr(str(ready))
    wait = script("import os, time", f"open({path}, 'w').close()", f"while os.path.exists({path}): time.sleep(0.01)", "print('bye')")
    recipe = Recipe(wait.command, wait.env, None, ("rm", str(ready)), remove=("touch", str(removed)))

    async def end(child: Child, said: bytearray) -> None:
        await until(ready.exists, "the child")
        await child.end(5.0)
        assert child.status == 0

    assert told(recipe, end) == b"bye\n"
    assert removed.exists()


STUBBORN = ("import signal", "signal.signal(signal.SIGTERM, signal.SIG_IGN)", "print('ready')", "while True: signal.pause()")


def test_a_child_that_is_being_ended_can_be_hurried() -> None:
    """It is killed while it still has minutes; who hurries it again, or after its end, changes nothing."""

    async def end(child: Child, said: bytearray) -> None:
        await until(lambda: bool(said), "the child")
        ending = asyncio.create_task(child.end(600.0))
        await asyncio.sleep(0)
        for _ in range(2):
            child.hurry()
        await ending
        assert child.status == -signal.SIGKILL
        child.hurry()
        assert repr(child) == f"<Child {child.pid} ended>"

    told(script(*STUBBORN), end)


def test_a_container_that_is_being_ended_can_be_hurried(tmp_path: Path) -> None:
    """By its engine's command, once; the removal comes after it."""
    ready, order = tmp_path / "ready", tmp_path / "order"
    path = repr(str(ready))
    wait = script("import os, time", f"open({path}, 'w').close()", f"while os.path.exists({path}): time.sleep(0.01)")
    kill, remove = (("sh", "-c", f"echo {word} >> {order}; rm -f {ready}") for word in ("kill", "remove"))

    async def end(child: Child, said: bytearray) -> None:
        await until(ready.exists, "the child")
        ending = asyncio.create_task(child.end(600.0))
        await asyncio.sleep(0)
        for _ in range(2):
            child.hurry()
        await ending

    told(Recipe(wait.command, wait.env, None, ("true",), kill, remove), end)
    assert order.read_text().split() == ["kill", "remove"]


def test_a_command_that_does_not_exist_is_told() -> None:
    """As a failure to load."""
    with pytest.raises(ArgosyError, match="no-such-command cannot be started: No such file") as caught:
        told(Recipe(("no-such-command",), {}, None), exited)
    assert caught.value.code is ErrorCode.LOAD_FAILED


def test_a_file_that_may_not_be_run_is_told(tmp_path: Path) -> None:
    """In the words of the system; and so is one that turns out to be no program, where a container's output is."""
    file = tmp_path / "data"
    file.write_bytes(b"\0")
    with pytest.raises(ArgosyError, match="data cannot be started: Permission denied"):
        told(Recipe((str(file),), {}, None), exited)
    file.chmod(0o755)
    assert told(Recipe((str(file),), {}, None), exited) == f"{file} cannot be started: Exec format error\n".encode()
