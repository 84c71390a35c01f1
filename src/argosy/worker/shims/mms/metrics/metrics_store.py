"""`mms.metrics.metrics_store` of the old server."""

from argosy.worker.meters import MetricsStore

__all__ = ["MetricsStore"]
