"""The ceiling: the lowest limit at which the load made losses, and the climb back to it.

At each look a fifth of the limit is given up, and won back by ones, one a round trip. Where what is lost is turned away
unread, the climb goes on above the ceiling, to where too much is lost. So clients that share a cap become equal: all
give up the same share, and all take the same number. Losses that cost more are dear: then the climb ends below the
ceiling, and goes above it only after twice as many looks each time that losses came of it.
"""

from __future__ import annotations

from math import inf

_KEPT = 0.8  # of the limit, and one is given up at least
_KEEP_EVERY = 8.0  # looks: at one of them nothing is given up; those that know of no ceiling make room at it too
_MOST_PATIENCE = 16  # looks below a ceiling
_NEWS = 0.9  # times the ceiling: losses from lower down say something new


class Ceiling:
    """The ceiling.

    Attributes:
        value: the limit that it is at, infinite where none is known.
        won: the highest limit of the climb that lost nothing; None while there is no climb.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """There is none."""
        self.value = self._top = inf
        self.won: float | None = None
        self._stride = 1.0  # how far above it the next trial goes
        self._patience = 0  # looks
        self._next_patience = 1

    def lower(self, limit: float) -> None:
        """The load made losses at *limit*."""
        if limit < self.value * _NEWS:
            self._next_patience = 1
        self.value = min(limit, self.value)
        self._stride = 1.0
        self._patience = self._next_patience
        self._next_patience = min(_MOST_PATIENCE, self._patience * 2)

    def is_met(self, limit: float, *, dear: bool) -> bool:
        """Losses at *limit* are no news; *dear* ones are up to the ceiling itself."""
        return limit >= self.value * (1.0 if dear else _NEWS)

    def give_up(self, limit: float, number: float, *, dear: bool) -> float:
        """The limit to climb from, after *limit*, at the look of this *number*."""
        self._stand(limit)
        self._patience -= 1
        self._top = inf
        if dear:
            self._top = self.value - 1.0 + (self._stride if self._patience <= 0 else 0.0)
        keep = number % _KEEP_EVERY == 0.0
        self.won = limit if keep else max(1.0, min(limit * _KEPT, limit - 1.0))
        return self.won

    def climb(self, limit: float, most: float, *, lost: bool) -> float:
        """The next limit after a round trip at *limit*, in which something was *lost*, but not too much."""
        if limit >= most:
            self.forget()
        elif limit >= self._top:
            self.won = None
        elif not lost:
            self.won = limit
        return min(most, self._top, limit + 1.0) if self.won is not None else limit

    def fall(self) -> float | None:
        """Too much was lost in a climb, if there was one: the limit to go back to."""
        won, self.won = self.won, None
        if won is not None:
            self._stand(won)
        return won

    def _stand(self, limit: float) -> None:
        """Nothing was lost at *limit* for long enough."""
        if limit + 1.0 > self.value:
            self.value = limit + 1.0
            self._stride *= 2.0
