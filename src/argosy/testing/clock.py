"""An event loop whose time passes only when a test says so."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, cast


class FakeLoop:
    """Callbacks and timers of an event loop, without sockets, tasks or real time. `turn` and `advance` run it."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = 0

    def __repr__(self) -> str:
        return f"<FakeLoop at {self._now} with {len(self._ready)} callbacks and {len(self._timers)} timers>"

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Itself, for what wants an event loop; what it does not offer raises `AttributeError`."""
        return cast(asyncio.AbstractEventLoop, self)

    def time(self) -> float:
        """The time that it is told to be, in seconds."""
        return self._now

    def get_debug(self) -> bool:
        """Never."""
        return False

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        """Run the callback with the next `turn`."""
        handle = asyncio.Handle(callback, args, self.loop, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run the callback when so many seconds have passed."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run the callback at that time."""
        handle = asyncio.TimerHandle(when, callback, args, self.loop, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A callback raised: so does the test."""
        raise context["exception"]

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self.loop)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Told by a timer that is cancelled; it is skipped when its time comes."""

    @property
    def timers(self) -> int:
        """Timers that wait."""
        return sum(not handle.cancelled() for _, _, handle in self._timers)

    def turn(self) -> None:
        """Run what is ready, and what that makes ready, until nothing is."""
        while self._ready:
            handle = self._ready.popleft()
            if not handle.cancelled():
                handle._run()

    def advance(self, seconds: float) -> None:
        """Let time pass, stopping at each timer on the way."""
        self.turn()
        until = self._now + seconds
        while self._timers and self._timers[0][0] <= until:
            when, _, handle = heapq.heappop(self._timers)
            self._now = max(self._now, when)
            if not handle.cancelled():
                handle._run()
            self.turn()
        self._now = until
