"""Which losses come from the load, and where they began.

Heavy ones do: six at once, or for long more than a third as often as successes. Very rare ones do not. Of the others
one asks, once there are enough of them to tell how often they come, with a little less in flight. Are they half as
rare there, or rarer, for four times as many answers as a loss took before, it was the load. Is as much lost even so,
less in flight is only less goodput: it is taken back, and from question to question more losses are excused as chance.
A dear loss, after which nothing may be sent for a while, is asked about at once until the first answer to that.
"""

from __future__ import annotations

from enum import Enum
from math import inf

_WEIGHT, _HEAVY = 3, 17  # of a loss in successes, which make up for it; and of too many losses
_RARE = 512  # answers to a loss that is chance in any case
_EXCUSED, _MOST_EXCUSED = 4, 64  # losses from one question to the next
_FEW = 6  # losses, since the limit changed: fewer do not tell how often they come
_AS_OFTEN, _MOST_ASKED = 2, 3  # so many times as rare, and so many at most, are losses that a cut helps against
_PROOF = 4  # times the answers to a loss: so many without a loss show that a cut helps
_LEAST_PROOF = 192

_PATIENCE, _MOST_PATIENCE = 8.0, 512.0  # round trips, and as many that settle, below a ceiling, twice as many each time
_DWELL = 16.0  # round trips at each step above it
_OTHER = 0.9  # times the ceiling: losses from lower down say something new


class Finding(Enum):
    """What is found about a loss."""

    CHANCE = "chance"
    UNKNOWN = "unknown"  # less in flight would tell
    NOT_THE_LOAD = "not the load"  # less in flight has told
    HEAVY = "heavy"
    NOTHING_ELSE = "nothing else"  # not one success since losses were heavy


class Losses:
    """Losses among successes.

    Attributes:
        asking: less is in flight, to see whether less is lost.
        dear: after the last loss nothing was sent for several round trips.
    """

    def __init__(self) -> None:
        self.asking = self.dear = False
        self._rate = 0.0  # losses to a success before the question
        self._answered = False  # since losses were heavy
        self._weight = 0  # of losses that no successes have made up for
        self._excused = self._next_excused = _EXCUSED
        self.begin()

    def begin(self) -> None:
        """Count anew: the limit has changed."""
        self._successes = self._losses = 0

    def succeed(self) -> None:
        """Something has come through."""
        self._answered = True
        self._successes += 1
        if self._weight:
            self._weight -= 1

    def lose(self) -> Finding:
        """Something was lost: what is found."""
        self._weight += _WEIGHT
        self._losses += 1
        if self._weight > _HEAVY or not self._answered:
            found = Finding.HEAVY if self._answered else Finding.NOTHING_ELSE
            self.asking = self._answered = False
            self._weight = 0
            return found
        if self.asking:
            if self._losses <= _MOST_ASKED and self._losses * _AS_OFTEN < self._successes * self._rate:
                return Finding.CHANCE
            self.asking = False
            self._excused = self._next_excused
            self._next_excused = min(_MOST_EXCUSED, self._excused * 2)
            return Finding.NOT_THE_LOAD
        if self._successes > self._losses * _RARE:
            self.begin()
        elif self.dear and self._next_excused == _EXCUSED:
            return Finding.UNKNOWN
        elif self._excused:
            self._excused -= 1
        elif self._losses >= _FEW:
            return Finding.UNKNOWN
        return Finding.CHANCE

    def ask(self) -> int:
        """Less will be in flight from now on: so many successes show whether this helps."""
        self.asking = True
        self._rate = self._losses / max(1, self._successes)
        return max(_LEAST_PROOF, _PROOF * self._successes // max(1, self._losses))

    def show(self) -> None:
        """Little or nothing was lost while so many came through: it was the load."""
        self.asking = False
        self._next_excused = _EXCUSED


class Ceiling:
    """The lowest limit at which the load made losses; it is tried again after twice as many rounds each time.

    Attributes:
        value: the limit, infinite where none is known.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """There is none."""
        self.value = inf
        self._stride = 1.0  # how far above it the next trial goes
        self._patience = 0.0
        self._next_patience = _PATIENCE

    def lower(self, limit: float) -> None:
        """The load made losses at *limit*."""
        if limit < self.value * _OTHER:
            self._next_patience = _PATIENCE
        self.value = min(limit, self.value)
        self._stride = 1.0
        self._patience = self._next_patience
        self._next_patience = min(_MOST_PATIENCE, self._patience * 2)

    def stood(self, limit: float) -> None:
        """A raise to *limit* went well: above the ceiling that has to last."""
        if limit >= self.value:
            self._patience = _DWELL

    def top(self, limit: float, most: float, trips: float) -> float:
        """The highest limit to be tried after a round of so many round *trips* at *limit*, *most* at most."""
        self._patience -= trips
        if limit >= self.value:
            if self._patience > 0.0:
                return limit
            self.value = limit + 1.0
            self._stride *= 2.0
        return min(most, self.value - 1.0 + (self._stride if self._patience <= 0.0 else 0.0))
