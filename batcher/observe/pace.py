"""How fast a run is at present, and how long it will take: for the live view and the plain lines."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from batcher.core.fingerprint import one_line
from batcher.observe.tally import Tally
from batcher.observe.words import span

WINDOW = 10.0
"""Seconds that the present rate looks back: long enough to be calm, short enough to show a stall."""


class _Mark(NamedTuple):
    at: float
    records: int


class Pace:
    """Records a second over the last ``WINDOW`` seconds, as seen at each ``mark``."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._marks = deque([_Mark(tally.started, 0)])

    def mark(self) -> float:
        """Look at the tally now; the present rate in records a second."""
        now = _Mark(self._tally.now(), self._tally.done)
        self._marks.append(now)
        # The newest mark that is older than the window stays: from it the window is measured.
        while len(self._marks) > 2 and self._marks[1].at <= now.at - WINDOW:  # noqa: PLR2004 - two make a span
            self._marks.popleft()
        first = self._marks[0]
        return (now.records - first.records) / (now.at - first.at) if now.at > first.at else 0.0


def share_done(tally: Tally) -> float | None:
    """The part of the input whose records have their outcome, 0 to 1; None where the input's size is not known.

    By bytes read, less the part of the records that were read and wait; those of an earlier run count as done.
    """
    met = tally.input_records + tally.resumed
    if not tally.input_size or not met:
        return None
    return min(1.0, tally.input_read() / tally.input_size * (tally.done + tally.resumed) / met)


def seconds_left(tally: Tally) -> float | None:
    """At the average rate since the beginning; None while nobody can know."""
    share = share_done(tally)
    if not share or not tally.done:
        return None
    # What earlier runs have done has cost this one no time.
    share_of_ours = share * tally.done / (tally.done + tally.resumed)
    return tally.seconds * (1 - share) / share_of_ours


def time_left(tally: Tally) -> str:
    """``about 2:10 left``, or nothing where nobody can know."""
    left = seconds_left(tally)
    return "" if left is None else f"about {span(left)} left"


def standing(tally: Tally) -> list[str]:
    """Why nothing is sent at present, one text a reason; empty while all is well."""
    pauses = [
        f"paused for {span(tally.now() - pause.since)} ({reason}): {one_line(pause.detail, 200)}"
        for reason, pause in tally.pauses.items()
    ]
    return [*pauses, *([f"draining: {one_line(tally.draining, 200)}"] if tally.draining is not None else [])]
