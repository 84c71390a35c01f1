"""Child processes: their start, their output, their end, and that nothing of them stays."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.supervisor.process import Exit, Launch, Process, Reaper, children, start
from argosy.testing.server import is_alive, state_of, wait_for


async def until(probe: Callable[[], object]) -> None:
    """Let the loop run until the probe is true."""
    while True:
        if probe():
            return
        await asyncio.sleep(0.001)


class Child:
    """A Python program run as a worker would be; what it wrote and how it ended."""

    def __init__(self, reaper: Reaper, code: str, folder: Path) -> None:
        loop = asyncio.get_running_loop()
        self.lines: list[tuple[str, bytes]] = []
        self.ended: asyncio.Future[Exit] = loop.create_future()
        launch = Launch([sys.executable, "-c", code], dict(os.environ), str(folder), [])
        self.process = Process(loop, reaper, start(launch), self.ended.set_result, lambda stream, line: self.lines.append((stream, line)))

    async def wait(self) -> str:
        return str(await self.ended)


@pytest.fixture(autouse=True)
def no_children() -> Iterator[None]:
    """Each test leaves the processes and descriptors as they were."""
    gc.collect()  # what other tests left to the collector must not go meanwhile
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert children() == []
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("pass", "exited with status 0"),
        ("import sys; sys.exit(3)", "exited with status 3"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by SIGKILL"),
        ("import os; os.kill(os.getpid(), 40)", "was killed by signal 40"),
    ],
)
def test_how_it_ended(code: str, status: str, tmp_path: Path) -> None:
    """Exit status and signal are told apart, and the process is reaped."""

    async def story() -> None:
        child = Child(Reaper(asyncio.get_running_loop()), code, tmp_path)
        assert repr(child.process) == f"<Process {child.process.pid} running>"
        assert await child.wait() == status
        assert repr(child.process) == f"<Process {child.process.pid} ended>"
        assert state_of(child.process.pid) == ""
        child.process.kill()

    asyncio.run(story())


def test_an_end_that_nobody_saw() -> None:
    """When another part has reaped the process, all that is known is that it ended."""
    assert str(Exit(None, None)) == "ended"


def test_output(tmp_path: Path) -> None:
    """Lines come whole from both streams; endless ones in pieces of 16 KiB, raw bytes as they are, the last one also without a newline."""
    code = "import os; os.write(1, b'one\\ntwo\\n' + b'z' * 40000 + b'\\n'); os.write(2, b'\\xff\\x00\\nrest')"

    async def story() -> None:
        child = Child(Reaper(asyncio.get_running_loop()), code, tmp_path)
        await child.wait()
        out = [line for stream, line in child.lines if stream == "stdout"]
        assert out[:2] == [b"one", b"two"]
        assert b"".join(out[2:]) == b"z" * 40000
        assert max(map(len, out)) <= 64 * 1024
        assert [line for stream, line in child.lines if stream == "stderr"] == [b"\xff\x00", b"rest"]

    asyncio.run(story())


def test_the_whole_group_is_killed(tmp_path: Path) -> None:
    """What the process has started in its group goes with it, both when it is killed and when it ends by itself."""
    for ending in ("signal.pause()", "os._exit(0)"):
        code = f"import os, signal\npid = os.fork()\nif pid == 0:\n    signal.pause()\nprint(pid, flush=True)\n{ending}"

        async def story(code: str = code, kills: bool = "pause()" in ending) -> None:
            child = Child(Reaper(asyncio.get_running_loop()), code, tmp_path)
            await until(lambda: child.lines)
            if kills:
                child.process.kill()
            await child.wait()
            wait_for(lambda: not is_alive(int(child.lines[0][1])), "its child is gone")

        asyncio.run(story())


def test_a_pipe_that_stays_open(tmp_path: Path) -> None:
    """A process that left the group and keeps the output open does not delay the end."""
    child_code = "if pid == 0:\n    os.setsid()\n    os.write(2, b'here\\n')\n    signal.pause()\n"
    code = f"import os, signal\npid = os.fork()\n{child_code}print(pid, flush=True)\nsignal.pause()"

    async def story() -> None:
        child = Child(Reaper(asyncio.get_running_loop()), code, tmp_path)
        await until(lambda: len(child.lines) > 1)
        child.process.kill()
        await child.wait()
        other = next(int(line) for stream, line in child.lines if stream == "stdout")
        assert is_alive(other)
        os.kill(other, signal.SIGKILL)

    asyncio.run(story())


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    """The failure names the program and the folder, and no descriptor is lost."""
    for argv, folder in ((["/no/such/python"], tmp_path), ([sys.executable], tmp_path / "missing")):
        with pytest.raises(ArgosyError, match="cannot start") as caught:
            start(Launch(argv, {}, str(folder), []))
        assert caught.value.code is ErrorCode.LOAD_FAILED


def test_no_descriptors_left(tmp_path: Path) -> None:
    """Whichever descriptor is the one too many, starting fails as a failure to load, or works; nothing is lost."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def story(room: int) -> None:
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + room, hard))
        try:
            child = Child(Reaper(asyncio.get_running_loop()), "pass", tmp_path)
        except ArgosyError:
            return
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        child.process.kill()
        os.waitid(os.P_PID, child.process.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222  SIGCHLD is not watched here
        child.process._reaper.collect()
        await child.wait()

    for room in range(1, 9):
        asyncio.run(story(room))


def test_orphans_are_reaped(tmp_path: Path) -> None:
    """A process whose parent has died comes to us; it is reaped when it ends, and killed when we stop."""
    code = "import os, signal\nif os.fork() == 0:\n    os.setsid()\n    print(os.getpid(), flush=True)\n    signal.pause()\nsignal.pause()"

    async def story() -> None:
        reaper = Reaper(asyncio.get_running_loop())
        reaper.start()
        orphans = []
        for _ in range(2):
            child = Child(reaper, code, tmp_path)
            await until(lambda child=child: child.lines)  # type: ignore[misc]  # mypy cannot infer it
            orphans.append(int(child.lines[0][1]))
            child.process.kill()
            await child.wait()
        assert repr(reaper) == "<Reaper 0 processes>"
        os.kill(orphans[0], signal.SIGKILL)
        await until(lambda: not state_of(orphans[0]))
        assert is_alive(orphans[1])
        reaper.stop()
        reaper.stop()
        assert state_of(orphans[1]) == ""

    before = signal.getsignal(signal.SIGCHLD)
    asyncio.run(story())
    assert signal.getsignal(signal.SIGCHLD) is before
