"""Clients on their way in, to all listeners: places and time for those who have connected and not finished their handshake."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argosy.frontend.listener import Listener
    from argosy.frontend.tunnel import Tunnel

_log = logging.getLogger("argosy.frontend")
_TELL_S = 60.0


class Newcomers:
    """They take the places that connections leave. When there is none left, whoever has been on the way for longest loses his to the next one.

    So a crowd that never arrives keeps nobody out: who does arrive needs milliseconds.
    """

    def __init__(self) -> None:
        self.dropped = 0
        """Clients that lost their place to another one."""
        self._deadlines: dict[Tunnel, float] = {}
        self._told = 0
        self._told_at = float("-inf")

    def __repr__(self) -> str:
        return f"<Newcomers {len(self._deadlines)} on the way, {self.dropped} dropped>"

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, tunnel: Tunnel, deadline: float) -> None:
        """A client has come, and has until `deadline`."""
        self._deadlines[tunnel] = deadline

    def remove(self, tunnel: Tunnel) -> None:
        """It has arrived, or is gone. Does nothing to one that is not on the way."""
        self._deadlines.pop(tunnel, None)

    def fit(self, places: int) -> None:
        """Drop those for whom there is no place."""
        while len(self._deadlines) > places:
            self.dropped += 1
            self._drop(next(iter(self._deadlines)))

    def sweep(self, now: float) -> None:
        """Drop those whose time is over. At most once a minute the log tells of those who lost their places."""
        for tunnel in [tunnel for tunnel, deadline in self._deadlines.items() if now > deadline]:
            self._drop(tunnel)
        if self.dropped > self._told and now - self._told_at >= _TELL_S:
            count, self._told, self._told_at = self.dropped - self._told, self.dropped, now
            _log.warning("%d clients lost their places to others before they had finished their TLS handshake (setting max_connections).", count)

    def leave(self, listener: Listener) -> None:
        """Drop those on their way to this listener."""
        for tunnel in [tunnel for tunnel in self._deadlines if tunnel.listener is listener]:
            self._drop(tunnel)

    def _drop(self, tunnel: Tunnel) -> None:
        self.remove(tunnel)
        tunnel.abort()
