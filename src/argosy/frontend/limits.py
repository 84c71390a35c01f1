"""What a client may send, and why it is refused when it sends more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Problem = tuple[int, str, str]
"""Why a request is refused: status, type and message."""

_BODY_RATE = 256
"""Bytes a second that a body must come in with, over `body_timeout_s`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may send, and how slowly."""

    body_bytes: int = 6553500
    target_bytes: int = 16 * 1024
    head_bytes: int = 64 * 1024
    header_count: int = 200
    header_timeout_s: float = 20.0
    body_timeout_s: float = 30.0
    idle_timeout_s: float = 75.0
    linger_s: float = 2.0
    """How long a refused client may go on sending before it is cut off, so that it can read why."""
    connections: int = 1000
    arena_bytes: int = 64 * 1024
    """Bodies from this size on go to the arena of their model."""
    request_deadline_s: float = 0.0

    @property
    def small_bytes(self) -> int:
        """Bodies below this are small: neither too large nor for the arena."""
        return min(self.arena_bytes, self.body_bytes)


def too_large(limit: int) -> Problem:
    """The body is over the limit of bytes."""
    return 413, "RequestTooLargeException", f"The request body is over the limit of {limit} bytes (setting max_request_size)."


def long_head(limits: Limits) -> Problem:
    """The head is over the limit of bytes."""
    return 431, "RequestHeaderFieldsTooLargeException", f"The request head is over {limits.head_bytes} bytes."


def long_trailers(limits: Limits) -> Problem:
    """What is no data in a chunked body is over the limit of bytes or fields."""
    message = f"The trailers or chunk extensions are over {limits.head_bytes} bytes or {limits.header_count} fields."
    return 431, "RequestHeaderFieldsTooLargeException", message


def oversize(target: bytes, fields: Sequence[bytes], limits: Limits, received: int) -> Problem | None:
    """Why a head of which `received` bytes have come is too large."""
    if len(target) > limits.target_bytes:
        return 414, "RequestUriTooLongException", f"The request target is over {limits.target_bytes} bytes."
    if len(fields) > 2 * limits.header_count:
        return 431, "RequestHeaderFieldsTooLargeException", f"The request has over {limits.header_count} header fields."
    if received > limits.head_bytes and sum(map(len, fields)) > limits.head_bytes:
        return long_head(limits)
    return None


def endless(target: bytes, fields: Sequence[bytes], limits: Limits, received: int, buffer_size: int) -> Problem | None:
    """Why a head that goes on is too long already. Of the bytes received with its beginning, a buffer of them may belong to earlier requests."""
    problem = oversize(target, fields, limits, received)
    if problem is None and received > limits.head_bytes + limits.target_bytes + buffer_size:
        return long_head(limits)
    return problem


def over_budget(total: int) -> Problem:
    """The body would not even have room if no other request had any."""
    return 413, "RequestTooLargeException", f"The body is over {total} bytes (setting request_memory_bytes)."


WRONG_VERSION: Problem = 505, "HttpVersionNotSupportedException", "Only HTTP/1.0 and HTTP/1.1 are spoken here."
NO_MEMORY: Problem = 503, "ServiceUnavailableException", "The server holds too many request bodies (setting request_memory_bytes); try again."


def slow_head(limits: Limits) -> Problem:
    """The head did not come in time."""
    return 408, "RequestTimeoutException", f"The request head did not come within {limits.header_timeout_s:g} s."


def slow_body(came: int, waited_s: float, limits: Limits) -> Problem | None:
    """Why a body of which `came` bytes have come in `waited_s` seconds is too slow."""
    if came >= _BODY_RATE * limits.body_timeout_s:
        return None
    return 408, "RequestTimeoutException", f"The request body came too slowly: {came} bytes in {waited_s:.0f} s."
