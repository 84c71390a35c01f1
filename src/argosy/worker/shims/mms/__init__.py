"""Stand-in for the old server's package, for handlers that import from it."""

from .version import __version__

__all__ = ["__version__"]
