"""Stateful sessions: which instance serves which. Models make and close them; the endpoint only remembers where they live."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

NEW = "NEW_SESSION"
_OPENED = re.compile(r"([A-Za-z0-9](?:-*[A-Za-z0-9])*);\s*Expires=(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)")
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a session lives: an instance of a variant, in the generation of its process."""

    variant: str
    instance: int
    generation: int


class Sessions:
    """The open sessions of one endpoint. Times are seconds of the epoch."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[Place, float]] = {}

    def __repr__(self) -> str:
        return f"<Sessions {len(self._open)} open>"

    def opened(self, header: str, place: Place, now: float) -> bool:
        """Remember what a model said in `New-Session-Id`: `ID; Expires=2030-01-01T00:00:00Z`. False when it says nothing of the kind."""
        found = _OPENED.fullmatch(header)
        expires = _seconds(found[2]) if found else None
        if found is None or expires is None:
            return False
        if len(self._open) >= _MOST:
            self._open = {name: entry for name, entry in self._open.items() if entry[1] > now}
        self._open[found[1]] = place, expires
        return True

    def closed(self, session: str) -> None:
        """A model closed the session."""
        self._open.pop(session, None)

    def find(self, session: str, now: float) -> Place | None:
        """Where the session lives; None when it is unknown, closed or over."""
        entry = self._open.get(session)
        if entry is None:
            return None
        if entry[1] <= now:
            del self._open[session]
            return None
        return entry[0]


def _seconds(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
