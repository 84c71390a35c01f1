"""Makes the listeners of a server, which share its memory budget, its counters, its certificate and its access log."""

from __future__ import annotations

import asyncio

from argosy.config import Address, Config
from argosy.dataplane.registry import Registry
from argosy.frontend.limits import Limits
from argosy.frontend.listener import Listener
from argosy.frontend.newcomers import Newcomers
from argosy.frontend.site import Budget, HttpCounters, Site, Unread
from argosy.logs import RecordLog
from argosy.protocols.endpoint import Dialect
from argosy.protocols.tokens import Gate
from argosy.server.tls import tls_context


class Sites:
    """The sites of one server."""

    def __init__(
        self, config: Config, loop: asyncio.AbstractEventLoop, registry: Registry, http: HttpCounters, accesses: RecordLog, gate: Gate | None = None
    ) -> None:
        """Raises `ArgosyError` INVALID_CONFIG when TLS is wanted and its key or certificate cannot be used."""
        self._config = config
        self._loop = loop
        self._registry = registry
        self._http = http
        self._gate = gate
        self._access = accesses.write if accesses.enabled else None
        self._tls = tls_context(config) if config.uses_tls else None
        self._budget = Budget(config.request_memory_bytes)
        self._unread = Unread(config.unread_memory_bytes)
        self._newcomers = Newcomers()
        self._sites: list[Site] = []

    def __repr__(self) -> str:
        return f"<Sites {len(self._sites)}{' draining' if self.are_draining else ''}>"

    @property
    def are_draining(self) -> bool:
        """Whether the server stops."""
        return any(site.draining for site in self._sites)

    def listener(self, dialect: Dialect, address: Address) -> Listener:
        """A listener that is not bound yet."""
        cors = _cors(self._config)
        site = Site(
            self._loop, dialect, self._registry, _limits(self._config), self._budget, self._http, self._access, cors, self._gate, self._unread,
            self._newcomers,
        )  # fmt: skip
        self._sites.append(site)
        return Listener(address, site, self._tls if address.scheme == "https" else None)


def _limits(config: Config) -> Limits:
    return Limits(
        body_bytes=config.max_request_size,
        header_timeout_s=config.header_timeout_s,
        body_timeout_s=config.body_timeout_s,
        idle_timeout_s=config.idle_timeout_s,
        connections=config.max_connections or 1000,
        arena_bytes=max(1, config.arena_threshold_bytes),
    )


def _cors(config: Config) -> tuple[tuple[str, str], ...]:
    if config.cors_allowed_origin is None:
        return ()
    values = (("origin", config.cors_allowed_origin), ("methods", config.cors_allowed_methods), ("headers", config.cors_allowed_headers))
    return tuple((f"access-control-allow-{name}", value) for name, value in values if value)
