"""Looks at the tally once a second and keeps what has happened since in a timeline.

Nothing is done for a record: what it costs does not depend on how many there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from operator import sub
from typing import NoReturn

from batcher.core.events import Draining, Event, LoggedIn, Paused, Resumed
from batcher.core.fingerprint import one_line
from batcher.core.latency import Latency
from batcher.core.verdict import Verdict
from batcher.observe.tally import Tally
from batcher.observe.timeline import ROWS, Mark, Timeline, rows_of

INTERVAL = 1.0
"""Seconds between two looks."""

_MOVED, _CALM = 2, 20
"""A concurrency limit is marked when it is so many times what was marked last, or that part of it, and so many slots
lie between: its small steps are what the curve is for, and one that never rests leaves room for other marks."""

_TEXT = 200
"""Characters of a mark's text."""


class Recorder:
    """Feeds ``timeline``; an Observer of the rare events."""

    def __init__(self, tally: Tally) -> None:
        self.timeline = Timeline()
        self._tally = tally
        self._seen = tally.started
        self._counted: dict[str, float] = {}
        self._rows = {verdict: [0] * ROWS for verdict in Verdict}
        self._totals = dict.fromkeys(Verdict, 0)
        self._limit = 0  # as it was marked last, 0 for never; and when
        self._limit_at = tally.started
        self._rested: dict[str, float] = {}  # seconds of pauses that have ended since the last look, by column

    async def run(self) -> NoReturn:
        """Look once a second, until cancelled."""
        while True:
            # Each look ends a slot: no slot goes without one because looks come ever later.
            await asyncio.sleep(INTERVAL - (self._tally.now() - self._tally.started) % INTERVAL)
            self.look()

    def look(self) -> None:
        """Keep what has happened since the last look."""
        tally, now = self._tally, self._tally.now()
        seconds = now - self._seen
        if seconds <= 0:
            return
        gauges = tally.gauges()
        sums: dict[str, float] = {"seconds": seconds, "samples": 1}
        self._mark_limit(gauges.limit, now)
        sums |= {"limit": gauges.limit, "in_flight": gauges.in_flight, "waiting": gauges.waiting}
        sums |= self._increments(self._counts())
        sums |= self._new_rows()
        for reason, pause in tally.pauses.items():
            column = f"paused.{reason}"
            self._rested[column] = self._rested.get(column, 0) + now - max(pause.since, self._seen)
        sums |= self._rested
        # The middle of what it tells of: a look that comes late still belongs to where it began.
        middle = now - seconds / 2
        kept = {name: value for name, value in sums.items() if value}
        self.timeline.add(middle - tally.started, tally.wall_time(middle), kept)
        self._seen, self._rested = now, {}

    def end(self, text: str) -> None:
        """The run is over: look for the last time, and mark it."""
        self.look()
        self._mark("end", text)

    def notice(self, event: Event, /) -> None:
        """Mark what changes the run's course; the tally has heard of it before."""
        match event:
            case Paused(reason, detail):
                self._mark("paused", f"{reason}: {detail}")
            case Resumed(reason, seconds):
                column, now = f"paused.{reason}", self._tally.now()
                self._rested[column] = self._rested.get(column, 0) + now - max(now - seconds, self._seen)
                self._mark("resumed", f"{reason}, after {seconds:.1f} s")
            case LoggedIn(result, detail):
                self._mark("login", result if not detail else f"{result}: {detail}")
            case Draining(reason):
                self._mark("draining", reason)
            case _:
                pass

    def _mark_limit(self, limit: int, now: float) -> None:
        """Mark a limit that is far from the last one."""
        before, calm = self._limit, now - self._limit_at >= _CALM * self.timeline.width
        if not limit or (before and (not calm or before / _MOVED < limit < before * _MOVED)):
            return
        change = "raised" if limit > before else "cut"
        self._mark("limit", f"{change} from {before} to {limit} requests" if before else f"{limit} requests at first")
        self._limit, self._limit_at = limit, now

    def _mark(self, kind: str, text: str) -> None:
        now = self._tally.now()
        mark = Mark(now - self._tally.started, self._tally.wall_time(now), kind, one_line(text, _TEXT))
        self.timeline.mark(mark)

    def _counts(self) -> Mapping[str, float]:
        tally = self._tally
        return {
            **{f"outcome.{outcome}": count for outcome, count in tally.outcomes.items()},
            **{f"attempt.{verdict}": count for verdict, count in tally.attempts.items()},
            **{f"slots.{state}": seconds for state, seconds in tally.slot_seconds().items()},
            "request_bytes": tally.request_bytes,
            "response_bytes": tally.response_bytes,
        }

    def _increments(self, counts: Mapping[str, float]) -> Iterator[tuple[str, float]]:
        for name, count in counts.items():
            yield name, count - self._counted.get(name, 0)
        self._counted = dict(counts)

    def _new_rows(self) -> Mapping[str, float]:
        new = [0] * ROWS
        for verdict, latency in self._tally.attempt_seconds.items():
            if latency.total != self._totals[verdict]:
                new = list(map(int.__add__, new, self._rows_since(verdict, latency)))
        return {f"latency.{row}": count for row, count in enumerate(new) if count}

    def _rows_since(self, verdict: Verdict, latency: Latency) -> Iterator[int]:
        rows, before = rows_of(latency.counts), self._rows[verdict]
        self._rows[verdict], self._totals[verdict] = rows, latency.total
        return map(sub, rows, before)
