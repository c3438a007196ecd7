"""Other rules for the limit, to compare ours with."""

from __future__ import annotations

import math

from batcher.core.verdict import Sample


class Vector:
    """The adaptive concurrency of Vector (vector.dev), as its ``controller.rs`` has it, with its own defaults.

    Once in a mean round trip: one more if the limit was reached, nothing was turned away and the round trip is not
    above its average; nine tenths if something was turned away or the round trip is 2.5 standard deviations above it.
    """

    MOST = 200
    DECREASE = 0.9
    SMOOTHING = 0.4
    DEVIATIONS = 2.5

    def __init__(self) -> None:
        self._limit = 1
        self._mean: float | None = None
        self._variance = 0.0
        self._next = 0.0
        self._sum, self._count = 0.0, 0
        self._pressed = self._reached = False

    @property
    def value(self) -> int:
        """Requests that may be in flight."""
        return self._limit

    def hear(self, sample: Sample, seconds: float, in_flight: int, now: float) -> None:
        """Learn from an attempt that ended; the arguments are those of our rule."""
        self._reached = self._reached or in_flight >= self._limit
        if sample in {Sample.DROPPED, Sample.TURNED_AWAY}:
            self._pressed = True
        elif sample is Sample.SUCCESS:
            self._sum, self._count = self._sum + seconds, self._count + 1
        # Its own tests round as well: without that, equal times differ in their last bit.
        current = round(self._sum / self._count, 6) if self._count else None
        if self._mean is None:
            if current is not None:
                self._mean, self._next = current, now + current
        elif now >= self._next:
            self._manage(self._mean, current)
            if current is not None:
                self._smooth(self._mean, current)
            self._next = now + self._mean
            self._sum, self._count = 0.0, 0
            self._pressed = self._reached = False

    def _manage(self, mean: float, current: float | None) -> None:
        if self._limit < self.MOST and self._reached and not self._pressed and current is not None and current <= mean:
            self._limit += 1
        elif self._pressed or (current or 0.0) >= mean + math.sqrt(self._variance) * self.DEVIATIONS:
            self._limit = max(1, int(self._limit * self.DECREASE))

    def _smooth(self, mean: float, current: float) -> None:
        difference = current - mean
        step = self.SMOOTHING * difference
        self._mean = mean + step
        self._variance = (1.0 - self.SMOOTHING) * (self._variance + difference * step)
