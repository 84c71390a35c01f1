"""Where the bytes of a request body are kept: small pieces gathered, large bodies in the arena of their model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argosy.frontend.exchange import Exchange
    from argosy.frontend.site import Site

_SMALL = 1024
"""Pieces of a body under so many bytes are gathered: as an object of its own each would take many times its size."""


def keep(exchange: Exchange, data: bytes) -> None:
    """Add a piece to the body of an exchange. The caller sees to the limits."""
    slot = exchange.slot
    chunks = exchange.chunks
    if slot is not None:  # what came along with the head
        slot.view[exchange.received : exchange.received + len(data)] = data
    elif not chunks or len(data) >= _SMALL:
        chunks.append(data)
    elif isinstance(chunks[-1], bytearray):
        chunks[-1] += data
    else:
        chunks.append(bytearray(data))
    exchange.received += len(data)


def place(exchange: Exchange) -> None:
    """Give a large body for a handler a slot in the arena of its model, if there is room; what has come already goes there."""
    head = exchange.head
    model = head.plan.model if head.plan is not None else None
    if model is None or model.arena is None or head.is_form:
        return
    slot = model.arena.take(head.length)
    if slot is not None:
        slot.view[: exchange.received] = b"".join(exchange.chunks)
        exchange.chunks.clear()
        exchange.slot = slot


def grow(exchange: Exchange, site: Site) -> bool:
    """Take more memory for a body without a length; False when there is none."""
    step = max(exchange.received - exchange.reserved, site.limits.arena_bytes)
    if not site.budget.take(step):
        return False
    exchange.reserved += step
    return True
