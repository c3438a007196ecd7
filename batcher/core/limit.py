"""How many requests may be in flight: found from what the attempts tell.

The limit is judged once a *round*: as many answers as there are requests in flight, after as many more that were on
their way when it last changed. What counts is the goodput: by Little's law the limit divided by the round trip.

- **Raise.** It doubles each round at first, later it takes a step of about its root, and only while it is what holds
  sending back. What a raise has not brought in goodput is taken back: all of it behind a queue, nothing where there is
  room for all. So the limit stops at the knee. After some rounds it tries again, for the knee may have moved.
- **Room.** Clients that share a service each gain by more even when all of them only wait longer, so none may have more
  than about its root in the queue, a third of it at most: the round trip beside the shortest known tells. Whoever
  has more lowers its limit, whoever has less may raise, and for the same queue that is the same limit for all.
- **Look.** Now and then the shortest round trip is measured anew, with a little less in flight than empties the queue.
  All clients look at the same instants, by the clock, or else each would see the others' queue. So a service that has
  become slower is not taken for a queue for long, and whoever comes late finds a moment of room. Below a ceiling, where
  no queue is seen, it gives up a fifth instead, and wins it back by one a round trip, on above the ceiling until too
  much is lost. All give up the same share and take the same number, and so they become equal.
- **Cut.** Losses (timeouts, 429, 503, 502, 504, deadlocks) that come from the load cut it, at most once a round trip:
  by a fifth, or to a little below what did without, and to half while nothing comes through at all. `losses` finds
  out which do, by asking: a cut that has not helped is taken back. Where they began is a ceiling. It is tried again at
  a look; at each one if all that is lost there is turned away unread, seldom if losses cost more.

Faults that are about the record's content teach nothing. Round trips are averaged as logarithms: one answer that takes
a hundred times as long as the others must not look like a queue. How much they vary says how far to trust their mean.
"""

from __future__ import annotations

from math import ceil, exp, inf, log, log2, sqrt

from batcher.core.ceiling import Ceiling
from batcher.core.losses import Finding, Losses
from batcher.core.verdict import Sample

_START = 2.0
_LEAST_ROUND = 8  # answers; fewer are chance
_IN_USE = 0.9
_SUCCESS = Sample.SUCCESS
_INSTANT = 1e-6  # seconds, added to every round trip: nothing has no logarithm

_STEP = 1.5  # times the root of the limit, at most half of it: small limits gain more, so that clients become equal
_NO_GAIN, _FULL_GAIN = 0.3, 0.7  # of a raise: between these the goodput has followed in part, and so far it is kept
_DOUBT = 2.0  # standard errors in favour of more in flight
_REST, _SHORT_REST = 8, 2  # rounds after a trial that brought nothing, or a part

_ROOM, _MOST_ROOM = 1.25, 0.33  # times the root of the limit, and times the limit: so many may queue
_LOWER = 0.85  # times the limit: not lower at a time

_CUT, _COLLAPSE = 0.8, 0.5
_BELOW = 0.9  # times a limit that did without losses: there it asks, for a bucket of tokens to fill again
_PAUSE = 4.0  # round trips in which nothing is sent after a loss: such a loss is dear

_LOOK_EVERY = 32.0  # shortest round trips, up to the next power of two in seconds: so periods of all clients fit
_LOOK_BELOW = 0.8  # times what would be in flight without a queue
_LOOK_TRIPS = 2  # round trips that it lasts, after one that empties the queue
_QUEUED = log(1.5)  # so far is the round trip above the shortest where a queue is seen even below a ceiling
_CHANCE = 16  # answers whose mean moves the shortest down by half the difference: that of few is often too short


