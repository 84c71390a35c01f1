"""What serves a model: how much memory there is for its bodies."""

from __future__ import annotations

import pytest

from argosy.config import Config
from argosy.server.models import arena_bytes

MB = 2**20


@pytest.mark.parametrize(("largest", "budget", "expected"), [
    (6553500, 1024 * MB, 256 * MB), (0, 1024 * MB, 256 * MB), (6553500, 100 * MB, 100 * MB), (1024 * MB, 4096 * MB, 1024 * MB),
    (1024 * MB - 1, 4096 * MB, 1024 * MB), (300 * MB, 4096 * MB, 512 * MB), (1024 * MB, 600 * MB, 600 * MB),
])
def test_the_largest_body_has_room(largest: int, budget: int, expected: int) -> None:
    """The arena is as large as the largest body that is allowed, never larger than the budget of all bodies."""
    assert arena_bytes(Config(max_request_size=largest, request_memory_bytes=budget)) == expected
