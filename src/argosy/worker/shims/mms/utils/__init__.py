"""`mms.utils` of the old server."""
