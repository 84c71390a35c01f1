"""Tells a worker that the kernel killed because memory had run out from one that somebody killed."""

from __future__ import annotations

from collections.abc import Callable


class OomKills:
    """Watches the kernel's count of processes that it killed for lack of memory. Every kill explains one death."""

    def __init__(self, count: Callable[[], int]) -> None:
        """`count` reads the counter. What it says now explains nothing that comes."""
        self._count = count
        self._explained = count()

    def __repr__(self) -> str:
        return f"<OomKills {self._explained} explained>"

    def explains_one(self) -> bool:
        """Whether there was a kill that has not explained a death yet; it does now."""
        if self._count() <= self._explained:
            return False
        self._explained += 1
        return True
