"""A bucket of what one second may bring, on a clock of its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from argosy.supervisor.allowance import Allowance


def test_no_more_than_a_second_brings() -> None:
    """The whole bucket may go at once; then it fills evenly, and what is refused takes nothing."""
    bucket = Allowance(100)
    assert bucket.take(100, 50.0)
    assert not bucket.take(1, 50.0)
    assert not bucket.take(51, 50.5)
    assert bucket.take(50, 50.5)
    assert not bucket.take(101, 1000.0)
    assert bucket.take(100, 1000.0)
    assert repr(bucket) == "<Allowance 0 of 100>"


def test_it_tells_of_one_excess_once() -> None:
    """Exceeded stays set while the flood goes on, whatever slips through, until the bucket was full again."""
    bucket = Allowance(100)
    assert bucket.take(100, 0.0)
    assert not bucket.is_exceeded
    for tenth in range(1, 20):
        assert bucket.take(9, tenth / 10)
        assert not bucket.take(100, tenth / 10)
        assert bucket.is_exceeded
    assert repr(bucket) == "<Allowance 19 of 100 exceeded>"
    assert bucket.take(1, 4.0)
    assert not bucket.is_exceeded


def test_a_clock_that_stands_still_gives_nothing() -> None:
    """Nor does one that is set back."""
    bucket = Allowance(10)
    assert bucket.take(10, 5.0)
    assert not bucket.take(1, 4.0)


@given(st.lists(st.tuples(st.integers(0, 300), st.floats(0, 3)), max_size=50))
def test_what_passes_is_bounded(takes: list[tuple[int, float]]) -> None:
    """In any time no more passes than a full bucket and what that time brings."""
    bucket, now, passed = Allowance(100), 0.0, 0
    for count, pause in takes:
        now += pause
        passed += count if bucket.take(count, now) else 0
        assert passed <= 100 + 100 * now + 0.001
