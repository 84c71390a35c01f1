"""A small network on NumPy, in the form that the original server and TorchServe know too."""

from __future__ import annotations

from typing import Any

import forward


def handle(data: list[dict[str, Any]] | None, context: Any) -> list[dict[str, Any]] | None:
    """`{"y": [ten numbers]}` for every item of the batch, from one forward pass."""
    if data is None:
        forward.network()
        return None
    return [{"y": row} for row in forward.answers([item["body"] for item in data])]
