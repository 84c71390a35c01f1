"""Argosy serves machine-learning models of any framework over HTTP.

This file is also read by worker interpreters down to Python 3.8, so it imports nothing.
"""

__version__ = "0.1.0"

__all__ = ["__version__", "load"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argosy.worker.inprocess import load


def __getattr__(name: str) -> object:
    """`argosy.load`, imported when it is first used."""
    if name != "load":
        raise AttributeError("module 'argosy' has no attribute {!r}".format(name))
    from argosy.worker import inprocess

    return inprocess.load
