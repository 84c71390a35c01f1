"""Models that wait instead of computing, in the form that the original server knows too."""

from __future__ import annotations

import time
from typing import Any


def handle(data: list[dict[str, Any]] | None, context: Any) -> list[str] | None:
    """OK after 10 ms, whatever the size of the batch."""
    if data is None:
        return None
    time.sleep(0.010)
    return ["OK"] * len(data)


def count(data: list[dict[str, Any]] | None, context: Any) -> list[str] | None:
    """After 2 ms each item learns how many there were in its batch."""
    if data is None:
        return None
    time.sleep(0.002)
    return [str(len(data))] * len(data)
