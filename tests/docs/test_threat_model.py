"""Every test that the threat model relies on exists, and every attack has one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "explanation" / "threat-model.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


def rows() -> list[list[str]]:
    """The rows of the tables of attacks, cell by cell."""
    part = PAGE.partition("## Attacks and what stops them")[2].partition("## What remains")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ") and not line.startswith("| attack |")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_what_proves_a_defence_exists(file: str, name: str) -> None:
    """A function of that name, with a promise."""
    tree = ast.parse((ROOT / file).read_text())
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    assert len(found) == 1, f"{file} has no {name}"
    assert ast.get_docstring(found[0])


def test_every_attack_has_a_defence_and_a_test() -> None:
    """No row is a mere intention."""
    assert len(rows()) > 30
    assert [row[0] for row in rows() if len(row) != 3 or not row[1] or "::test_" not in row[2]] == []
