"""How many instructions the request path takes, counted by callgrind: the same on a busy machine as on an idle one, unlike any time.

`scripts/bench --instructions` compares with what is recorded for the interpreter in `instructions.json`; `--record` writes it down anew.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

RECORDED = Path(__file__).with_name("instructions.json")
MOST_GROWTH = 0.05
_TOTAL = re.compile(r"^totals: (\d+)$", re.MULTILINE)


class CountError(Exception):
    """The instructions cannot be counted; the message says why."""


@dataclass(frozen=True, slots=True)
class Count:
    """Instructions that one request takes on a path, and what they were when that was recorded; None for a path that was not."""

    path: str
    instructions: int
    recorded: int | None

    @property
    def growth(self) -> float:
        """As a part of what was recorded: 0.05 is five per cent more."""
        return self.instructions / self.recorded - 1 if self.recorded else 0.0

    @property
    def is_too_many(self) -> bool:
        """Whether the path has grown by more than the noise of new versions of what it is built on."""
        return self.growth > MOST_GROWTH


def interpreter() -> str:
    """What must be equal for counts to be comparable."""
    return f"{platform.machine()} {platform.python_version()} {' '.join(platform.python_build())} {platform.python_compiler()}"


def is_recorded() -> bool:
    """Whether there is something to compare this interpreter with."""
    return interpreter() in _recorded()


def _recorded() -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = json.loads(RECORDED.read_text())
    return counts


def count() -> list[Count]:
    """Count, some fifteen seconds. Raises `CountError`."""
    known = _recorded().get(interpreter(), {})
    with tempfile.TemporaryDirectory(prefix="argosy-bench-") as folder:
        out = Path(folder) / "out"
        tool = ["valgrind", "-q", "--tool=callgrind", "--dump-before=getloadavg", f"--callgrind-out-file={out}"]
        command = [*tool, sys.executable, "-m", "benchmarks.hotpath"]
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            result = subprocess.run(command, env=environment, cwd=RECORDED.parents[1], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise CountError("valgrind is not installed: apt-get install valgrind") from None
        if result.returncode:
            raise CountError(f"the request path failed: {result.stderr[-2000:]}")
        lines = [line.rpartition("\t") for line in result.stdout.splitlines()]
        # dump 1 ends where the first path begins to count, dump 2 where it ends, and so on
        totals = [_total(out.with_name(f"out.{2 * at + 2}")) for at in range(len(lines))]
    return [
        Count(path, round(total / int(requests)), known.get(path)) for (path, _, requests), total in zip(lines, totals, strict=True)
    ]


def _total(dump: Path) -> int:
    found = _TOTAL.search(dump.read_text())
    if found is None:
        raise CountError(f"callgrind wrote no total into {dump.name}")
    return int(found[1])


def record(counts: list[Count]) -> None:
    """Write down what the interpreter needs now."""
    known = _recorded() | {interpreter(): {count.path: count.instructions for count in counts}}
    RECORDED.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


def report(counts: list[Count]) -> str:
    """A table."""
    lines = [f"{'instructions a request':30}{'now':>10}{'recorded':>10}{'growth':>9}"]
    for each in counts:
        before = "-" if each.recorded is None else f"{each.recorded}"
        lines.append(f"{each.path:30}{each.instructions:10}{before:>10}{each.growth:9.1%}{'  too many' if each.is_too_many else ''}")
    return "\n".join(lines)
