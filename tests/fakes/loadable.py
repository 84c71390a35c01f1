"""A real server with models that a test writes down, for it to load or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from argosy.testing.server import RunningServer, serving


def serving_models(folder: Path, **sources: str) -> Iterator[RunningServer]:
    """A server whose store holds a folder for each source, as `svc.py`; none of them is loaded at the start. It must end in order."""
    with serving(folder, "m", settings={"default_response_timeout_seconds": 20}) as running:
        for name, source in sources.items():
            model = running.store.folder / name
            model.mkdir()
            (model / "svc.py").write_text(source)
        yield running
        assert running.stop() == 0
