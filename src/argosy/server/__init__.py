"""The composition root: builds a server from its configuration, runs it, and takes it apart in reverse."""

from argosy.server.run import ModelStatus, ServerStatus, run

__all__ = ["ModelStatus", "ServerStatus", "run"]
