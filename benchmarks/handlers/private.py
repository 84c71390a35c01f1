"""A model that gets a copy of its own of the body, as the original server gives it: MMS's promise to handlers."""

from __future__ import annotations

from typing import Any


def handle(data: list[dict[str, Any]] | None, context: Any) -> list[str] | None:
    """The number of bytes of each item, as text."""
    return None if data is None else [str(len(item["body"])) for item in data]
