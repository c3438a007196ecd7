"""How a run went over time, in a memory of fixed size.

Time is cut into slots of equal width. When they are used up, each two become one and the width doubles: a run of ten
minutes is kept by the second, one of a night by the minute. Whatever a slot holds is a sum, so that slots are joined
by adding, and nothing that was counted is ever lost.

==============================  =======================================================================================
column of a slot                sum of
==============================  =======================================================================================
``seconds``                     seconds of the run that it tells of
``outcome.NAME``                records ended
``attempt.NAME``                attempts ended, by verdict
``latency.ROW``                 attempts by their duration, in the rows of ``row_of``
``request_bytes``               bytes of envelopes sent; ``response_bytes`` likewise
``paused.REASON``               seconds for which sending rested
``slots.STATE``                 seconds that the places for requests have spent so
``limit in_flight waiting``     states, as often as they were looked at
``samples``                     how often that was: a mean is a sum of states by this
==============================  =======================================================================================
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Any, NamedTuple, Self

from batcher.core.latency import BOUNDS

SLOTS = 600
"""Slots at most: about as many as a chart has room for."""

WIDTH = 1.0
"""Seconds of a slot at first; all widths are this times a power of two, so that any two timelines can be joined."""

MARKS = 200
"""Marks at most: the first half of them and the latest."""

ROW_FIRST, ROW_GROWTH, ROWS = 0.001, 2**0.25, 74
"""Row 0 holds durations up to 1 ms, each next one up to 1.19 times as long, the last one all over five minutes."""

_CUTS = (0, *(bisect_right(BOUNDS, ROW_FIRST * ROW_GROWTH**row * 1.0001) for row in range(ROWS - 1)), len(BOUNDS) + 1)


def rows_of(counts: list[int]) -> list[int]:
    """The counts of a ``Latency`` in the ``ROWS`` coarser rows of a timeline."""
    return [sum(counts[_CUTS[row] : _CUTS[row + 1]]) for row in range(ROWS)]


class Mark(NamedTuple):
    """Something that happened once.

    Attributes:
        elapsed: seconds of running before it.
        at: seconds since 1970.
        kind: ``paused``, ``resumed``, ``limit``, ``draining``, ``login``, ``run`` (one begins) or ``end``.
        text: for people.
    """

    elapsed: float
    at: float
    kind: str
    text: str


class Slot:
    """What happened in one stretch of time.

    Attributes:
        at: when it began, in seconds since 1970.
        sums: by column; what is 0 is left out.
    """

    __slots__ = ("at", "sums")

    def __init__(self, at: float, sums: Mapping[str, float] | None = None) -> None:
        self.at = at
        self.sums = dict(sums or {})

    def add(self, sums: Mapping[str, float]) -> None:
        """Add to each column."""
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, 0) + value


class Timeline:
    """Slots of a run, or of several runs one after another.

    They are held column by column, as numbers of the machine: hundreds of slots of dozens of columns are a quarter of a
    megabyte so. As objects they take seven times as much, and a run would need more memory the longer it lasts.

    Attributes:
        width: seconds of running that a slot stands for.
        marks: in the order in which they came, at most ``MARKS``.
        marks_left_out: how many there were besides.
    """

    def __init__(self, most: int = SLOTS) -> None:
        self._most = most
        self.width = WIDTH
        self._at = array("d")
        self._columns: dict[str, array[float]] = {}
        self.marks: list[Mark] = []
        self.marks_left_out = 0

    def __len__(self) -> int:
        """How many slots there are."""
        return len(self._at)

    @property
    def slots(self) -> list[Slot]:
        """The slots, from the run's beginning on, without a gap."""
        columns = self._columns.items()
        return [
            Slot(at, {name: column[index] for name, column in columns if column[index]})
            for index, at in enumerate(self._at)
        ]

    @property
    def began(self) -> float:
        """When the first slot began, in seconds since 1970."""
        return self._at[0]

    def add(self, elapsed: float, at: float, sums: Mapping[str, float]) -> None:
        """Add *sums* to the slot of an instant.

        Args:
            elapsed: seconds of running before it.
            at: the same instant in seconds since 1970.
            sums: by column.
        """
        while elapsed >= self.width * self._most:
            self._widen()
        index = int(elapsed / self.width)
        while len(self._at) <= index:
            self._append(at - elapsed + len(self._at) * self.width)
        self._add(index, sums)

    def mark(self, mark: Mark) -> None:
        """Note that something happened."""
        self.marks.append(mark)
        if len(self.marks) > MARKS:
            del self.marks[MARKS // 2]
            self.marks_left_out += 1

    def total(self, column: str) -> float:
        """The sum of a column over all slots."""
        return sum(self._columns.get(column, ()))

    def _append(self, at: float) -> None:
        self._at.append(at)
        for column in self._columns.values():
            column.append(0.0)

    def _add(self, index: int, sums: Mapping[str, float]) -> None:
        for name, value in sums.items():
            column = self._columns.get(name)
            if column is None:
                column = self._columns[name] = array("d", bytes(self._at.itemsize * len(self._at)))
            column[index] += value

    def _widen(self) -> None:
        self.width *= 2
        self._at = self._at[::2]
        for name, column in self._columns.items():
            pairs = zip_longest(column[::2], column[1::2], fillvalue=0.0)
            self._columns[name] = array("d", (first + second for first, second in pairs))

    def to_json(self) -> dict[str, object]:
        """Column by column: ``at`` of each slot, ``columns`` by name, ``marks``; times to a millisecond."""
        return {
            "width": self.width,
            "at": [round(at, 3) for at in self._at],
            "columns": {
                name: [int(value) if value.is_integer() else round(value, 3) for value in column]
                for name, column in sorted(self._columns.items())
            },
            "marks": [[round(mark.elapsed, 3), round(mark.at, 3), mark.kind, mark.text] for mark in self.marks],
            "marks_left_out": self.marks_left_out,
        }

    @classmethod
    def of(cls, width: float, slots: Iterable[Slot]) -> Self:
        """One that has these *slots*, of this *width* in seconds, and no marks."""
        timeline = cls()
        timeline.width = width
        for index, slot in enumerate(slots):
            timeline._append(slot.at)
            timeline._add(index, slot.sums)
        return timeline

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """What ``to_json`` has told.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        timeline = cls()
        timeline.width = float(told["width"])
        timeline._at = array("d", told["at"])
        timeline._columns = {name: array("d", values) for name, values in told["columns"].items()}
        if any(len(column) != len(timeline) for column in timeline._columns.values()):
            raise ValueError("columns of different length")
        timeline.marks = [Mark(*mark) for mark in told["marks"]]
        timeline.marks_left_out = int(told["marks_left_out"])
        return timeline

    @classmethod
    def join(cls, timelines: Iterable[Timeline]) -> Self:
        """Several runs one after another; the time between them, when nothing ran, is left out.

        Each run begins with a slot of its own and, where there are several, with a mark.
        """
        runs = [timeline for timeline in timelines if len(timeline)]
        joined = cls()
        joined.width = max((run.width for run in runs), default=WIDTH)
        begin = 0.0
        for number, run in enumerate(runs, 1):
            if len(runs) > 1:
                joined.mark(Mark(begin, run.began, "run", f"run {number} began"))
            for index, slot in enumerate(run.slots):
                joined.add(begin + index * run.width, slot.at, slot.sums)
            for mark in run.marks:
                joined.mark(mark._replace(elapsed=begin + mark.elapsed))
            joined.marks_left_out += run.marks_left_out
            begin += len(run) * run.width
            begin = math.ceil(begin / joined.width) * joined.width
        return joined
