"""Failures with a protocol-neutral code: what went wrong, never how a protocol says it.

Standard library only, Python 3.8 and later: worker processes import this module too.
"""

from __future__ import annotations

import enum


class ErrorCode(enum.IntEnum):
    """What kind of failure it is. The number travels on the wire to and from workers; never renumber."""

    INTERNAL = 0
    INVALID_REQUEST = 1
    """The caller sent something that cannot be understood."""
    MODEL_NOT_FOUND = 2
    """No model of that name is registered, or its files are not where the url says."""
    INVALID_MODEL = 3
    """The archive, its manifest or its handler declaration is wrong."""
    DOWNLOAD_FAILED = 4
    CONFLICT = 5
    """A model of that name is already registered."""
    NO_WORKER = 6
    """The model has no worker, or its queue is full; try again later."""
    DRAINING = 7
    """The server, or the model, is going away and takes no new work."""
    DEADLINE_EXCEEDED = 8
    CANCELLED = 9
    """Whoever asked is gone."""
    WORKER_DIED = 10
    """The process that ran the job ended before it answered."""
    HANDLER_FAILED = 11
    """The handler raised."""
    BAD_OUTPUT = 12
    """The handler returned something that is not an answer."""
    HANDLER_STATUS = 13
    """The handler chose the error itself; `ArgosyError.status` carries its number."""
    OUT_OF_MEMORY = 14
    LOAD_FAILED = 15
    """A worker could not load the model."""
    TOO_LARGE = 16
    TIMED_OUT = 17
    """A management operation took longer than it may."""
    STORAGE_FULL = 18
    FORBIDDEN = 19
    """Policy refuses it: an address outside the allow-list, a foreign origin."""
    INVALID_CONFIG = 20
    RESOURCE_NOT_FOUND = 21
    """There is no such path."""
    METHOD_NOT_ALLOWED = 22


class ArgosyError(Exception):
    """A failure that a caller may see.

    `message` is one line for the caller. `detail` (a traceback, a path) is for whoever runs the server and never leaves it
    unless `error_detail` says so. `status` is a number that the handler chose itself (HANDLER_STATUS only). `retry_after_s` says to a refused caller
    when there will be room; 0 when nobody knows.
    """

    def __init__(self, code: ErrorCode, message: str, *, detail: str = "", status: int = 0, retry_after_s: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail
        self.status = status
        self.retry_after_s = retry_after_s

    def __repr__(self) -> str:
        return "<{} {}: {}>".format(type(self).__name__, self.code.name, self.message)
