"""The figures of the server as Prometheus reads them: collected at the scrape, so that counting costs a request nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from argosy.metrics.host import Host
from argosy.metrics.instruments import ModelFigures

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Models = Callable[[], Iterable[ModelFigures]]
Responses = Callable[[], Mapping[str, int]]


class Exposition:
    """Renders all metrics. `models` and `http_responses` are asked at each scrape; the latter gives replies by class, such as 2xx."""

    def __init__(self, models: Models, http_responses: Responses, host: Host, version: str) -> None:
        self._models = models
        self._http_responses = http_responses
        self._host = host
        self._version = version

    def render(self) -> bytes:
        """The text of one scrape."""
        # only now: they take a tenth of the time to start, and servers that nobody scrapes never need them
        from prometheus_client import CollectorRegistry, generate_latest

        from argosy.metrics.families import Figures

        registry = CollectorRegistry(auto_describe=False)
        registry.register(Figures(self._models, self._http_responses, self._host, self._version))
        return generate_latest(registry)
