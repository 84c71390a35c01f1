"""`mms.model_service.model_service` of the old server."""

from argosy.worker.legacy import ModelService, SingleNodeService

__all__ = ["ModelService", "SingleNodeService"]
