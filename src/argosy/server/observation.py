"""Makes what tells of the server: health and metrics."""

from __future__ import annotations

from collections.abc import Callable

import argosy
from argosy.config import Config
from argosy.control.manager import Manager
from argosy.dataplane.registry import Registry
from argosy.frontend.site import HttpCounters
from argosy.metrics.exposition import Exposition
from argosy.metrics.host import Host
from argosy.protocols.observability import Observability, model_figures


def make_observability(
    config: Config, registry: Registry, manager: Manager, host: Host, http: HttpCounters, is_draining: Callable[[], bool]
) -> Observability:
    """`is_draining` tells whether the server stops."""
    exposition = Exposition(lambda: model_figures(registry), lambda: _responses(http), host, argosy.__version__)
    return Observability(registry, manager.startup, exposition, ping_always_200=config.ping_policy == "mms", is_draining=is_draining)


def _responses(http: HttpCounters) -> dict[str, int]:
    return {"1xx": http.informational, "2xx": http.successful, "3xx": http.redirected, "4xx": http.client_errors, "5xx": http.server_errors}
