"""Where pieces of a body are kept, and what they may take."""

from __future__ import annotations

from typing import cast

from argosy.frontend import body
from argosy.frontend.exchange import Exchange
from argosy.frontend.http import Connection
from argosy.testing.http import FakeSite


def exchange(received: int = 0) -> Exchange:
    """An exchange of which so many bytes of body have come."""
    made = Exchange.of(cast(Connection, None), 0.0)
    made.received = received
    return made


def test_no_memory_for_more() -> None:
    """A body of unknown length that finds no room takes nothing; one that does has taken what it is over, and a step at least."""
    site = FakeSite(budget_bytes=100_000).site
    step = site.limits.arena_bytes
    refused = exchange(200_000)
    assert not body.grow(refused, site)
    assert (refused.reserved, site.budget.used) == (0, 0)
    small = exchange(1)
    assert body.grow(small, site)
    assert small.reserved == site.budget.used == step
    assert not body.grow(small, site)


def test_small_pieces_are_gathered() -> None:
    """A body that comes byte by byte is few objects; large pieces stay what they are."""
    made = exchange()
    large = bytes(2048)
    for piece in (b"a", b"b", b"c", large, b"d"):
        body.keep(made, piece)
    assert made.received == 4 + len(large)
    assert b"".join(made.chunks) == b"abc" + large + b"d"
    assert len(made.chunks) == 4
    assert made.chunks[2] is large
    for _ in range(1000):
        body.keep(made, b"e")
    assert len(made.chunks) == 4


def test_a_body_for_nobody_has_no_slot() -> None:
    """Without a model its pieces stay where they are."""
    made = exchange()
    body.keep(made, b"abc")
    body.place(made)
    assert (made.slot, made.chunks) == (None, [b"abc"])
