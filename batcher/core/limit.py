"""How many requests may be in flight: found from what the attempts tell.

The limit is judged once a *round*: as many answers as there are requests in flight, after as many more that were on
their way when it last changed. What counts is the goodput: by Little's law the limit divided by the round trip.

- **Raise.** It doubles each round at first, later it takes a step of about its root, and only while it is what holds
  sending back. What a raise has not brought in goodput is taken back: all of it behind a queue, nothing where there is
  room for all. So the limit stops at the knee. After some rounds it tries again, for the knee may have moved; and while
  round trips are longer than they could be, it tries in turn whether less does as well.
- **Cut.** A loss (a timeout, 429, 503, a gateway's 502 or 504) cuts it, at most once a round trip: it takes back the
  raise under trial, else a fifth, and half while nothing comes through at all. The limit at which something was lost is
  a ceiling, which is tried again after twice as many rounds each time.
- **Drain.** Clients that share a service each gain by more even when all of them only wait longer. So once the round
  trip stays far above the shortest known, the limit falls to a quarter for one round and to half after that. Was there
  a queue of its own, it is gone; are there others, they see the service with less in it and do likewise; has the
  service itself become slower, then this is the shortest round trip from now on. BBR probes for its own in this way.

Faults that are about the record's content teach nothing. Round trips are averaged as logarithms: one answer that takes
a hundred times as long as the others must not look like a queue. How much they vary says how far to trust their mean.
"""

from __future__ import annotations

from math import exp, inf, log, sqrt

from batcher.core.verdict import Sample

_START = 2.0
_LEAST_ROUND = 8
"""Answers in a round at least: fewer are chance."""
_IN_USE = 0.9
_INSTANT = 1e-6
"""Seconds, added to every round trip: nothing has no logarithm."""

_STEP = 1.5
"""Times the root of the limit, at most half of it: small limits gain a larger share, so that clients become equal."""
_NO_GAIN, _FULL_GAIN = 0.3, 0.7
"""Of a raise: between these the goodput has followed in part, and so far the limit follows it."""
_LESS = 0.85
_NO_HARM = 0.25
"""Of a lowering: where the goodput has followed it by less, the lower limit is kept."""
_QUEUED = log(1.25)
"""How far the round trip is above the shortest where less in flight may do as well."""
_REST = 8
"""Rounds between a trial that brought nothing and the next; fewer for the lowest limits, whose rounds are long."""
_SHORT_REST = 2

_CUT = 0.8
_COLLAPSE = 0.5
_PER_LOSS = 32
"""Requests in flight to one loss that is taken for chance: a gateway that stumbles now and then is no overload."""
_PAST = 1.25
"""Times the ceiling, where it is known to be gone."""
_MOST_PATIENCE = 256
"""Rounds below a ceiling, at most."""

_FAR = log(1.75)
"""How far the round trip may rise above the shortest: not to twice, the slowest of the answers included."""
_DRAIN = 0.25
_DRAINED = 0.5
_DRAIN_LEAST = 4.0
"""So few requests make no queue worth draining."""
_DRAIN_REST = 4
_DOUBT, _INSISTENCE = 0.125, 4.0
"""So far a drain moves the shortest round trip up, for others may have kept the queue filled; four times as far with
each drain in a row."""
_CHANCE = 16
"""Answers whose mean moves the shortest round trip down by half the difference: that of few is often too short."""


