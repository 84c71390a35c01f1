"""`mms.metrics.metric_encoder` of the old server."""

from argosy.worker.meters import MetricEncoder

__all__ = ["MetricEncoder"]
