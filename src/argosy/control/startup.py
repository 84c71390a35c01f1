"""How far the models are that the operator named at the start."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from argosy.errors import ArgosyError


class Startup:
    """Which models still load for the first time, and which could not be registered. Only the manager changes it; targets are texts."""

    def __init__(self) -> None:
        self.pending: set[str] = set()
        self.failed: dict[str, ArgosyError] = {}
        """Target → why."""
        self._over = asyncio.Event()
        self._over.set()

    def __repr__(self) -> str:
        return f"<Startup {len(self.pending)} loading, {len(self.failed)} failed>"

    def begin(self, targets: Iterable[str]) -> None:
        """These are to be loaded."""
        self.pending.update(targets)
        if self.pending:
            self._over.clear()

    def end(self, target: str, failure: ArgosyError | None = None) -> None:
        """It has loaded, or failed to load, for the first time; with a `failure` it could not even be registered."""
        if failure is not None:
            self.failed[target] = failure
        self.pending.discard(target)
        if not self.pending:
            self._over.set()

    async def over(self) -> None:
        """Returns when nothing loads for the first time any more."""
        await self._over.wait()
