"""Which losses come from the load.

Heavy ones do: six at once, or for long more than a third as often as successes. Very rare ones do not. Of the others
one asks, once there are enough of them to tell how often they come, with a little less in flight. Are they half as
rare there, or rarer, for four times as many answers as a loss took before, it was the load. Is as much lost even so,
less in flight is only less goodput: it is taken back, and from question to question more losses are excused as chance.
One after which nothing may be sent for a while is asked about at once, until the first answer to that.

Where more is tried for one round trip, or so much is in flight that losses are no news, nothing is asked: what is lost
there is the load's.
"""

from __future__ import annotations

from enum import Enum

_WEIGHT, _HEAVY = 3, 17  # of a loss in successes, which make up for it; and of too many losses
_RARE = 512  # answers to a loss that is chance in any case
_EXCUSED, _MOST_EXCUSED = 4, 64  # losses from one question to the next
_FEW = 6  # losses, since the limit changed: fewer do not tell how often they come
_TRIED = 8  # part of what is in flight: more than that lost, and one more, in a round trip that tries more
_AS_OFTEN, _MOST_ASKED = 2, 3  # so many times as rare, and so many at most, are losses that a cut helps against
_PROOF = 4  # times the answers to a loss: so many without a loss show that a cut helps
_LEAST_PROOF = 192


class Finding(Enum):
    """What is found about a loss."""

    CHANCE = "chance"
    UNKNOWN = "unknown"  # less in flight would tell
    TOO_MUCH = "too much"  # is tried
    NOT_THE_LOAD = "not the load"  # less in flight has told
    HEAVY = "heavy"
    NOTHING_ELSE = "nothing else"  # not one success since losses were heavy


class Losses:
    """Losses among successes.

    Attributes:
        asking: less is in flight, to see whether less is lost.
        lost: so many losses since the limit changed.
        paused: after the last loss nothing was sent for several round trips.
    """

    def __init__(self) -> None:
        self.asking = self.paused = False
        self._read = False  # half of the losses or more were not turned away unread
        self._rate = 0.0  # losses to a success before the question
        self._chance = 0.0  # likewise, where the load was not what made them
        self._answered = False  # since losses were heavy
        self._weight = 0  # of losses that no successes have made up for
        self._excused = self._next_excused = _EXCUSED
        self.begin()

    def begin(self) -> None:
        """Count anew: the limit has changed."""
        self._successes = self.lost = self._unread = 0

    def succeed(self, count: int) -> None:
        """So many have come through."""
        self._answered = self._answered or count > 0
        self._successes += count
        self._weight = max(0, self._weight - count)

    @property
    def dear(self) -> bool:
        """Losses cost more than the way: time, or certainty."""
        return self.paused or self._read

    def lose(self, tried: int | None, *, unread: bool) -> Finding:
        """Something was lost, where so many in flight are *tried* for one round trip: what is found."""
        self._weight += _WEIGHT
        self.lost += 1
        self._unread += unread
        if not self.asking:
            self._read = self._unread * 2 <= self.lost
        if self._weight > _HEAVY or not self._answered:
            found = Finding.HEAVY if self._answered else Finding.NOTHING_ELSE
            self.asking = self._answered = False
            self._weight = 0
            return found
        if tried is not None and (self.lost - 1 - _AS_OFTEN * self._chance * tried) * _TRIED > tried:
            return Finding.TOO_MUCH
        if self.asking:
            if self.lost <= _MOST_ASKED and self.lost * _AS_OFTEN < self._successes * self._rate:
                return Finding.CHANCE
            self.asking = False
            self._chance = self._rate
            self._excused = self._next_excused
            self._next_excused = min(_MOST_EXCUSED, self._excused * 2)
            return Finding.NOT_THE_LOAD
        if self._successes > self.lost * _RARE:
            self.begin()
        elif self.paused and self._next_excused == _EXCUSED:
            return Finding.UNKNOWN
        elif self._excused:
            self._excused -= 1
        elif self.lost >= _FEW:
            return Finding.UNKNOWN
        return Finding.CHANCE

    def ask(self) -> int:
        """Less will be in flight from now on: so many successes show whether this helps."""
        self.asking = True
        self._rate = self.lost / max(1, self._successes)
        return max(_LEAST_PROOF, _PROOF * self._successes // max(1, self.lost))

    def show(self) -> None:
        """Little or nothing was lost while so many came through: it was the load."""
        self.asking = False
        self._chance = 0.0
        self._next_excused = _EXCUSED
