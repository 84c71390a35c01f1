"""What the machine gives us."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from argosy.config import Config, Host, default_start_workers, free_memory, oom_kills, read_host, usable_gpus
from argosy.config.host import check_host, connection_limit, count_gpus, listed_gpus, open_library, request_memory, run_program
from argosy.errors import ArgosyError, ErrorCode

HOST = Host(4, "4 may be used", 8 * 1024**3, 1024)


def write(root: Path, **files: str) -> Path:
    """A root folder with a process in the cgroup /a/b; the names of the files have `__` for a slash."""
    for name, text in {"proc__self__cgroup": "0::/a/b\n", **files}.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_server_needs_files_and_the_kernels_view_of_processes(tmp_path: Path) -> None:
    """Without them it would fail in the middle of its start; the message says what there is, what is needed and how to get it."""
    with pytest.raises(ArgosyError, match=r"^There is no /proc here.*mount -t proc") as caught:
        check_host(HOST, tmp_path)
    assert caught.value.code is ErrorCode.INVALID_CONFIG
    (tmp_path / "proc" / "self").mkdir(parents=True)
    check_host(HOST, tmp_path)
    check_host(dataclasses.replace(HOST, open_files=64), tmp_path)
    with pytest.raises(ArgosyError, match=r"^The limit on open files is 63, but a server needs at least 64.*ulimit -n") as caught:
        check_host(dataclasses.replace(HOST, open_files=63), tmp_path)
    assert caught.value.code is ErrorCode.INVALID_CONFIG


def test_no_cgroup_limits_nothing(tmp_path: Path) -> None:
    """Without any of these files the whole machine counts."""
    host = read_host(tmp_path)
    assert host.processors == len(os.sched_getaffinity(0))
    assert host.memory_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert host.open_files > 0


@pytest.mark.parametrize(("text", "expected"), [("50000 100000", 1), ("max 100000", None), ("1 0", None), ("rubbish", None), ("\0\xff", None)])
def test_processors_of_a_container(tmp_path: Path, text: str, expected: int | None) -> None:
    """A quota is rounded up; nonsense is no limit."""
    write(tmp_path, **{"sys__fs__cgroup__a__b__cpu.max": text})
    assert read_host(tmp_path).processors == (expected or len(os.sched_getaffinity(0)))


def test_the_tightest_limit_above_us_counts(tmp_path: Path) -> None:
    """Limits of the groups above hold too."""
    gib = 1024**3
    write(tmp_path, **{"sys__fs__cgroup__a__b__memory.max": "max", "sys__fs__cgroup__a__memory.max": str(gib), "sys__fs__cgroup__memory.max": "max"})
    assert read_host(tmp_path).memory_bytes == gib


def test_the_older_cgroups(tmp_path: Path) -> None:
    """Version 1 has other files."""
    write(tmp_path, proc__self__cgroup="4:memory:/a\n3:cpu,cpuacct:/a\n", **{
        "sys__fs__cgroup__memory__memory.limit_in_bytes": "1000", "sys__fs__cgroup__cpu__cpu.cfs_quota_us": "1000",
        "sys__fs__cgroup__cpu__cpu.cfs_period_us": "100000"})
    host = read_host(tmp_path)
    assert (host.memory_bytes, host.processors) == (1000, 1)
    assert host.processors_reason == "the container may use 0.01"


def test_a_group_outside_our_view_is_the_root(tmp_path: Path) -> None:
    """Namespaces may show `/../..`; that leads nowhere else."""
    write(tmp_path, proc__self__cgroup="0::/../x\n", **{"sys__fs__cgroup__memory.max": "77"})
    assert read_host(tmp_path).memory_bytes == 77


@pytest.mark.parametrize(("output", "expected"), [
    ("index\n0\n1\n2\n", 3), ("index\n", 0), ("", 0), ("NVIDIA-SMI has failed\n", 0), ("index\n0", 1),
])
def test_gpus_are_counted_by_lines(output: str, expected: int) -> None:
    """The first line must be the heading."""
    asked = []

    def run(argv: Sequence[str]) -> str:
        asked.append(list(argv))
        return output

    assert listed_gpus(run) == expected
    assert asked == [["nvidia-smi", "--query-gpu=index", "--format=csv"]]


def test_no_nvidia_smi_is_no_gpu() -> None:
    """A missing or failing program counts as none."""
    for error in (FileNotFoundError(), subprocess.TimeoutExpired("x", 1), subprocess.CalledProcessError(9, "x")):
        def run(argv: Sequence[str], error: Exception = error) -> str:
            raise error

        assert listed_gpus(run) == 0


def test_programs_are_really_run() -> None:
    """Their output comes back; a failing one raises."""
    assert run_program(["echo", "index"]) == "index\n"
    with pytest.raises(subprocess.CalledProcessError):
        run_program(["false"])


@dataclass
class FakeNvml:
    """The driver's library: statuses of its calls, and a number of GPUs."""

    count: int = 2
    init_status: int = 0
    count_status: int = 0
    calls: list[str] = field(default_factory=list)

    def nvmlInit_v2(self) -> int:  # noqa: N802 - the name in the library
        self.calls.append("init")
        return self.init_status

    def nvmlDeviceGetCount_v2(self, place: Any) -> int:  # noqa: N802
        ctypes.cast(place, ctypes.POINTER(ctypes.c_uint)).contents.value = self.count
        self.calls.append("count")
        return self.count_status

    def nvmlShutdown(self) -> int:  # noqa: N802
        self.calls.append("shutdown")
        return 0


def never(argv: Sequence[str]) -> str:
    """A program that must not be run."""
    raise AssertionError(argv)


