"""A histogram of fixed size for durations: cheap to feed, mergeable by adding, percentiles good to 1%.

Bounds grow by 2% from 0.1 ms to well over an hour; the bounds that Prometheus shows are among them, so that its
coarser buckets are exact sums of these.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate

EXPOSED_BOUNDS = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),  # the client library's own
    *(15.0, 30.0, 60.0, 120.0, 300.0),  # a call of this service may take 110 s
)
_FIRST, _GROWTH, _STEPS = 1e-4, 1.02, 900
BOUNDS = tuple(sorted({*EXPOSED_BOUNDS, *(_FIRST * _GROWTH**step for step in range(_STEPS))}))
_EXPOSED = tuple(BOUNDS.index(bound) for bound in EXPOSED_BOUNDS)


class Latency:
    """Counts of durations.

    Attributes:
        counts: durations per bucket; bucket *i* holds those over ``BOUNDS[i - 1]`` and at most ``BOUNDS[i]`` seconds,
            the last one those over every bound.
        total: how many there are.
        sum: of all of them, in seconds.
        largest: the longest, in seconds.
    """

    __slots__ = ("counts", "largest", "sum", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0
        self.sum = 0.0
        self.largest = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += 1
        self.sum += seconds
        if seconds > self.largest:
            self.largest = seconds

    def add(self, other: Latency) -> None:
        """Take in all that *other* has counted."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total
        self.sum += other.sum
        self.largest = max(self.largest, other.largest)

    def percentile(self, share: float) -> float | None:
        """Seconds that *share* (0 to 1) of the durations do not exceed, to 1%; None while there are none."""
        if not self.total:
            return None
        wanted = max(1, math.ceil(share * self.total))
        index = next(i for i, seen in enumerate(accumulate(self.counts)) if seen >= wanted)
        if index == 0:
            return min(BOUNDS[0], self.largest)
        if index == len(BOUNDS):
            return self.largest
        return min(math.sqrt(BOUNDS[index - 1] * BOUNDS[index]), self.largest)

    def exposed(self) -> list[int]:
        """For each of ``EXPOSED_BOUNDS``, how many durations are at most that."""
        sums = list(accumulate(self.counts))
        return [sums[index] for index in _EXPOSED]
