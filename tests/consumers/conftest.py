"""What tests of programs that were made for Multi Model Server share: containers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import argosy
from fakes.container import Container, why_not


@pytest.fixture(scope="session")
def namespaces() -> None:
    """Skips when no containers can be made on this machine."""
    if reason := why_not():
        pytest.skip(reason)


def folders(*environments: Path) -> list[Path]:
    """What Python and Argosy need of the machine's folders."""
    return [Path(sys.base_prefix), *environments, Path(argosy.__file__).parents[1]]


@pytest.fixture
def container(tmp_path: Path, namespaces: None) -> Iterator[Container]:
    """An empty container in which the commands of the tests' environment are on PATH, as if an image had installed Argosy."""
    with Container(tmp_path / "root", shown=folders(Path(sys.prefix)), path=[Path(sys.prefix) / "bin"]) as made:
        yield made
