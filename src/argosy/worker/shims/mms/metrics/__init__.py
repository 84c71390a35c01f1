"""`mms.metrics` of the old server."""
