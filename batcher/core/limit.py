"""How many requests may be in flight: found from what the attempts tell.

The limit is judged once a *round*: as many answers as there are requests in flight, after as many more that were on
their way when it last changed. What counts is the goodput: by Little's law the limit divided by the round trip.

- **Raise.** It doubles each round at first, later it takes a step of about its root, and only while it is what holds
  sending back. What a raise has not brought in goodput is taken back: all of it behind a queue, nothing where there is
  room for all. So the limit stops at the knee. After some rounds it tries again, for the knee may have moved; and while
  round trips are longer than they could be, it tries in turn whether less does as well.
- **Cut.** Losses (timeouts, 429, 503, 502, 504, deadlocks) that come from the load cut it, at most once a round trip:
  by a fifth, or to where the raise under trial began, and to half while nothing comes through at all. `losses` finds
  out which do, by asking: a cut that has not helped is taken back. Where they began is a ceiling.
- **Drain.** Clients that share a service each gain by more even when all of them only wait longer. So once the round
  trip stays far above the shortest known, the limit falls to a quarter for one round and to half after that. Was there
  a queue of its own, it is gone; are there others, they see the service with less in it and do likewise; has the
  service itself become slower, then this is the shortest round trip from now on. BBR probes for its own in this way.

Faults that are about the record's content teach nothing. Round trips are averaged as logarithms: one answer that takes
a hundred times as long as the others must not look like a queue. How much they vary says how far to trust their mean.
"""

from __future__ import annotations

from math import exp, inf, log, sqrt

from batcher.core.losses import Ceiling, Finding, Losses
from batcher.core.verdict import Sample

_START = 2.0
_LEAST_ROUND = 8  # answers; fewer are chance
_IN_USE = 0.9
_INSTANT = 1e-6  # seconds, added to every round trip: nothing has no logarithm

_STEP = 1.5  # times the root of the limit, at most half of it: small limits gain more, so that clients become equal
_NO_GAIN, _FULL_GAIN = 0.3, 0.7  # of a raise: between these the goodput has followed in part, and so far it is kept
_LESS, _NO_HARM = 0.85, 0.25  # a lowering; where the goodput has followed it by less, the lower limit is kept
_QUEUED = log(1.25)  # so far is the round trip above the shortest where less in flight may do as well
_REST, _SHORT_REST = 8, 2  # rounds after a trial that brought nothing, or a part

_CUT, _COLLAPSE = 0.8, 0.5

_FAR = log(1.75)  # not to twice the shortest, the slowest of the answers included
_DRAIN, _DRAINED, _DRAIN_REST = 0.25, 0.5, 4
_DRAIN_LEAST = 4.0  # requests; fewer make no queue worth draining
# So far a drain moves the shortest round trip up, for others may have kept the queue filled; and so many times as far
# with each drain in a row.
_DOUBT, _INSISTENCE = 0.125, 4.0
_CHANCE = 16  # answers whose mean moves the shortest down by half the difference: that of few is often too short


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
        self._asked: tuple[float, float | None] = (1.0, None)  # the limit before the question, and before that
        self._alarmed = False  # the round trip of the last round was far above the shortest
        self._doubt = _DOUBT
        self._starting, self._try_less = True, False
        self._rest, self._cut_at = 0, -inf
        self._losses = Losses()
        self._ceiling = Ceiling()
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
            if sample is Sample.DROPPED and now - seconds > self._cut_at:
                self._lose(now)
            return
        self._losses.succeed()
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
            self._judge(trip, sqrt(max(0.0, self._squares / self._round - trip * trip) / self._round))

    def _begin_round(self, settling: int) -> None:
        """Measure anew, after *settling* answers that were under way when the limit changed."""
        self.value = int(self._limit)
        self._in_use = self.value * _IN_USE
        self._settling = settling
        self._round = self._left = max(_LEAST_ROUND, self.value)
        self._sum = self._squares = 0.0
        self._used = 0

    def _move(self, limit: float) -> None:
        """Go on with another *limit*."""
        before = self.value
        self._limit = min(self._most, max(1.0, limit))
        self._losses.begin()
        self._begin_round(max(before, int(self._limit)))

    def _judge(self, trip: float, error: float) -> None:
        """Draw the conclusions from a round: its mean logarithm of the round trip, and the standard error of that."""
        if trip < self._shortest:
            known = self._shortest if self._shortest < inf else trip
            self._shortest = known + (trip - known) * self._round / (self._round + _CHANCE)
        before, self._before = self._before, None
        if self._losses.asking:
            self._losses.show()
            self._stay_below(*self._asked)
        elif self._drained is not None:
            self._end_drain(trip, self._drained)
        elif self._used < self._round * _IN_USE:
            self._begin_round(0)  # something else held sending back: nothing is said about the limit, nor a trial
        elif before is None:
            self._usual = trip
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
            self._starting, self._try_less = False, True
            self._rest = min(_REST, int(2.0 * before))
            self._move(before)
            return
        self._usual = (self._usual + trip) / 2
        if gained <= raised * _FULL_GAIN:
            self._starting, self._rest = False, _SHORT_REST
            self._move(before * exp(gained))
            return
        self._ceiling.stood(self._limit)
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
            self._rest = min(_REST, int(2.0 * before))
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
            self._try(self._ceiling.top(self._most), queued=longer > _QUEUED)

    def _try(self, top: float, *, queued: bool) -> None:
        """Try more, up to *top*, or less, where requests are *queued*."""
        limit = self._limit
        if queued and (self._try_less or limit >= top) and self.value > 1:
            self._before = limit
            self._move(min(limit * _LESS, limit - 1.0))
            return
        self._try_less = False
        if limit < top:
            self._before = limit
            step = limit if self._starting else max(1.0, min(limit / 2.0, _STEP * sqrt(limit)))
            self._move(min(limit + (step if limit + 1.0 < self._ceiling.value else 1.0), top))
        else:
            self._begin_round(0)

    def _end_drain(self, trip: float, limit: float) -> None:
        """Go on below *limit*, which was the limit before."""
        self._drained = None
        self._shortest += (trip - self._shortest) * self._doubt
        # Drained again at once: then it was no queue of its own, and less of it would not help.
        share = _DRAINED if self._doubt == _DOUBT else 1.0
        self._doubt = min(1.0, self._doubt * _INSISTENCE)
        self._starting, self._rest = False, _DRAIN_REST
        self._move(limit * share)

    def _lose(self, now: float) -> None:
        found = self._losses.lose()
        if found is Finding.NOT_THE_LOAD:
            limit, self._before = self._asked
            self._move(limit)
        elif found is not Finding.CHANCE:
            self._cut_at = now
            self._cut(found)

    def _cut(self, found: Finding) -> None:
        limit = max(self._limit, self._before or 0.0, self._drained or 0.0)
        before = self._before if self._before != limit else None
        self._before = self._drained = None
        self._rest = 0
        if found is Finding.UNKNOWN:
            proof = self._losses.ask()
            self._asked = limit, before
            self._move(min(before or limit, limit * _CUT))
            self._round = self._left = proof
        elif found is Finding.HEAVY:
            self._stay_below(limit, before)
        else:
            self._ceiling.forget()
            self._move(limit * _COLLAPSE)
        self._starting = self._limit <= 1.0

    def _stay_below(self, limit: float, before: float | None) -> None:
        """Go below *limit*, from which losses came, and to where its trial began if it was one."""
        self._ceiling.lower(limit)
        self._move(min(before or limit * _CUT, self._ceiling.value - 1.0))
