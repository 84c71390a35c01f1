"""How much of something may come: so much a second, and no more than that at once."""

from __future__ import annotations


class Allowance:
    """A bucket that holds what one second may bring, `per_s`, and is full at the beginning. Times are seconds of a monotonic clock."""

    __slots__ = ("_filled_at", "_left", "is_exceeded", "per_s")

    def __init__(self, per_s: int) -> None:
        self.per_s = per_s
        self.is_exceeded = False
        """Whether something was refused since the bucket was last full."""
        self._left = float(per_s)
        self._filled_at = 0.0

    def __repr__(self) -> str:
        return f"<Allowance {self._left:.0f} of {self.per_s}{' exceeded' if self.is_exceeded else ''}>"

    def take(self, count: int, now: float) -> bool:
        """Take `count` if so much is left, all or nothing."""
        self._left = min(float(self.per_s), self._left + max(0.0, now - self._filled_at) * self.per_s)
        self._filled_at = now
        if self._left == self.per_s:
            self.is_exceeded = False
        if count > self._left:
            self.is_exceeded = True
            return False
        self._left -= count
        return True
