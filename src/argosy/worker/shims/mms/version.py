"""The version of the old server that this one answers for."""

__version__ = "1.1.11"
