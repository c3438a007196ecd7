"""Clients under virtual time: the real limit, breaker and pauses, and more records than they can ever send."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import inf
from typing import Protocol

from batcher.core.breaker import Breaker
from batcher.core.rate import Pacer
from batcher.core.verdict import Judgement, Sample, Verdict
from bench.pace.service import Kind, Service

Event = tuple[float, int, Callable[[float], None]]

_MEANING: dict[Kind, tuple[Verdict, Sample]] = {
    "served": (Verdict.ACCEPTED, Sample.SUCCESS),
    "fault": (Verdict.FAULTED, Sample.IGNORE),
    "deadlock": (Verdict.FAULTED, Sample.TURNED_AWAY),
    "reset": (Verdict.UNCERTAIN, Sample.DROPPED),
    "turned_away": (Verdict.THROTTLED, Sample.TURNED_AWAY),
    "unreachable": (Verdict.NOT_SENT, Sample.IGNORE),
    "never": (Verdict.UNCERTAIN, Sample.DROPPED),
}


class Rule(Protocol):
    """A limit; ``batcher.core.limit.Limit`` is one."""

    @property
    def value(self) -> int:
        """Requests that may be in flight."""
        ...

    def hear(self, sample: Sample, seconds: float, in_flight: int, now: float) -> None:
        """Learn from an attempt that ended."""
        ...


@dataclass(slots=True)
class Diary:
    """What a client has seen.

    Attributes:
        sent: when each request was sent.
        served: when each one that was served ended, and its seconds.
        lost: when each one that was turned away or lost ended.
        limits: the limit from an instant on.
    """

    sent: list[float] = field(default_factory=list)
    served: list[tuple[float, float]] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    limits: list[tuple[float, int]] = field(default_factory=list)


class Client:
    """One client.

    Args:
        rule: its limit.
        service: what it sends to.
        agenda: where it puts what happens later.
        timeout: for one attempt, in seconds.
        wanted: requests that it has at a time, at most.
        seed: of its chance.
        pacer: its ceiling on requests a second.
        leaves: from when on it sends nothing more.
    """

    def __init__(
        self,
        rule: Rule,
        service: Service,
        agenda: Agenda,
        *,
        timeout: float,
        wanted: int,
        seed: int,
        pacer: Pacer | None = None,
        leaves: float = inf,
    ) -> None:
        self.diary = Diary()
        self._pacer = pacer
        self._leaves = leaves
        self._rule = rule
        self._service = service
        self._agenda = agenda
        self._timeout = timeout
        self._wanted = wanted
        self._chance = random.Random(seed)
        self._breaker = Breaker()
        self._in_flight = 0
        self._probing = False
        self._until = 0.0
        self._paced = 0.0  # up to when it will be woken

    def begin(self, now: float) -> None:
        """Send as much as is allowed now."""
        self.diary.limits.append((now, self._rule.value))
        self._pump(now)

    def _pump(self, now: float) -> None:
        while self._until <= now < self._leaves and self._in_flight < self._wanted:
            probe = self._breaker.is_open
            if self._probing if probe else self._in_flight >= self._rule.value:
                return
            if probe and now < self._breaker.next_probe:
                self._agenda.put(self._breaker.next_probe, self._pump)
                return
            if self._pacer is not None:
                if now < self._pacer.next:
                    if self._paced < self._pacer.next:
                        self._paced = self._pacer.next
                        self._agenda.put(self._paced, self._pump)
                    return
                self._pacer.send(now)
            self._probing = probe
            self._send(now, probe=probe)

    def _send(self, now: float, *, probe: bool) -> None:
        self._in_flight += 1
        self.diary.sent.append(now)
        way = self._service.way
        if way:
            self._agenda.put(now + way, lambda then: self._arrive(then, now, way, probe=probe))
        else:
            self._arrive(now, now, way, probe=probe)

    def _arrive(self, now: float, began: float, way: float, *, probe: bool) -> None:
        kind, ends, wait = self._service.take(now)
        ends += way
        if ends - began > self._timeout:
            kind, ends = "never", began + self._timeout
        self._agenda.put(ends, lambda then: self._hear(then, began, kind, wait, probe=probe))

    def _hear(self, now: float, began: float, kind: Kind, wait: float, *, probe: bool) -> None:
        verdict, sample = _MEANING[kind]
        rule, before = self._rule, self._rule.value
        rule.hear(sample, now - began, self._in_flight, now)
        if rule.value != before:
            self.diary.limits.append((now, rule.value))
        if kind == "served":
            self.diary.served.append((now, now - began))
        elif sample is not Sample.IGNORE:
            self.diary.lost.append(now)
        self._breaker.hear(
            Judgement(verdict, sample, retry_after=wait or None),
            record=len(self.diary.sent),
            limit=rule.value,
            probe=probe,
            now=now,
            jitter=self._chance.random(),
        )
        self._in_flight -= 1
        self._probing = self._probing and not probe
        if wait and now + wait > self._until:
            self._until = now + wait
            self._agenda.put(self._until, self._pump)
        self._pump(now)


class Agenda:
    """What will happen, in the order of its time."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._tie = count()

    def put(self, at: float, what: Callable[[float], None]) -> None:
        """Let *what* happen at the instant *at*."""
        heapq.heappush(self._events, (at, next(self._tie), what))

    def run(self, until: float) -> None:
        """Let everything happen that happens before *until*."""
        while self._events and self._events[0][0] < until:
            at, _, what = heapq.heappop(self._events)
            what(at)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which *share* of *values* lie; 0 where there are none."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0
