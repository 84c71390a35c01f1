"""Readers of outside bytes, attacked: by inputs mutated from good ones, and by those that coverage guides.

A few seconds each; ARGOSY_EXAMPLES=<number> and ARGOSY_FUZZ_SECONDS=<seconds> say how long else.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from conftest import Report
from faults.figures import Figure

from .targets import TARGETS, Target

EXAMPLES = int(os.environ.get("ARGOSY_EXAMPLES", "150"))
SECONDS = os.environ.get("ARGOSY_FUZZ_SECONDS", "1")
HERE = Path(__file__).parent
WORDS = [b"", b"\0", b"\xff", b"\r\n", b"\n", b"=", b":", b"/", b"../", b"%", b"0", b"-1", b"4294967295", b"\xff" * 8, b"{", b"]", b'"', b"\\"]


@st.composite
def inputs(draw: st.DrawFn, target: Target) -> bytes:
    """A seed with some bytes changed, taken out, put in or repeated; or anything."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    data = bytearray(draw(st.sampled_from(target.seeds)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.sampled_from([0, 0, 1, 1, 2, 9, 500]))] = draw(st.one_of(st.sampled_from(WORDS), st.binary(max_size=4)))
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_inputs(name: str, figure: Report) -> None:
    """Every reader keeps its promise for inputs that were good once."""
    target, tried = TARGETS[name], 0

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(data=inputs(target))
    @example(data=b"")
    def attack(data: bytes) -> None:
        nonlocal tried
        tried += 1
        target.attack(data)

    for seed in target.seeds:
        target.attack(seed)
    attack()
    figure(Figure(f"mutated bytes: {name}", sent=tried, right=tried))
    assert tried >= EXAMPLES // 2


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed (dependency group fuzz)")
def test_guided_inputs(tmp_path: Path, figure: Report) -> None:
    """So it does for inputs that were made to reach every branch of it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(HERE / "guided.py"), SECONDS, str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=100 + 11 * float(SECONDS), check=False)
    logs = {name: (tmp_path / f"{name}.log").read_text("utf-8", "replace") for name in TARGETS}
    for name, log in logs.items():
        runs = re.search(r"number_of_executed_units:\s*(\d+)", log)
        count = int(runs[1]) if runs else 0
        figure(Figure(f"guided bytes: {name}", sent=count, right=count))
        assert "Uncaught Python exception" not in log, log[:3000]
        assert count > 10
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-2000:]
