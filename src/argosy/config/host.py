"""What the machine gives us: processors, memory, open files and GPUs, with the limits of container and affinity respected."""

from __future__ import annotations

import ctypes
import math
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argosy.config.settings import Config
from argosy.errors import ArgosyError, ErrorCode

FILE_RESERVE = 256
"""Files kept for workers, archives, logs and listeners; the rest may be client connections."""
LEAST_FILES = 64
"""With fewer open files no server starts: listeners, logs and one worker need about half of them."""
_CGROUPS = Path("/sys/fs/cgroup")
_GPU_QUERY = ("nvidia-smi", "--query-gpu=index", "--format=csv")
_NVML = "libnvidia-ml.so.1"
Runner = Callable[[Sequence[str]], str]
"""Runs a program and returns its output; raises OSError when that does not work."""
OpenLibrary = Callable[[str], Any]
"""Opens a shared library by name, whose functions are its attributes; raises OSError when that does not work."""


@dataclass(frozen=True, slots=True)
class Host:
    """What this process may use."""

    processors: int
    processors_reason: str
    """Which limit it comes from, for the operator."""
    memory_bytes: int
    open_files: int


def read_host(root: Path = Path("/")) -> Host:
    """Look at the machine. `root` is where /proc and /sys are; what cannot be read does not limit. Never fails."""
    import resource

    groups = list(_cgroup_folders(root))
    count, reason = _processors(groups)
    # the server raises its own limit to the hard one
    open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return Host(count, reason, _memory(groups), open_files if open_files > 0 else 1024 * 1024)


def check_host(host: Host, root: Path = Path("/")) -> None:
    """Raises `ArgosyError` INVALID_CONFIG when no server can run here."""
    if host.open_files < LEAST_FILES:
        need = f"a server needs at least {LEAST_FILES}, and one for each client: raise it, ulimit -n 1024"
        raise ArgosyError(ErrorCode.INVALID_CONFIG, f"The limit on open files is {host.open_files}, but {need}.")
    if not (root / "proc" / "self").exists():
        raise ArgosyError(ErrorCode.INVALID_CONFIG, "There is no /proc here, where a server sees its workers: mount it, mount -t proc proc /proc.")


def oom_kills(root: Path = Path("/")) -> int:
    """How many processes of our cgroup the kernel has killed for lack of memory; without a cgroup that tells, of the machine. 0 when nobody tells."""
    for group in _cgroup_folders(root):
        for name in ("memory.events", "memory.oom_control"):
            if (found := _entry(group / name, "oom_kill")) is not None:
                return found
    return _entry(root / "proc/vmstat", "oom_kill") or 0


def _entry(path: Path, name: str) -> int | None:
    """The number behind a name in a file of such lines; None if it is not there."""
    for line in _read(path).splitlines():
        word, _, number = line.partition(" ")
        if word == name and number.isdigit():
            return int(number)
    return None


def free_memory(root: Path = Path("/")) -> int:
    """Bytes that processes may still take: what the machine has available, or less where a cgroup's limit comes first. Never fails."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    found = re.search(r"^MemAvailable:\s*(\d+) kB", _read(root / "proc/meminfo"), re.MULTILINE)
    free = [room for group in _cgroup_folders(root) for room in _room(group)]
    return max(0, min([int(found[1]) * 1024 if found else total, *free]))


def _room(group: Path) -> Iterator[int]:
    """What a cgroup, v2 or v1, lets its processes take yet. Cached files do not count: they give way."""
    for limit, used, prefix in (("memory.max", "memory.current", ""), ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")):
        texts = _read(group / limit), _read(group / used)
        if texts[0].isdigit() and texts[1].isdigit():
            cached = (_entry(group / "memory.stat", f"{prefix}{name}") or 0 for name in ("inactive_file", "active_file"))
            yield int(texts[0]) - int(texts[1]) + sum(cached)


def count_gpus(run: Runner, open_library: OpenLibrary) -> int:
    """How many GPUs the driver's own library counts, else how many `nvidia-smi` lists; 0 when neither answers."""
    counted = nvml_gpus(open_library)
    return listed_gpus(run) if counted is None else counted


