"""Progress for logs and pipes: a plain line now and then, and one whenever the run pauses, resumes or drains."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from batcher.core.events import Draining, Event, Paused, Resumed
from batcher.observe.lines import Lines
from batcher.observe.pace import Pace, seconds_left, share_done, standing, time_left
from batcher.observe.summary import Percentiles
from batcher.observe.tally import Tally
from batcher.observe.words import counts, duration, number, percent, span

_FIRST, _SHORTEST, _LONGEST = 5.0, 10.0, 60.0
_GROWTH = 6.0
_CHANGES, _CHANGES_SECONDS = 6, 60.0
"""So many lines within so long tell of pauses and their ends: a service that asks for one each second fills no log."""


def wait_after(elapsed: float) -> float:
    """Seconds from a line at *elapsed* seconds of the run to the next: 5, then 10, growing to a minute.

    A short run is watched closely, and a night's run fills no log.
    """
    return _FIRST if elapsed < _FIRST else min(_LONGEST, max(_SHORTEST, elapsed / _GROWTH))


class PlainProgress:
    """Writes lines while its ``run`` is awaited; an Observer of the rare events."""

    def __init__(self, tally: Tally, lines: Lines, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._tally = tally
        self._lines = lines
        self._sleep = sleep
        self._pace = Pace(tally)
        self._changes: deque[float] = deque(maxlen=_CHANGES)

    async def run(self) -> None:
        """Write a line now and then, until cancelled."""
        while True:
            await self._sleep(wait_after(self._tally.seconds))
            self._write()

    def notice(self, event: Event, /) -> None:
        """Tell at once what changes the run's course; the tally has heard of it before."""
        if isinstance(event, Draining) or (isinstance(event, Paused | Resumed) and self._is_news()):
            self._write()

    def _is_news(self) -> bool:
        now, changes = self._tally.now(), self._changes
        if len(changes) == _CHANGES and now - changes[0] < _CHANGES_SECONDS:
            return False
        changes.append(now)
        return True

    def _write(self) -> None:
        rate = self._pace.mark()
        self._lines.tell("progress", progress_line(self._tally, rate), progress_facts(self._tally, rate))


def progress_facts(tally: Tally, rate: float) -> dict[str, object]:
    """The same for programs; what nobody can know is null."""
    gauges = tally.gauges()
    return {
        "seconds": round(tally.seconds, 3),
        "read": tally.input_records,
        "records": tally.done,
        "outcomes": {outcome.value: count for outcome, count in tally.outcomes.items()},
        "records_per_second": round(rate, 1),
        "in_flight": gauges.in_flight,
        "limit": gauges.limit,
        "waiting": gauges.waiting,
        "request_seconds": Percentiles.of_attempts(tally).to_json(),
        "share_done": share_done(tally),
        "seconds_left": seconds_left(tally),
        "standing": standing(tally),
    }


def progress_line(tally: Tally, rate: float) -> str:
    """Where the run stands, in one line; *rate* in records a second."""
    gauges = tally.gauges()
    share = share_done(tally)
    percentiles = Percentiles.of_attempts(tally)
    parts = [
        f"{span(tally.seconds)} {number(tally.done)} of {number(tally.input_records)} read",
        counts({outcome.value: count for outcome, count in tally.outcomes.items()}),
        f"{number(rate)}/s",
        f"in flight {gauges.in_flight}/{gauges.limit}",
        "" if percentiles.p50 is None else "p50 p95 p99 " + " ".join(map(duration, percentiles[:3])),
        "" if share is None else f"{percent(share, 1)} done",
        time_left(tally),
        *standing(tally),
    ]
    return "; ".join(part for part in parts if part)
