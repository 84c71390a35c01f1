"""`mms.context` of the old server."""

from argosy.handler import Context, RequestProcessor

__all__ = ["Context", "RequestProcessor"]
