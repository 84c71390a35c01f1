"""The benchmark command, as far as it goes without a load generator."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def bench(*arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmarks with programs from `path` only."""
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, env={"PATH": path}, capture_output=True, text=True, check=False)


def test_missing_tools_are_named_with_the_way_to_get_them(tmp_path: Path) -> None:
    """Without wrk or a compiler nothing is measured, and the message says what to install."""
    result = bench("--quick", path=str(tmp_path))
    assert result.returncode == 2
    assert "wrk (wrk)" in result.stderr
    assert "apt-get install" in result.stderr


def test_unknown_system_is_refused(tmp_path: Path) -> None:
    """A system that cannot run here is named, and nothing is started."""
    for tool in ("wrk", "cc"):
        (tmp_path / tool).write_text("#!/bin/sh\n")
        (tmp_path / tool).chmod(0o755)
    result = bench("--systems", "floor,nobody", path=f"{tmp_path}:/usr/bin:/bin")
    assert result.returncode == 1
    assert "not here: nobody" in result.stderr
