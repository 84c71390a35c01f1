"""What tests of images share: a reason to skip, models, containers of the base image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from argosy.testing.server import Store
from fakes.images import BASE, STORE, Running, running, why_not


@pytest.fixture(scope="session", autouse=True)
def images() -> None:
    """Skips where no images can be built and run."""
    if reason := why_not():
        pytest.skip(reason)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A folder for /opt/ml/model, which every user may read."""
    tmp_path.chmod(0o755)
    folder = tmp_path / "model"
    folder.mkdir()
    return Store(folder)


Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path, store: Store) -> Iterator[Start]:
    """Starts containers of the base image with the store as their read-only /opt/ml/model; they are gone after the test."""
    with ExitStack() as all_containers:

        def begin(*command: str, image: str = BASE, **how: Any) -> Running:
            how.setdefault("volumes", {store.folder: STORE})
            made: AbstractContextManager[Running] = running(tmp_path, image, *command, **how)
            return all_containers.enter_context(made)

        yield begin
