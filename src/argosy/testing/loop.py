"""An event loop with a clock of its own: nothing runs, and no time passes, unless a test says so."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVarTuple, Unpack, cast

_Args = TypeVarTuple("_Args")


class FakeLoop(asyncio.BaseEventLoop):
    """Runs callbacks, timers and tasks in this thread when `run` or `advance` is called. It has no sockets, threads or signals."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.failures: list[dict[str, Any]] = []
        """What callbacks raised."""
        self._soon: deque[asyncio.Handle] = deque()
        self._later: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = 0

    def __repr__(self) -> str:
        return f"<FakeLoop at {self.now}: {len(self._soon)} ready, {len(self._later)} timers>"

    def __del__(self) -> None:
        """It holds nothing that would have to be closed."""

    def time(self) -> float:
        """The time that the test has set."""
        return self.now

    def call_soon(
        self, callback: Callable[[Unpack[_Args]], object], *args: *_Args, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Run it at the next `run`."""
        handle = asyncio.Handle(callback, args, self, context)
        self._soon.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[Unpack[_Args]], object], *args: *_Args, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Run it once the test has let `delay` seconds pass."""
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[Unpack[_Args]], object], *args: *_Args, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Run it at that time. As with uvloop, the handle of a time that has passed has no `when`."""
        if when <= self.now:
            return cast(asyncio.TimerHandle, self.call_soon(callback, *args, context=context))
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._later, (when, self._count, handle))
        return handle

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what a callback raised."""
        self.failures.append(context)

    def is_running(self) -> bool:
        """Whether `run` is running."""
        return asyncio._get_running_loop() is self

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A timer will not be needed; it is dropped when its time comes."""

    def run(self) -> None:
        """Run what is ready, and what becomes ready by that, until nothing is."""
        asyncio._set_running_loop(self)
        try:
            while self._soon or self._is_due():
                if not self._soon:
                    self._soon.append(heapq.heappop(self._later)[2])
                handle = self._soon.popleft()
                if not handle.cancelled():
                    handle._run()
        finally:
            asyncio._set_running_loop(None)

    def _is_due(self) -> bool:
        return bool(self._later) and self._later[0][0] <= self.now

    def advance(self, seconds: float) -> None:
        """Let time pass, running each timer at its time."""
        end = self.now + seconds
        self.run()
        while self._later and self._later[0][0] <= end:
            self.now = max(self.now, self._later[0][0])
            self.run()
        self.now = end
        self.run()
