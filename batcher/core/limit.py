"""How many requests may be in flight: found from what the attempts tell (additive increase, multiplicative decrease).

The limit starts small, doubles each round trip until the first loss, then grows by one a round trip, and only while it
is what holds sending back. A loss (a timeout, 429, 503, a gateway's 502 or 504) cuts it, at most once a round trip;
faults that are about the record's content teach nothing.
"""

from __future__ import annotations

from batcher.core.verdict import Sample

_START = 8
_CUT = 0.7
_IN_USE = 0.9


class Limit:
    """The concurrency limit.

    Args:
        most: it never exceeds this.
        fixed: the operator's own number, which then never changes.
    """

    def __init__(self, most: int, fixed: int | None = None) -> None:
        self._most = most
        self._fixed = fixed is not None
        self._limit = float(fixed if fixed is not None else min(_START, most))
        self._starting = True
        self._cut_at = float("-inf")

    @property
    def value(self) -> int:
        """Requests that may be in flight, at least 1."""
        return int(self._limit)

    def hear(self, sample: Sample, seconds: float, in_flight: int, now: float) -> None:
        """Learn from an attempt that ended.

        Args:
            sample: what it tells.
            seconds: how long it took.
            in_flight: requests that were in flight when it ended, itself included.
            now: when it ended.
        """
        if self._fixed or sample is Sample.IGNORE:
            return
        if sample is Sample.SUCCESS:
            # Measured by the whole number: at a limit of 1.9 only one can ever be in flight.
            if in_flight >= self.value * _IN_USE:
                self._limit = min(self._most, self._limit + (1.0 if self._starting else 1.0 / self._limit))
            return
        self._starting = False
        # What was in flight at the cut tells again what the cut has answered already.
        if now - seconds >= self._cut_at:
            self._limit = max(1.0, self._limit * _CUT)
            self._cut_at = now
