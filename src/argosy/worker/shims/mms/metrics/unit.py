"""`mms.metrics.unit` of the old server."""

from argosy.worker.meters import Units

__all__ = ["Units"]
