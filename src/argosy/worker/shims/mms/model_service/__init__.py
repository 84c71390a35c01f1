"""`mms.model_service` of the old server: the service classes of the 0.x generation."""
