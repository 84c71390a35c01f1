"""`mms.metrics.dimension` of the old server."""

from argosy.worker.meters import Dimension

__all__ = ["Dimension"]
