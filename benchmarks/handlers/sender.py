"""A model with large answers, in the form that the original server knows too."""

from __future__ import annotations

import functools
from typing import Any


@functools.lru_cache
def answer(size: int) -> bytes:
    """So many bytes, always the same object: making them is not what is measured."""
    return bytes(size)


def handle(data: list[dict[str, Any]] | None, context: Any) -> list[bytes] | None:
    """As many bytes for each item as its body says in digits."""
    return None if data is None else [answer(int(bytes(item["body"]))) for item in data]
