"""Somebody who looks after the server while it is in trouble: /ping and the description of a model, again and again, and how long they took."""

from __future__ import annotations

import threading
import time

from argosy.testing.server import RunningServer
from faults.load import quantile


class Probe:
    """Asks both listeners about twenty times a second, from entering the block until leaving it; each question on a new connection."""

    def __init__(self, server: RunningServer, model: str = "m") -> None:
        self.waits_s: list[float] = []
        self.bad: list[str] = []
        """What did not answer 200."""
        self._server = server
        self._model = model
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            for ask in (self._server.ping, lambda: self._server.manage("GET", f"/models/{self._model}")):
                begin = time.monotonic()
                try:
                    status = ask().status
                    if status != 200:
                        self.bad.append(str(status))
                except OSError as error:
                    self.bad.append(repr(error))
                self.waits_s.append(time.monotonic() - begin)

    @property
    def summary(self) -> str:
        """For the table."""
        slowest = 1e3 * max(self.waits_s, default=0.0)
        bad = f", {len(self.bad)} bad" if self.bad else ""
        return f"ping and management p99 {1e3 * quantile(self.waits_s, 0.99):.0f} ms, max {slowest:.0f} ms{bad}"
