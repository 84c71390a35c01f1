"""How invocations are spread: over variants by weight, over instances in turn. Deterministic, so that tests can count on it."""

from __future__ import annotations

from collections.abc import Collection, Mapping


class WeightedSpread:
    """Smooth weighted round robin: over any sum-of-weights picks each name comes as often as its weight says, well mixed."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = dict(weights)
        self._credit = dict.fromkeys(self._weights, 0.0)

    def __repr__(self) -> str:
        return f"<WeightedSpread {self._weights}>"

    def pick(self, among: Collection[str]) -> str | None:
        """The next name of those in `among`. Names of weight 0 are never picked; None when no other is there."""
        names = [name for name, weight in self._weights.items() if weight > 0 and name in among]
        if not names:
            return None
        for name in names:
            self._credit[name] += self._weights[name]
        best = max(names, key=lambda name: self._credit[name])
        self._credit[best] -= sum(self._weights[name] for name in names)
        return best


class LeastBusy:
    """Picks the instance with the fewest invocations; among equals the one that was picked longest ago."""

    def __init__(self) -> None:
        self._turn = 0
        self._picked: dict[int, int] = {}

    def pick(self, running: Mapping[int, int]) -> int | None:
        """An index of `running`, which says how many invocations each instance has; None when it is empty."""
        if not running:
            return None
        best = min(running, key=lambda index: (running[index], self._picked.get(index, 0), index))
        self._turn += 1
        self._picked[best] = self._turn
        return best
