"""Why clients are refused for what they send, or for how slowly they send it."""

from __future__ import annotations

import pytest

from argosy.frontend.limits import (
    NO_MEMORY,
    Limits,
    Problem,
    endless,
    long_head,
    long_trailers,
    over_budget,
    oversize,
    slow_body,
    slow_head,
    too_large,
)

LIMITS = Limits(target_bytes=10, head_bytes=20, body_timeout_s=2.0)


def test_a_head_that_goes_on_is_refused_when_no_earlier_request_explains_its_length() -> None:
    """What came with the beginning of a head may have belonged to other requests, but not more than a buffer of it."""
    assert endless(b"/", (), LIMITS, 10 + 20 + 5, 5) is None
    problem = endless(b"/", (), LIMITS, 10 + 20 + 5 + 1, 5)
    assert problem is not None
    assert problem[0] == 431


def test_a_long_target_is_told_as_such() -> None:
    """The target has its own status."""
    problem = endless(b"/" * 11, (), LIMITS, 12, 5)
    assert problem is not None
    assert problem[0] == 414


def test_a_body_must_come_with_256_bytes_a_second() -> None:
    """Less is too slow, exactly that is not."""
    assert slow_body(512, 2.0, LIMITS) is None
    problem = slow_body(511, 2.0, LIMITS)
    assert problem is not None
    assert problem[0] == 408
    assert "511 bytes in 2 s" in problem[2]


def test_refusals_name_their_limit() -> None:
    """Whoever reads one knows what to raise."""
    assert "max_request_size" in too_large(5)[2]
    assert "request_memory_bytes" in over_budget(5)[2]
    assert "20 s" in slow_head(LIMITS)[2]


@pytest.mark.parametrize(("problem", "status", "kind"), [
    (too_large(5), 413, "RequestTooLargeException"),
    (over_budget(5), 413, "RequestTooLargeException"),
    (long_head(LIMITS), 431, "RequestHeaderFieldsTooLargeException"),
    (long_trailers(LIMITS), 431, "RequestHeaderFieldsTooLargeException"),
    (oversize(b"/" * 11, (), LIMITS, 0), 414, "RequestUriTooLongException"),
    (oversize(b"/", (b"a", b"b") * 201, LIMITS, 0), 431, "RequestHeaderFieldsTooLargeException"),
    (NO_MEMORY, 503, "ServiceUnavailableException"),
    (slow_head(LIMITS), 408, "RequestTimeoutException"),
    (slow_body(0, 3.0, LIMITS), 408, "RequestTimeoutException"),
])  # fmt: skip
def test_refusals_have_the_documented_types(problem: Problem | None, status: int, kind: str) -> None:
    """Clients tell refusals apart by status and type."""
    assert problem is not None
    assert problem[:2] == (status, kind)


def test_small_bodies_are_within_both_limits() -> None:
    """What is too large is not small, even where the arena would begin later; nor is what goes to the arena."""
    assert Limits(body_bytes=10, arena_bytes=20).small_bytes == 10
    assert Limits(body_bytes=20, arena_bytes=10).small_bytes == 10
