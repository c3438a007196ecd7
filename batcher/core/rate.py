"""At most so many requests a second: when the next one may be sent, as plain arithmetic.

Requests are spaced evenly. One that comes late, because the loop was busy or the limit held it back for a moment, does
not delay those behind it: up to ``_SLACK`` seconds are made up for. What is longer is a pause, and a pause is never
made up for, so no burst follows it.
"""

from __future__ import annotations

_SLACK = 0.01
"""Seconds; a hundredth of any second, so that no second holds more than one per cent above the rate, or one request."""


def share_of_fleet(rate: float, shards: int) -> float:
    """Requests a second for each of so many *shards* of a fleet that sends *rate* requests a second, all together.

    Equal shares need nobody to share anything out: a shard that has ended, or has nothing to send, leaves its share
    unused.
    """
    return rate / shards


class Pacer:
    """Says when the next request may be sent.

    Args:
        rate: requests a second, above 0; each part of a fleet takes its share of the fleet's.

    Attributes:
        next: when the next request may be sent.
    """

    def __init__(self, rate: float) -> None:
        self._gap = 1.0 / rate
        self.next = float("-inf")

    def wait(self, now: float) -> float:
        """Seconds from *now* until the next request may be sent; 0 if it may at once."""
        return max(0.0, self.next - now)

    def send(self, now: float) -> None:
        """Count a request that is sent at *now*."""
        self.next = max(self.next, now - _SLACK) + self._gap
