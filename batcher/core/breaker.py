"""Outage: when nothing can come of sending, the run pauses as a whole and probes, one request at a time.

It opens on what concerns every record: no connection, a wrong set-up, throttling although only one request is in
flight, many UNCERTAIN attempts in a row with no readable answer between (a dead backend behind a live balancer), and
still more THROTTLED ones in a row, for where the operator has fixed how many are in flight.
Any readable answer of the operation closes it.

Whoever is turned away may be told so because others hold all that the service has. They give a part up at certain
instants (`limit`), so that is when its longer waits end.
"""

from __future__ import annotations

from math import floor, log2

from batcher.core.verdict import Judgement, Verdict

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
_SHARED_FROM = 4.0
"""Seconds; shorter waits of those that were turned away end at any instant."""
_SPREAD = 1 / 128
"""Of a wait, after such an instant: the room that others make is not there for long."""
_STREAK = 10
_THROTTLED_TIMES = 10
"""A limit that is free to fall has come down to 1 long before so many times the streak were turned away."""
_OPENING = frozenset({Verdict.NOT_SENT, Verdict.MISDIRECTED})
_ALIVE = frozenset({Verdict.ACCEPTED, Verdict.REFUSED, Verdict.FAULTED})


class Breaker:
    """Open or closed.

    Args:
        ahead: seconds by which a clock that all clients of the service share is ahead of the one that tells ``now``.

    Attributes:
        opened_at: since when it is open, or None.
        detail: what opened it, for people.
        next_probe: when the next probe may be sent; meaningless while closed.
    """

    def __init__(self, *, ahead: float = 0.0) -> None:
        self._ahead = ahead
        self.opened_at: float | None = None
        self.detail = ""
        self.next_probe = 0.0
        self._wait = _FIRST_WAIT
        self._streak = 0
        self._throttled = 0
        self._records: set[int] = set()

    @property
    def is_open(self) -> bool:
        """Nothing but probes may be sent."""
        return self.opened_at is not None

    def hear(self, judgement: Judgement, *, record: int, limit: int, probe: bool, now: float, jitter: float) -> None:
        """Learn from an attempt that ended.

        Args:
            judgement: what it means.
            record: the ordinal of the record whose attempt it was.
            limit: the concurrency limit.
            probe: it was sent as a probe.
            now: when it ended.
            jitter: a draw from [0, 1), so that a fleet does not probe in step.
        """
        verdict = judgement.verdict
        self._streak = self._streak + 1 if verdict is Verdict.UNCERTAIN else 0
        self._throttled = self._throttled + 1 if verdict is Verdict.THROTTLED else 0
        many = max(_STREAK, limit)
        if verdict in _ALIVE:
            self._close()
        elif (
            verdict in _OPENING
            or (verdict is Verdict.THROTTLED and limit == 1)
            or self._streak >= many
            or self._throttled >= many * _THROTTLED_TIMES
            or probe
        ):
            self.trip(judgement, record=record, probe=probe, now=now, jitter=jitter)

    def relax(self) -> None:
        """Learn from a record that was accepted: as ``hear``, without what only the other verdicts need."""
        self._streak = self._throttled = 0
        if self.opened_at is not None or self._records:
            self._close()

    def suspects_only(self, record: int) -> bool:
        """All that was heard since it opened was about this one record: perhaps it is not the service's fault."""
        return self._records == {record}

    def has_met(self, record: int) -> bool:
        """Whether this record is among those that it opened or stays open for."""
        return record in self._records

    def trip(self, judgement: Judgement, *, record: int, probe: bool, now: float, jitter: float) -> None:
        """Open, or stay open after a *probe* that failed; the arguments are those of ``hear``."""
        self._records.add(record)
        if self.opened_at is None:
            self.opened_at = now
            self.detail = judgement.problem.message if judgement.problem else judgement.verdict.value
            self._wait = _FIRST_WAIT
        elif probe:
            self._wait = min(_LONGEST_WAIT, self._wait * 2)
        else:
            return
        shared = judgement.verdict is Verdict.THROTTLED and self._wait >= _SHARED_FROM
        wait = self._until_shared(now) + self._wait * _SPREAD * jitter if shared else self._wait * (0.5 + jitter / 2)
        self.next_probe = now + max(wait, judgement.retry_after or 0.0)

    def _until_shared(self, now: float) -> float:
        """Seconds to the first shared instant after half of the wait, all of it at most.

        A multiple of a power of two of seconds is one of every lower power: those that give up a part go by such
        multiples, and how often they do is not known to those that have never been served.
        """
        half = self._wait / 2
        apart = 2.0 ** floor(log2(half))
        return ((now + half + self._ahead) // apart + 1.0) * apart - self._ahead - now

    def _close(self) -> None:
        self.opened_at = None
        self._records.clear()
