"""Invocations are spread by weight and load, always in the same way."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from argosy.sagemaker.local.spread import LeastBusy, WeightedSpread


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 9), min_size=1))
def test_over_a_round_each_name_comes_as_often_as_its_weight(weights: dict[str, int]) -> None:
    """Exactly so, and not just about."""
    spread = WeightedSpread({name: float(weight) for name, weight in weights.items()})
    picked = Counter(spread.pick(weights) for _ in range(2 * sum(weights.values())))
    assert picked == {name: 2 * weight for name, weight in weights.items() if weight}


def test_a_heavy_name_does_not_come_in_one_run() -> None:
    """It is mixed with the others."""
    spread = WeightedSpread({"a": 5, "b": 1, "c": 1})
    assert "".join(str(spread.pick("abc")) for _ in range(7)) == "aabacaa"


def test_names_that_are_not_there_lose_their_share_and_no_more() -> None:
    """The others go on by their weights."""
    spread = WeightedSpread({"a": 3, "b": 2, "c": 1})
    assert Counter(spread.pick("bc") for _ in range(6)) == {"b": 4, "c": 2}
    assert spread.pick("") is None


def test_weight_zero_is_never_picked() -> None:
    """Such a variant is reached by name only."""
    assert WeightedSpread({"a": 0.0}).pick("a") is None


def test_the_least_busy_instance_is_picked() -> None:
    """Whatever its turn is."""
    assert LeastBusy().pick({0: 3, 1: 1, 2: 2}) == 1


def test_equally_busy_instances_take_turns() -> None:
    """The one that was picked longest ago comes first; instances may come and go."""
    spread = LeastBusy()
    assert [spread.pick({0: 0, 1: 0, 2: 0}) for _ in range(4)] == [0, 1, 2, 0]
    assert spread.pick({0: 0, 2: 0}) == 2
    assert spread.pick({}) is None
