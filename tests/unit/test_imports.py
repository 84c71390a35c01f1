"""The rules of who may import whom, and that each of them can fail."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "argosy"
WORKER_SIDE = [*(SOURCE / f"{name}.py" for name in ("wire", "handler", "invocations", "errors")), *sorted((SOURCE / "worker").glob("**/*.py"))]


def lint(source: Path, contract: str) -> subprocess.CompletedProcess[str]:
    """Check one contract of the project against the package in `source`."""
    program, config = Path(sys.executable).with_name("lint-imports"), ROOT / "pyproject.toml"
    command = [str(program), "--no-logo", "--no-cache", "--contract", contract, "--config", str(config)]
    return subprocess.run(command, cwd=source, env={**os.environ, "PYTHONPATH": str(source)}, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder that holds a copy of the package."""
    shutil.copytree(SOURCE, tmp_path / "argosy", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize("contract", ["layers", "pure", "worker", "http"])
def test_package_keeps_every_contract(copy: Path, contract: str) -> None:
    """The package as it is breaks no rule."""
    result = lint(copy, contract)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("contract", "module", "statement"),
    [
        ("layers", "errors.py", "from argosy import messages"),
        ("layers", "dataplane/queue.py", "import argosy.control.manager"),
        ("layers", "supervisor/states.py", "import argosy.worker.loop"),
        ("layers", "unheard_of.py", "import argosy.errors"),
        ("pure", "dataplane/queue.py", "import asyncio"),
        ("pure", "dataplane/batcher.py", "import time"),
        ("pure", "supervisor/states.py", "from os import kill"),
        ("pure", "wire.py", "import socket"),
        ("pure", "messages.py", "import logging"),
        ("worker", "worker/loop.py", "from argosy import messages"),
        ("worker", "handler.py", "import click"),
        ("worker", "invocations.py", "import argosy.config"),
        ("worker", "wire.py", "import argosy.config"),
        ("http", "dataplane/queue.py", "from http import HTTPStatus"),
        ("http", "server.py", "import httptools"),
    ],
)
def test_contract_is_broken_by_a_wrong_import(copy: Path, contract: str, module: str, statement: str) -> None:
    """A rule that could not fail would be none."""
    with (copy / "argosy" / module).open("a") as file:
        file.write(f"\n{statement}\n")
    result = lint(copy, contract)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "BROKEN" in result.stdout or "unheard_of" in result.stdout + result.stderr


def imported(tree: ast.Module) -> Iterator[str]:
    """The top-level packages that a module imports when it is loaded: not those that a function imports when it is called."""
    pending: list[ast.AST] = [tree]
    while pending:
        for node in ast.iter_child_nodes(pending.pop()):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield (node.module or "").partition(".")[0]
            elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                pending.append(node)


@pytest.mark.parametrize("path", WORKER_SIDE, ids=lambda path: str(path.relative_to(SOURCE)))
def test_worker_side_needs_the_standard_library_alone(path: Path) -> None:
    """A worker interpreter has nothing but itself and the model's own packages."""
    outside = set(imported(ast.parse(path.read_text()))) - sys.stdlib_module_names - {"argosy"}
    assert not outside


@pytest.mark.parametrize("path", [*WORKER_SIDE, SOURCE / "__init__.py"], ids=lambda path: str(path.relative_to(SOURCE)))
def test_worker_side_is_python_3_8(path: Path) -> None:
    """What a worker loads is understood by the oldest interpreter that a model may name."""
    ast.parse(path.read_text(), feature_version=(3, 8))