class Limit:
    """The concurrency limit.

    Args:
        most: it never exceeds this.
        fixed: the operator's own number, which then never changes.
        found: what an earlier run has found; this one begins at half of it.
        ahead: seconds by which a clock that all clients of the service share is ahead of the one that tells ``now``.

    Attributes:
        value: requests that may be in flight, at least 1.
        most: the highest that it can become.
    """

    def __init__(self, most: int, fixed: int | None = None, found: int | None = None, *, ahead: float = 0.0) -> None:
        self.most = most if fixed is None else fixed
        self._most = float(most)
        self._ahead = ahead
        self._fixed = fixed is not None
        begin = _START if found is None else found / 2
        self._limit = float(fixed) if fixed is not None else min(max(begin, 1.0), self._most)
        self._shortest = inf  # logarithm of the shortest round trip
        self._usual = 0.0  # logarithm of the round trip while nothing is tried
        self._before: float | None = None  # the limit before the raise under trial
        self._looking: float | None = None  # the limit before the look under way
        self._next_look = -inf
        self._asked: tuple[float, float | None] = (1.0, None)  # the limit before the question, and before that
        self._starting = True
        self._spare = False  # in the last round something else held sending back
        self._rest, self._cut_at = 0, -inf
        self._lost = inf  # when something was lost, until something sent later is answered
        self._came = 0  # successes that the losses were not told of yet
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
        if sample is not _SUCCESS:
            if sample is not Sample.IGNORE:
                self._lost = now
                # What was in flight at the cut tells again what the cut has answered already.
                if now - seconds > self._cut_at:
                    self._lose(now, unread=sample is Sample.TURNED_AWAY)
            return
        if now - seconds > self._lost:
            self._losses.paused = now - seconds - self._lost > _PAUSE * seconds
            self._lost = inf
        self._came += 1
        if self._settling:
            self._settling -= 1
            return
        if now >= self._next_look:
            self._look(now)
        trip = log(seconds + _INSTANT)
        self._sum += trip
        self._squares += trip * trip
        self._used += in_flight >= self._in_use
        self._left -= 1
        if not self._left:
            trip = self._sum / self._round
            self._judge(trip, sqrt(max(0.0, self._squares / self._round - trip * trip) / self._round))

    def _count(self) -> None:
        """Tell the losses how much has come through."""
        self._losses.succeed(self._came)
        self._came = 0

    def _begin_round(self, settling: int) -> None:
        """Measure anew, after *settling* answers that were under way when the limit changed."""
        self.value = int(self._limit)
        self._in_use = self.value * _IN_USE
        self._settling = settling
        self._round = self._left = max(_LEAST_ROUND if self._ceiling.won is None else 1, self.value)
        self._sum = self._squares = 0.0
        self._used = 0

    def _move(self, limit: float, *, anew: bool = True) -> None:
        """Go on with another *limit*; losses are counted *anew* where it is meant to last."""
        before = self.value
        self._limit = min(self._most, max(1.0, limit))
        if anew:
            self._losses.begin()
        self._begin_round(max(before, int(self._limit)))

    def _judge(self, trip: float, error: float) -> None:
        """Draw the conclusions from a round: its mean logarithm of the round trip, and the standard error of that."""
        self._count()
        if trip < self._shortest:
            known = self._shortest if self._shortest < inf else trip
            self._shortest = known + (trip - known) * self._round / (self._round + _CHANCE)
        before, self._before = self._before, None
        self._spare = self._used < self._round * _IN_USE
        if self._losses.asking:
            self._losses.show()
            self._stay_below(*self._asked)
        elif self._looking is not None:
            self._end_look(trip, error, self._looking)
        elif self._spare:
            self._usual = trip if before is None else self._usual
            self._ceiling.won = None
            self._begin_round(0)  # something else held sending back: nothing is said about the limit, nor a trial
        elif self._ceiling.won is not None:
            self._climb(trip, error)
        elif before is None:
            self._usual = trip
            self._go_on(trip, error)
        else:
            self._judge_more(trip, error, before)

    def _judge_more(self, trip: float, error: float, before: float) -> None:
        """Keep of a raise what the goodput has followed; in doubt more than less."""
        raised = log(self._limit / before)
        gained = raised - (trip - self._usual) + error * _DOUBT
        if gained <= raised * _NO_GAIN:
            self._starting = False
            self._rest = min(_REST, int(2.0 * before))
            self._move(before)
            return
        self._usual = (self._usual + trip) / 2
        if gained <= raised * _FULL_GAIN:
            self._starting, self._rest = False, _SHORT_REST
            self._move(before * exp(gained))
            return
        self._go_on(trip, error)

    def _go_on(self, trip: float, error: float) -> None:
        """Have less in flight where too many queue, rest, or try more."""
        limit, top = self._limit, min(self._most, self._ceiling.value - 1.0)
        share = self._share(trip, error)
        room = self._room(limit)
        if limit * (1.0 - share) > room:
            self._starting = False
            self._move(max(limit * _LOWER, limit * share + room))
        elif self._rest:
            self._rest -= 1
            self._begin_round(0)
        elif limit < top:
            self._before = limit
            step = limit if self._starting else max(1.0, min(limit / 2.0, _STEP * sqrt(limit)))
            if limit + step >= self._ceiling.value:
                step = 1.0
            self._move(min(limit + step, top))
        else:
            self._begin_round(0)

    def _look(self, now: float) -> None:
        """Begin to measure the shortest round trip anew, or give up a part, unless something is asked."""
        if self._shortest == inf:
            return
        self._count()
        trip = exp(self._shortest)
        period = 2.0 ** ceil(log2(trip * _LOOK_EVERY))
        first = self._next_look == -inf
        number = (now + self._ahead + trip) // period  # early, so that there is room at the instant itself
        self._next_look = (number + 1.0) * period - self._ahead - trip
        if first or self._spare or self._losses.asking or self._looking is not None:
            return
        if self._ceiling.value == inf or self._usual - self._shortest >= _QUEUED:
            self._looking = self._before or self._limit
            self._before = self._ceiling.won = None
            self._move(self._looking * min(1.0, exp(self._shortest - self._usual)) * _LOOK_BELOW, anew=False)
            self._round = self._left = max(2, _LOOK_TRIPS * self.value)
        elif self._before is None:
            self._move(self._ceiling.give_up(self._limit, number, dear=self._losses.dear))

    def _end_look(self, trip: float, error: float, limit: float) -> None:
        """Go on with *limit*, which was the limit before, or with what leaves room in the queue."""
        self._looking = None
        self._shortest = trip
        self._move(min(limit, limit * self._share(self._usual, error) + self._room(limit)), anew=False)

    def _climb(self, trip: float, error: float) -> None:
        """Have one more in flight, unless too many queue, after a round trip that did not lose too much."""
        if self._limit * (1.0 - self._share(trip, error)) > self._room(self._limit):
            self._ceiling.won = None
        else:
            self._limit = self._ceiling.climb(self._limit, self._most, lost=self._losses.lost > 0)
        self._losses.begin()
        self._begin_round(0)

    def _room(self, limit: float) -> float:
        """How much of what is in flight may queue."""
        return min(_ROOM * sqrt(limit), limit * _MOST_ROOM)

    def _share(self, trip: float, error: float) -> float:
        """How much of what is in flight does not queue, where round trips take *trip*; in doubt more."""
        return exp(self._shortest - trip + _DOUBT * error)

    def _lose(self, now: float, *, unread: bool) -> None:
        self._count()
        found = self._losses.lose(None if self._ceiling.won is None else self.value, unread=unread)
        if found is Finding.NOT_THE_LOAD:
            limit, self._before = self._asked
            self._move(limit)
        elif found is not Finding.CHANCE:
            self._cut_at = now
            self._cut(found)

    def _cut(self, found: Finding) -> None:
        limit = max(self._limit, self._before or 0.0, self._looking or 0.0)
        before = self._before if self._before != limit else None
        won = self._ceiling.fall()
        if won is not None:
            before = won
        elif self._ceiling.is_met(limit, dear=self._losses.dear):
            before = min(before or limit, limit - 1.0, self._ceiling.value - 1.0)
            found = Finding.HEAVY if found is Finding.UNKNOWN else found
        self._before = self._looking = None
        self._rest = 0
        if found is Finding.UNKNOWN:
            proof = self._losses.ask()
            self._asked = limit, before
            self._move(limit * _CUT if before is None else min(before, max(before * _BELOW, limit * _CUT)))
            self._round = self._left = min(proof, int(_LOOK_EVERY) * self.value)
        elif found is not Finding.NOTHING_ELSE:
            self._stay_below(limit, before)
        else:
            self._ceiling.forget()
            self._move(limit * _COLLAPSE)
        self._starting = self._limit <= 1.0

    def _stay_below(self, limit: float, before: float | None) -> None:
        """Go below *limit*, from which losses came, and to where its trial began if it was one."""
        self._ceiling.lower(limit)
        self._move(min(before or limit * _CUT, self._ceiling.value - 1.0))
