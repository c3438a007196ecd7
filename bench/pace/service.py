"""A made-up service: when it answers a request, and what; the same every time for the same seed."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Kind = Literal["served", "fault", "deadlock", "reset", "turned_away", "unreachable", "never"]

_QUICK = 0.02
"""Seconds in which a request is turned away."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How it serves.

    Attributes:
        latency: seconds that one request takes when nothing stands in its way.
        jitter: standard deviation of the logarithm of the latency.
        tail: exponent of the Pareto tail of the latency, 0 for none.
        servers: requests that are worked on at a time, the others queue; 0: any number.
        growth: the latency grows with the load; it has doubled at so many requests; 0: it does not.
        power: of the load in that growth.
        cap: requests inside at a time, those above are turned away; 0: any number.
        rate: requests taken a second, those above are turned away; 0: any number.
        burst: requests that it takes at once after a quiet time.
        retry_after: seconds that it asks for when it turns one away; 0: it asks for none.
        faults: share of the requests that get a fault.
        fault_latency: seconds in which they get it.
        losses: share of the requests that are lost by chance, however much or little is in flight.
        loss: what becomes of those: ``turned_away`` at once, the others after the time of one that is served.
        down: ``503`` turns everything away, ``hang`` never answers, ``closed`` takes no connection.
        way: seconds that a request is on its way, and as many its answer: for so long nobody has that place.
    """

    latency: float = 0.1
    jitter: float = 0.0
    tail: float = 0.0
    servers: int = 0
    growth: float = 0.0
    power: float = 2.0
    cap: int = 0
    rate: float = 0.0
    burst: float = 1.0
    retry_after: float = 0.0
    faults: float = 0.0
    fault_latency: float = _QUICK
    losses: float = 0.0
    loss: Literal["deadlock", "reset", "turned_away"] = "deadlock"
    down: Literal["", "503", "hang", "closed"] = ""
    way: float = 0.0


class Service:
    """One service.

    Args:
        manner: how it serves at first.
        seed: of its chance.
    """

    def __init__(self, manner: Manner, seed: int) -> None:
        self._chance = random.Random(seed)
        self._inside: list[float] = []  # when each request that is inside will leave, a heap
        self._free: list[float] = []  # when each server will be free, a heap
        self._tokens, self._counted = 0.0, 0.0
        self._manner = manner
        self.change({}, 0.0)

    @property
    def way(self) -> float:
        """Seconds to it, and as many back."""
        return self._manner.way

    def change(self, changes: Mapping[str, Any], now: float) -> None:
        """Serve in another manner from *now* on; what is inside goes on as it was."""
        self._manner = replace(self._manner, **changes)
        while len(self._free) < self._manner.servers:
            heapq.heappush(self._free, now)
        while len(self._free) > self._manner.servers:
            heapq.heappop(self._free)

    def take(self, now: float) -> tuple[Kind, float, float]:
        """A request that arrives: what comes of it, when, and for how long the sender is asked to wait."""
        manner = self._manner
        while self._inside and self._inside[0] <= now:
            heapq.heappop(self._inside)
        if manner.down == "hang":
            return "never", math.inf, 0.0
        if manner.down == "closed":
            return "unreachable", now + _QUICK, 0.0
        if manner.down or (manner.cap and len(self._inside) >= manner.cap) or not self._allows(now):
            return "turned_away", now + _QUICK, manner.retry_after
        if manner.faults and self._chance.random() < manner.faults:
            return "fault", now + manner.fault_latency, 0.0
        lost = manner.losses > 0.0 and self._chance.random() < manner.losses
        if lost and manner.loss == "turned_away":
            return "turned_away", now + _QUICK, manner.retry_after
        leaves = self._begins(now) + self._seconds()
        if manner.servers:
            heapq.heappush(self._free, leaves)
        heapq.heappush(self._inside, leaves)
        return manner.loss if lost else "served", leaves, 0.0

    def _allows(self, now: float) -> bool:
        manner = self._manner
        if not manner.rate:
            return True
        self._tokens = min(manner.burst, self._tokens + (now - self._counted) * manner.rate)
        self._counted = now
        # Sums of fractions may miss a whole token by a hair.
        allowed = self._tokens > 1.0 - 1e-9
        self._tokens -= allowed
        return allowed

    def _begins(self, now: float) -> float:
        return max(now, heapq.heappop(self._free)) if self._manner.servers else now

    def _seconds(self) -> float:
        manner = self._manner
        seconds = manner.latency
        if manner.growth:
            seconds *= 1.0 + ((len(self._inside) + 1) / manner.growth) ** manner.power
        if manner.jitter:
            seconds *= self._chance.lognormvariate(0.0, manner.jitter)
        if manner.tail:
            seconds *= self._chance.paretovariate(manner.tail)
        return seconds
