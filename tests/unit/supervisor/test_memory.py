"""A worker that the kernel killed for lack of memory is told from one that somebody killed."""

from __future__ import annotations

from argosy.supervisor.memory import OomKills


def test_each_kill_explains_one_death() -> None:
    """What was counted before explains nothing; two kills explain two deaths and no third."""
    counts = iter([5, 5, 7, 7, 7])
    kills = OomKills(lambda: next(counts))
    assert [kills.explains_one() for _ in range(4)] == [False, True, True, False]


def test_repr() -> None:
    """It tells how many were explained."""
    assert repr(OomKills(lambda: 3)) == "<OomKills 3 explained>"