class Limit:
    """The concurrency limit.

    Args:
        most: it never exceeds this.
        fixed: the operator's own number, which then never changes.
        found: what an earlier run has found; this one begins at half of it.

    Attributes:
        value: requests that may be in flight, at least 1.
    """

    def __init__(self, most: int, fixed: int | None = None, found: int | None = None) -> None:
        self._most = float(most)
        self._fixed = fixed is not None
        begin = _START if found is None else found / 2
        self._limit = float(fixed) if fixed is not None else min(max(begin, 1.0), self._most)
        self._shortest = inf  # logarithm of the shortest round trip
        self._usual = 0.0  # logarithm of the round trip while nothing is tried
        self._before: float | None = None  # the limit before the trial under way, of more or less
        self._drained: float | None = None  # the limit before the drain under way
        self._alarmed = False  # the round trip of the last round was far above the shortest
        self._doubt = _DOUBT
        self._starting = True
        self._rest = 0
        self._try_less = False
        self._cut_at = -inf
        self._answered = False  # since the last cut
        self._next_patience = _REST
        self._forget_ceiling()
        self._begin_round(0)

    def hear(self, sample: Sample, seconds: float, in_flight: int, now: float) -> None:
        """Learn from an attempt that ended.

        Args:
            sample: what it tells.
            seconds: how long it took.
            in_flight: requests that were in flight when it ended, itself included.
            now: when it ended.
        """
        if self._fixed:
            return
        if sample is not Sample.SUCCESS:
            # What was in flight at the cut tells again what the cut has answered already.
            if sample is Sample.DROPPED and now - seconds >= self._cut_at:
                self._lose(now)
            return
        self._answered = True
        if self._settling:
            self._settling -= 1
            return
        trip = log(seconds + _INSTANT)
        self._sum += trip
        self._squares += trip * trip
        self._used += in_flight >= self._in_use
        self._left -= 1
        if not self._left:
            trip = self._sum / self._round
            error = sqrt(max(0.0, self._squares / self._round - trip * trip) / self._round)
            self._judge(trip, error)

    def _begin_round(self, settling: int) -> None:
        """Measure anew, after *settling* answers that were under way when the limit changed."""
        self.value = int(self._limit)
        self._in_use = self.value * _IN_USE
        self._settling = settling
        self._round = self._left = max(_LEAST_ROUND, self.value)
        self._sum = self._squares = 0.0
        self._used = self._losses = 0

    def _move(self, limit: float) -> None:
        """Go on with another *limit*."""
        before = self.value
        self._limit = min(self._most, max(1.0, limit))
        self._begin_round(max(before, int(self._limit)))

    def _judge(self, trip: float, error: float) -> None:
        """Draw the conclusions from a round that is over.

        Args:
            trip: mean logarithm of its round trips.
            error: the standard error of that mean.
        """
        if trip < self._shortest:
            known = self._shortest if self._shortest < inf else trip
            self._shortest = known + (trip - known) * self._round / (self._round + _CHANCE)
        before, self._before = self._before, None
        if self._drained is not None:
            self._end_drain(trip, self._drained)
        elif self._used < self._round * _IN_USE:
            # Something else held sending back: the round says nothing about the limit, nor about a trial.
            self._begin_round(0)
        elif before is None:
            self._usual = (self._usual + trip) / 2 if self._rest else trip
            self._go_on(trip, error)
        elif before < self._limit:
            self._judge_more(trip, error, before)
        else:
            self._judge_less(trip, error, before)

    def _judge_more(self, trip: float, error: float, before: float) -> None:
        """Keep of a raise what the goodput has followed; in doubt more than less, above all at the start."""
        raised = log(self._limit / before)
        gained = raised - (trip - self._usual) + error * (2.0 if self._starting else 0.5)
        if gained <= raised * _NO_GAIN:
            self._starting = False
            self._try_less = True
            self._rest = _rest(before)
            self._move(before)
            return
        self._usual = (self._usual + trip) / 2
        if gained <= raised * _FULL_GAIN:
            self._starting = False
            self._rest = _SHORT_REST
            self._move(before * exp(gained))
            return
        if self._limit > self._ceiling * _PAST:
            self._forget_ceiling()
        self._go_on(trip, error)

    def _judge_less(self, trip: float, error: float, before: float) -> None:
        """Stay where the goodput has hardly fallen; in doubt go back."""
        lowered = log(before / self._limit)
        lost = lowered + (trip - self._usual) + error * 0.5
        self._try_less = lost <= lowered * _NO_HARM
        if self._try_less:
            self._usual = trip
            self._rest = _SHORT_REST
            self._begin_round(0)
        else:
            self._rest = _rest(before)
            self._move(before)

    def _go_on(self, trip: float, error: float) -> None:
        """Drain, rest, or try the next."""
        longer = trip - self._shortest - 2.0 * error
        alarmed, self._alarmed = self._alarmed, longer > _FAR and self._limit >= _DRAIN_LEAST
        if self._alarmed:
            if alarmed or self._doubt > _DOUBT:
                self._drained = self._limit
                self._move(self._limit * _DRAIN)
            else:  # it may be a hiccup
                self._begin_round(0)
            return
        self._doubt = _DOUBT
        if self._rest:
            self._rest -= 1
            self._begin_round(0)
        else:
            self._patience -= 1
            top = self._most if self._patience <= 0 else min(self._most, self._ceiling - 1.0)
            self._try(top, queued=longer > _QUEUED)

    def _try(self, top: float, *, queued: bool) -> None:
        """Try more, up to *top*, or less, where requests are *queued*."""
        limit = self._limit
        if queued and (self._try_less or limit >= top) and self.value > 1:
            self._before = limit
            self._move(min(limit * _LESS, limit - 1.0))
            return
        self._try_less = False
        if limit >= top:
            self._begin_round(0)
            return
        self._before = limit
        step = limit if self._starting else max(1.0, min(limit / 2.0, _STEP * sqrt(limit)))
        self._move(min(limit + (step if limit + 1.0 < self._ceiling else 1.0), top))

    def _end_drain(self, trip: float, limit: float) -> None:
        """Go on below *limit*, which was the limit before."""
        self._drained = None
        self._shortest += (trip - self._shortest) * self._doubt
        # Drained again at once: then it was no queue of its own, and less of it would not help.
        share = _DRAINED if self._doubt == _DOUBT else 1.0
        self._doubt = min(1.0, self._doubt * _INSISTENCE)
        self._starting = False
        self._rest = _DRAIN_REST
        self._move(limit * share)

    def _lose(self, now: float) -> None:
        self._losses += 1
        if self._losses > self.value / _PER_LOSS:
            self._cut_at = now
            self._cut(self._limit if self._drained is None else self._drained)

    def _cut(self, limit: float) -> None:
        """Go below *limit*, at which something was lost."""
        raised_from = self._before if self._before is not None and self._before < limit else None
        if not self._answered:
            self._forget_ceiling()
            limit *= _COLLAPSE
        elif raised_from is None:
            self._lower_ceiling(limit)
            limit *= _CUT
        else:
            self._lower_ceiling(limit - 1.0 if raised_from + 1.0 >= self._ceiling else limit)
            limit = min(raised_from, self._ceiling - 1.0)
        self._before = self._drained = None
        self._answered = False
        self._rest = 0
        self._starting = limit <= 1.0
        self._move(limit)

    def _lower_ceiling(self, limit: float) -> None:
        self._ceiling = limit
        self._patience = self._next_patience
        self._next_patience = min(_MOST_PATIENCE, self._patience * 2)

    def _forget_ceiling(self) -> None:
        self._ceiling = inf
        self._patience = 0
        self._next_patience = _REST


def _rest(limit: float) -> int:
    return min(_REST, int(2.0 * limit))
