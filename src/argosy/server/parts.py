"""The parts of a server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from argosy.config import Config, Target
from argosy.control.manager import Manager
from argosy.dataplane.registry import Registry
from argosy.frontend.listener import Listener
from argosy.logs import Logs
from argosy.server.reports import Reports
from argosy.server.tokens import Tokens
from argosy.store.repository import Repository, scan_store
from argosy.supervisor.process import Reaper


@dataclass(slots=True)
class Parts:
    """A server, built and not started. `run` starts the parts in this order and stops them in reverse."""

    config: Config
    logs: Logs
    loop: asyncio.AbstractEventLoop
    reaper: Reaper
    repository: Repository
    executors: Sequence[Executor]
    """For blocking file work, and for custom endpoints."""
    registry: Registry
    manager: Manager
    inference: Listener
    management: Listener
    """The same object as `inference` when they share an address."""
    reports: Reports
    start_workers: int
    start_workers_reason: str
    tokens: Tokens | None

    @property
    def listeners(self) -> list[Listener]:
        """Each listener once."""
        return [self.inference] if self.inference is self.management else [self.inference, self.management]

    def start_targets(self, targets: Sequence[Target]) -> list[Target]:
        """What is loaded at start: what was asked for by hand, else what the configuration lists. Raises `ArgosyError` INVALID_CONFIG."""
        if targets:
            return list(targets)
        store = self.config.model_store
        if self.config.loads_all:
            has_default = self.config.default_service_handler is not None
            return [Target(None, url) for url in scan_store(store, has_default=has_default)] if store is not None else []
        return list(self.config.start_targets)
