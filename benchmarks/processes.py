"""What the machine knows about processes: which belong to a server, how much CPU they used, what else is running."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

MARK = "BENCH_SERVER_MARK"
KILL_S = 10.0
"""After that a killed process that is still there is left to the system."""


class Tree:
    """A server and everything that it started. It is found by a mark in the environment and by descent, so a process that detaches is still seen."""

    def __init__(self, command: list[str], directory: Path, environment: Mapping[str, str]) -> None:
        self._mark = f"{os.getpid()}-{time.monotonic_ns()}"
        self.log = directory / "server.log"
        with self.log.open("wb") as log:
            self.root = subprocess.Popen(
                command, cwd=directory, env={**os.environ, **environment, MARK: self._mark}, stdout=log, stderr=log, start_new_session=True
            )

    def __repr__(self) -> str:
        return f"<Tree {self.root.pid} processes={len(self.pids())} exit={self.root.poll()}>"

    def pids(self) -> set[int]:
        """The processes that are alive now."""
        parents = {}
        found = set()
        for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
            with contextlib.suppress(OSError):
                parents[pid] = _parent(pid)
                if f"{MARK}={self._mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes():
                    found.add(pid)
        grown = True
        while grown:
            children = {pid for pid, parent in parents.items() if parent in found} - found
            found |= children
            grown = bool(children)
        return found

    def cpu_ns(self) -> int:
        """Nanoseconds on a CPU, user and system, of all threads of all live processes."""
        return sum(_cpu_ns(pid) for pid in self.pids())

    def pss_mb(self) -> float:
        """Megabytes that the tree holds: what several processes share is counted once."""
        return sum(_pss_kb(pid) for pid in self.pids()) / 1024

    def stop(self) -> None:
        """Ask the server to end, then kill what is left after five seconds."""
        with contextlib.suppress(OSError):
            os.killpg(self.root.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.root.wait(5)
        until = time.monotonic() + KILL_S
        while (left := self.pids() - {self.root.pid} | ({self.root.pid} if self.root.poll() is None else set())) and time.monotonic() < until:
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _cpu_ns(pid: int) -> int:
    total = 0
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return total


def _pss_kb(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def machine_busy_s() -> float:
    """Seconds that all CPUs together were not idle since boot; time taken by other machines of the host does not count."""
    user, nice, system, _idle, _wait, irq, softirq = (int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:8])
    return float(user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def stolen_s() -> float:
    """Seconds since boot that other machines of the host had the CPUs while this one wanted them."""
    return float(Path("/proc/stat").read_text().splitlines()[0].split()[8]) / os.sysconf("SC_CLK_TCK")
