"""What no line of the server may do, read off its source: run what others wrote, guess a type, or open a shell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Report
from faults.figures import Figure

SOURCE = Path(__file__).resolve().parents[2] / "src" / "argosy"
FILES = sorted(SOURCE.rglob("*.py"))
MODULES = frozenset({"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle", "yaml", "ruamel", "pty",
"commands", "imp"})
NAMES = frozenset({"eval", "exec", "compile", "__import__", "input"})
ATTRIBUTES = frozenset({
    "os.system", "os.popen", "os.tempnam", "tempfile.mktemp", "subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell",
    "ctypes.pythonapi", "shutil.unpack_archive", "ssl._create_unverified_context", "numpy.load", "torch.load",
})  # fmt: skip
METHODS = frozenset({"extractall", "extract", "read_pickle"})


def offences(tree: ast.AST) -> Iterator[str]:
    """What a file does that it may not, with its line."""
    for node in ast.walk(tree):
        for what in _offence(node):
            yield f"line {getattr(node, 'lineno', 0)}: {what}"


def _offence(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (f"imports {alias.name}" for alias in node.names if alias.name.partition(".")[0] in MODULES)
    elif isinstance(node, ast.ImportFrom):
        if (node.module or "").partition(".")[0] in MODULES:
            yield f"imports {node.module}"
        yield from (f"imports {node.module}.{alias.name}" for alias in node.names if f"{node.module}.{alias.name}" in ATTRIBUTES)
    elif isinstance(node, ast.Call):
        yield from _bad_call(node)


def _bad_call(node: ast.Call) -> Iterator[str]:
    called = ast.unparse(node.func)
    if isinstance(node.func, ast.Name) and called in NAMES:
        yield f"calls {called}"
    if called in ATTRIBUTES or (isinstance(node.func, ast.Attribute) and node.func.attr in METHODS):
        yield f"calls {called}"
    for keyword in node.keywords:
        value = ast.unparse(keyword.value)
        if (keyword.arg == "shell" and value != "False") or (keyword.arg == "allow_pickle" and value != "False"):
            yield f"calls {called} with {keyword.arg}={value}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_source_file_runs_what_others_wrote(path: Path) -> None:
    """No pickle in any form, no eval or exec of text, no shell, no archive library that believes names, no unverified TLS."""
    assert list(offences(ast.parse(path.read_text("utf-8")))) == []


def test_the_whole_source_is_looked_at(figure: Report) -> None:
    """Every file of the server, and none has an offence."""
    bad = sum(any(True for _ in offences(ast.parse(path.read_text("utf-8")))) for path in FILES)
    figure(Figure("source searched for pickle, eval, shell", sent=len(FILES), right=len(FILES) - bad, wrong=bad))
    assert len(FILES) > 100
    assert bad == 0


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from pickle import loads", "import yaml.loader", "eval('1')", "exec(text)", "__import__(name)", "os.system(line)",
        "from os import system",
        "subprocess.run(line, shell=True)", "Popen(line, shell=wanted)", "archive.extractall(folder)", "numpy.load(file)",
        "load(file, allow_pickle=True)",
        "def f():\n    import marshal", "compile(text, '', 'exec')",
    ],
)  # fmt: skip
def test_the_scan_finds_what_it_looks_for(code: str) -> None:
    """Each of these would be found, wherever it stands."""
    assert len(list(offences(ast.parse(code)))) == 1


@pytest.mark.parametrize("code", ["re.compile(text)", "subprocess.run([program])", "run(line, shell=False)", "model.eval()",
"spec.loader.exec_module(module)", "import json"])
def test_the_scan_lets_pass_what_is_harmless(code: str) -> None:
    """Methods of such names are something else."""
    assert list(offences(ast.parse(code))) == []