def nvml_gpus(open_library: OpenLibrary) -> int | None:
    """How many GPUs NVML counts; None when it is not installed or does not work. Like `nvidia-smi` it ignores `CUDA_VISIBLE_DEVICES`."""
    try:
        library = open_library(_NVML)
        if library.nvmlInit_v2() != 0:
            return None
        try:
            count = ctypes.c_uint()
            return count.value if library.nvmlDeviceGetCount_v2(ctypes.byref(count)) == 0 else None
        finally:
            library.nvmlShutdown()
    except (OSError, AttributeError):  # no such library, or one without these functions
        return None


def open_library(name: str) -> Any:
    """A shared library of the system. Raises OSError when there is none of that name."""
    return ctypes.CDLL(name)


def listed_gpus(run: Runner) -> int:
    """How many GPUs `nvidia-smi` lists; 0 when there is none, or it does not answer as expected."""
    try:
        lines = run(_GPU_QUERY).splitlines()
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return 0
    return len(lines) - 1 if lines and lines[0].strip() == "index" else 0


def run_program(argv: Sequence[str]) -> str:
    """Output of a program. Raises OSError or SubprocessError when it is missing, fails, or takes longer than ten seconds."""
    return subprocess.run(argv, capture_output=True, check=True, text=True, timeout=10, stdin=subprocess.DEVNULL).stdout


def usable_gpus(config: Config, run: Runner, open_library: OpenLibrary) -> int:
    """How many GPUs workers share: those found, capped by `number_of_gpu`. Asks nobody when the cap is 0."""
    if config.number_of_gpu == 0:
        return 0
    found = count_gpus(run, open_library)
    return found if config.number_of_gpu is None else min(found, config.number_of_gpu)


def default_start_workers(config: Config, host: Host, gpus: int) -> tuple[int, str]:
    """How many workers a model that is loaded at start gets, and why, in words for the operator."""
    if config.debug:
        return 1, "debug"
    if config.default_workers_per_model:
        return config.default_workers_per_model, "default_workers_per_model"
    if config.NUM_WORKERS:
        return config.NUM_WORKERS, "NUM_WORKERS"
    if gpus:
        return gpus, "one per GPU"
    return host.processors, f"one per processor: {host.processors_reason}"


def request_memory(host: Host) -> int:
    """Bytes for waiting request bodies when nothing else is said: a quarter of the memory, at least 64 MiB."""
    return max(64 * 1024 * 1024, host.memory_bytes // 4)


def connection_limit(host: Host) -> int:
    """Client connections when nothing else is said: open files less a reserve of 256, but at least half of them."""
    return max(host.open_files - FILE_RESERVE, host.open_files // 2, 1)


def _processors(groups: Sequence[Path]) -> tuple[int, str]:
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for quota in map(_quota, groups) if quota is not None]
    if quotas and min(quotas) < affinity:
        return max(1, math.ceil(min(quotas))), f"the container may use {min(quotas):g}"
    return affinity, f"{affinity} may be used"


def _quota(group: Path) -> float | None:
    """Processors that a cgroup, v2 or v1, allows; None for no limit."""
    quota, _, period = _read(group / "cpu.max").partition(" ")
    if not quota:
        quota, period = _read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return int(quota) / int(period)


def _memory(groups: Sequence[Path]) -> int:
    limits = [int(text) for group in groups for name in ("memory.max", "memory.limit_in_bytes") if (text := _read(group / name)).isdigit()]
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *limits])


def _cgroup_folders(root: Path) -> Iterator[Path]:
    """The folders of our cgroups and of all above them, v2 and v1."""
    base = root / _CGROUPS.relative_to("/")
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        top = base if not controllers else base / controllers
        below = Path(path.lstrip("/"))
        if ".." in below.parts:
            below = Path()
        yield from (top / part for part in (below, *below.parents))
    yield from (base, base / "cpu", base / "memory")


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
