"""What the machine gives us."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from argosy.config import Config, Host, default_start_concurrency, default_start_workers, read_host, usable_gpus
from argosy.config.host import connection_limit, count_gpus, request_memory, run_program

HOST = Host(4, "4 may be used", 8 * 1024**3, 1024)


def write(root: Path, **files: str) -> Path:
    """A root folder with a process in the cgroup /a/b; the names of the files have `__` for a slash."""
    for name, text in {"proc__self__cgroup": "0::/a/b\n", **files}.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


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

    assert count_gpus(run) == expected
    assert asked == [["nvidia-smi", "--query-gpu=index", "--format=csv"]]


def test_no_nvidia_smi_is_no_gpu() -> None:
    """A missing or failing program counts as none."""
    for error in (FileNotFoundError(), subprocess.TimeoutExpired("x", 1), subprocess.CalledProcessError(9, "x")):
        def run(argv: Sequence[str], error: Exception = error) -> str:
            raise error

        assert count_gpus(run) == 0


def test_programs_are_really_run() -> None:
    """Their output comes back; a failing one raises."""
    assert run_program(["echo", "index"]) == "index\n"
    with pytest.raises(subprocess.CalledProcessError):
        run_program(["false"])


def test_the_cap_on_gpus() -> None:
    """`number_of_gpu` takes away, never adds; 0 asks nobody."""
    def three(argv: Sequence[str]) -> str:
        return "index\n0\n1\n2\n"

    def never(argv: Sequence[str]) -> str:
        raise AssertionError

    assert [usable_gpus(Config(number_of_gpu=cap), three) for cap in (None, 2, 9)] == [3, 2, 3]
    assert usable_gpus(Config(number_of_gpu=0), never) == 0


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
    assert default_start_concurrency(Config(), HOST) == 4
    assert default_start_concurrency(Config(worker_start_concurrency=9), HOST) == 9
