"""Who is on the way in: places, times, and what the log says of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import pytest

from argosy.frontend.newcomers import Newcomers
from argosy.frontend.tunnel import Tunnel


@dataclass(eq=False)
class Arriving:
    """A client on its way to a listener."""

    listener: object = None
    was_aborted: bool = False

    def abort(self) -> None:
        """It loses its place."""
        self.was_aborted = True


@dataclass
class Door:
    """Newcomers and the clients that were added to them."""

    newcomers: Newcomers = field(default_factory=Newcomers)
    clients: list[Arriving] = field(default_factory=list)

    def come(self, *deadlines: float, listener: object = None) -> None:
        """Clients come that have until then."""
        for deadline in deadlines:
            self.clients.append(Arriving(listener))
            self.newcomers.add(cast(Tunnel, self.clients[-1]), deadline)

    @property
    def left(self) -> list[int]:
        """The numbers of those that were not dropped."""
        return [number for number, client in enumerate(self.clients) if not client.was_aborted]


def test_the_oldest_give_way() -> None:
    """Those beyond the places are dropped in the order in which they came; who has arrived has no place to lose."""
    door = Door()
    door.come(9, 9, 9, 9)
    door.newcomers.remove(cast(Tunnel, door.clients[0]))
    door.newcomers.fit(2)
    assert (door.left, repr(door.newcomers)) == ([0, 2, 3], "<Newcomers 2 on the way, 1 dropped>")
    door.newcomers.fit(2)
    assert door.left == [0, 2, 3]


def test_time_is_over() -> None:
    """Each has its own deadline; those who did not come in time have not lost their place to others."""
    door = Door()
    door.come(5, 1, 3)
    door.newcomers.sweep(3)
    assert door.left == [0, 2]
    door.newcomers.sweep(4)
    assert (door.left, door.newcomers.dropped, len(door.newcomers)) == ([0], 0, 1)


def test_a_listener_that_ends_takes_its_own_along() -> None:
    """Those on their way to another listener go on."""
    door, mine, other = Door(), object(), object()
    door.come(9, listener=mine)
    door.come(9, listener=other)
    door.newcomers.leave(cast(Tunnel, Arriving(mine)).listener)
    assert door.left == [1]


def test_the_log_tells_of_a_crowd_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """However many lose their places, there is one line with their number; nothing is said of those whose time was over."""
    door = Door()
    for now in (0.0, 1.0, 59.0, 60.0, 61.0, 200.0):
        door.come(*[now - 1] * 2, *[now + 99] * 5)
        door.newcomers.fit(3)
        door.newcomers.sweep(now)
    counts = [int(record.message.split()[0]) for record in caplog.records]
    assert len(counts) == 3
    assert sum(counts) == door.newcomers.dropped
    assert "max_connections" in caplog.text