def three(argv: Sequence[str]) -> str:
    """An nvidia-smi that lists three GPUs."""
    return "index\n0\n1\n2\n"


def missing(name: str) -> Any:
    """A machine without the library."""
    raise OSError(name)


@pytest.mark.parametrize("count", [0, 2])
def test_the_library_of_the_driver_is_asked_first(count: int) -> None:
    """It is opened by its versioned name, its number counts, also none, and it is closed again; no program is run."""
    library, names = FakeNvml(count), list[str]()

    def opened(name: str) -> FakeNvml:
        names.append(name)
        return library

    assert count_gpus(never, opened) == count
    assert names == ["libnvidia-ml.so.1"]
    assert library.calls == ["init", "count", "shutdown"]


@pytest.mark.parametrize(("library", "calls"), [
    (FakeNvml(init_status=9), ["init"]), (FakeNvml(count_status=999), ["init", "count", "shutdown"]),
])
def test_a_library_that_does_not_work_leaves_it_to_the_program(library: FakeNvml, calls: list[str]) -> None:
    """A driver that does not match, or is not loaded, has the library but no answer."""
    assert count_gpus(three, lambda _: library) == 3
    assert library.calls == calls


def test_without_the_library_the_program_is_asked() -> None:
    """No such library, or one that lacks the functions."""
    assert count_gpus(three, missing) == 3
    assert count_gpus(three, lambda _: object()) == 3


def test_libraries_are_really_opened() -> None:
    """The C library is there, nonsense is an OSError."""
    assert open_library("libc.so.6").getpid() == os.getpid()
    with pytest.raises(OSError, match="argosy"):
        open_library("libargosy-none.so.9")


def test_the_cap_on_gpus() -> None:
    """`number_of_gpu` takes away, never adds; 0 asks nobody."""
    assert [usable_gpus(Config(number_of_gpu=cap), three, missing) for cap in (None, 2, 9)] == [3, 2, 3]
    library = FakeNvml()
    assert usable_gpus(Config(number_of_gpu=0), never, lambda _: library) == 0
    assert library.calls == []


@pytest.mark.parametrize(("config", "gpus", "expected"), [
    (Config(debug=True, default_workers_per_model=5), 2, (1, "debug")),
    (Config(default_workers_per_model=5, NUM_WORKERS=7), 2, (5, "default_workers_per_model")),
    (Config(NUM_WORKERS=7), 2, (7, "NUM_WORKERS")),
    (Config(), 2, (2, "one per GPU")),
    (Config(), 0, (4, "one per processor: 4 may be used")),
])
def test_workers_at_start(config: Config, gpus: int, expected: tuple[int, str]) -> None:
    """The first rule that says something counts, and is told."""
    assert default_start_workers(config, HOST, gpus) == expected


def test_derived_limits() -> None:
    """Small machines keep something too."""
    assert request_memory(HOST) == 2 * 1024**3
    assert request_memory(Host(1, "", 1024, 64)) == 64 * 1024**2
    assert connection_limit(HOST) == 768
    assert connection_limit(Host(1, "", 1024, 64)) == 32


@pytest.mark.parametrize(
    ("files", "kills"),
    [
        ({}, 0),
        ({"proc/vmstat": "pgfault 9\noom_kill 62\n"}, 62),
        ({"proc/vmstat": "oom_kill 62\n", "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.events": "oom 4\noom_kill 3\nmax 0\n"}, 3),
        ({"proc/vmstat": "oom_kill 62\n", "proc/self/cgroup": "4:memory:/a\n", "sys/fs/cgroup/memory/a/memory.oom_control": "oom_kill 2\n"}, 2),
        ({"proc/self/cgroup": "4:memory:/gone\n", "sys/fs/cgroup/memory/memory.oom_control": "oom_kill 1\n"}, 1),
        ({"proc/vmstat": "oom_kill many\n"}, 0),
    ],
)
def test_oom_kills(tmp_path: Path, files: dict[str, str], kills: int) -> None:
    """Counted by our cgroup, v2 or v1, as seen from here; only without one by the machine."""
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert oom_kills(tmp_path) == kills


GIB = 1024**3


@pytest.mark.parametrize(("files", "expected"), [
    ({}, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")),
    ({"proc__meminfo": "MemTotal: 9 kB\nMemAvailable:    2048 kB\n"}, 2 * 1024**2),
    ({"proc__meminfo": "MemAvailable: 9999999 kB\n", "sys__fs__cgroup__a__b__memory.max": str(GIB), "sys__fs__cgroup__a__b__memory.current": "1000"},
     GIB - 1000),
    ({"sys__fs__cgroup__a__memory.max": "3000", "sys__fs__cgroup__a__memory.current": "2900",
      "sys__fs__cgroup__a__memory.stat": "anon 5\ninactive_file 300\nactive_file 20\n"}, 420),
    ({"sys__fs__cgroup__a__memory.max": "3000", "sys__fs__cgroup__a__memory.current": "4000"}, 0),
    ({"sys__fs__cgroup__a__memory.max": "3000"}, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")),
    ({"proc__self__cgroup": "4:memory:/x\n", "sys__fs__cgroup__memory__x__memory.limit_in_bytes": "5000",
      "sys__fs__cgroup__memory__x__memory.usage_in_bytes": "4500",
      "sys__fs__cgroup__memory__x__memory.stat": "inactive_file 1\ntotal_inactive_file 7\n"},
     507),
])
def test_memory_that_is_left(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    """What the machine has available, or less where a group's limit comes first; cached files give way, and what nobody tells limits nothing."""
    assert free_memory(write(tmp_path, **files)) == expected
