"""The timelines of a run's shards, which ran side by side, as one.

They meet by the time of day; stretches in which no shard ran are left out. What a slot counts is added, and so are
states: what is in flight from all shards is what the service has to do. ``seconds`` and ``samples``, by which these are
divided, are those of the shard that has most of them: so a rate and a mean speak of all shards and not of each.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from batcher.observe.timeline import SLOTS, WIDTH, Mark, Slot, Timeline

_BY_TIME = ("seconds", "samples")
_STATES = ("limit", "in_flight", "waiting")


class Span(NamedTuple):
    """One run of one shard: when it began, in seconds since 1970, how many it lasted, and a slot's width."""

    begin: float
    seconds: float
    width: float


class _Stretch(NamedTuple):
    """Time in which at least one shard ran, and the number of its first slot."""

    begin: float
    end: float
    first: int


class Together:
    """Adds the timelines of one shard after another; no more than one of them is held.

    Args:
        spans: of all runs of all shards.

    Attributes:
        seconds: for how long at least one shard ran.
    """

    def __init__(self, spans: Iterable[Span]) -> None:
        ordered = sorted(spans)
        times = _joined(ordered)
        self.seconds = sum(end - begin for begin, end in times)
        width = max((span.width for span in ordered), default=WIDTH)
        while _slots(times, width) > SLOTS and width < self.seconds:
            width *= 2
        self._width = width
        self._slots: list[Slot] = []
        self._stretches: list[_Stretch] = []
        for begin, end in times:
            self._stretches.append(_Stretch(begin, end, len(self._slots)))
            count = _slots([(begin, end)], width)
            self._slots += [Slot(begin + number * width) for number in range(count)]
        self._marks: list[Mark] = []
        self._marks_left_out = 0

    def add(self, name: str, runs: Iterable[Timeline]) -> None:
        """Add the *runs* of the shard of that *name*, the first one first."""
        sums: dict[int, Slot] = {}
        for number, run in enumerate(runs, 1):
            if not len(run):
                continue
            begin = run.began
            for index, slot in enumerate(run.slots):
                # Where the middle of a slot lies, most of it does.
                place = int(self._elapsed(begin + (index + 0.5) * run.width) / self._width)
                sums.setdefault(place, Slot(0.0)).add(slot.sums)
            self._mark(Mark(0.0, begin, "run", f"run {number} began"), name)
            for mark in run.marks:
                self._mark(mark, name)
            self._marks_left_out += run.marks_left_out
        for place, found in sums.items():
            slot = self._slots[place]
            _weigh(found)
            most = {column: max(slot.sums.get(column, 0), found.sums.get(column, 0)) for column in _BY_TIME}
            slot.add(found.sums)
            slot.sums |= most

    def timeline(self) -> Timeline:
        """All that was added, with the marks in the order of their time."""
        timeline = Timeline.of(self._width, self._slots)
        timeline.marks_left_out = self._marks_left_out
        for mark in sorted(self._marks, key=lambda mark: mark.at):
            timeline.mark(mark)
        return timeline

    def _mark(self, mark: Mark, name: str) -> None:
        elapsed = self._elapsed(mark.at)
        self._marks.append(mark._replace(elapsed=elapsed, text=f"{mark.text} (shard {name})"))

    def _elapsed(self, at: float) -> float:
        """Where an instant of the day lies on the common axis; within the stretch that began last before it."""
        number = max(0, bisect_right(self._stretches, at, key=lambda stretch: stretch.begin) - 1)
        begin, end, first = self._stretches[number]
        width = self._width
        last = first + _slots([(begin, end)], width) - 0.5
        return min(first + max(0.0, at - begin) / width, last) * width


def _weigh(slot: Slot) -> None:
    """Let states count by seconds: a shard that was looked at twice must not make the others count for less."""
    samples, seconds = slot.sums.get("samples", 0), slot.sums.get("seconds", 0)
    if samples:
        for state in _STATES:
            slot.sums[state] = slot.sums.get(state, 0) / samples * seconds
        slot.sums["samples"] = seconds


def _joined(spans: Iterable[Span]) -> list[tuple[float, float]]:
    """Stretches in which something ran, of spans in the order in which they began."""
    found: list[tuple[float, float]] = []
    for span in spans:
        end = span.begin + span.seconds
        if found and span.begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((span.begin, end))
    return found


def _slots(stretches: Iterable[tuple[float, float]], width: float) -> int:
    return sum(max(1, math.ceil((end - begin) / width)) for begin, end in stretches)
