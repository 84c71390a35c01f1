"""`mms.metrics.metric` of the old server."""

from argosy.worker.meters import Metric

__all__ = ["Metric"]
