"""A model folder for each test, with nothing left in the interpreter afterwards."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

WriteModel = Callable[[str], Path]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WriteModel]:
    """Writes `svc.py` into a model folder and returns the folder; modules and paths are put back at the end."""
    paths, modules, finders = list(sys.path), set(sys.modules), list(sys.meta_path)

    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # two sources of one test may have the same size and second

    def write(source: str, name: str = "svc.py") -> Path:
        sys.modules.pop(name[:-3], None)
        (tmp_path / name).write_text(dedent(source))
        return tmp_path

    yield write
    sys.path[:], sys.meta_path[:] = paths, finders
    for added in set(sys.modules) - modules:
        # a module of the standard library that came twice would have every exception twice
        if added.partition(".")[0] not in {"argosy", *sys.stdlib_module_names}:
            del sys.modules[added]
