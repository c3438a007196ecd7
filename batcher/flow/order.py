"""One lane per order key: records that share a key go one after another, in input order.

In a strict order a record that was not delivered blocks its key: no later record of it goes any more.
"""

from __future__ import annotations

from collections import deque

from batcher.core.record import Scalar
from batcher.flow.job import Job
from batcher.flow.source import Line


class Lanes:
    """Which record of each key may go.

    A key's lane exists from the moment that a record of it may go until its last record has ended; a record without a
    key needs none. What is held of a blocked key is two numbers and a name, for as long as the run lasts: memory grows
    with the keys of which a record was not delivered, and with nothing else.

    Args:
        strict: whether a record that was not delivered blocks those of its key that stand behind it.

    Attributes:
        longest: the key for which the most records have waited at once so far, and how many.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.longest: tuple[tuple[Scalar, ...], int] = ((), 0)
        self.strict = strict
        self._waiting: dict[tuple[Scalar, ...], deque[Job]] = {}
        self._count = 0
        self._blocks: dict[tuple[Scalar, ...], tuple[int, int, str | None]] = {}  # ordinal, line, input of the blocker

    def enter(self, job: Job) -> bool:
        """Whether *job* may go at once; else it waits in its lane until ``leave`` hands it out."""
        key = job.record.key
        if not any(key):
            return True
        lane = self._waiting.get(key)
        if lane is None:
            self._waiting[key] = deque()
            return True
        lane.append(job)
        self._count += 1
        if len(lane) > self.longest[1]:
            self.longest = (key, len(lane))
        return False

    def leave(self, job: Job) -> Job | None:
        """Take note that *job* has ended; the next record of its key, which may go now, or None."""
        key = job.record.key
        lane = self._waiting.get(key)
        if lane is None:
            return None
        if lane:
            self._count -= 1
            return lane.popleft()
        del self._waiting[key]
        return None

    def block(self, key: tuple[Scalar, ...], ordinal: int, line: Line) -> None:
        """The record number *ordinal* of the run was not delivered: in a strict order it blocks those behind it."""
        if self.strict and any(key):
            known = self._blocks.get(key)
            if known is None or ordinal < known[0]:
                self._blocks[key] = ordinal, line.number, line.input

    def blocker(self, job: Job) -> str | None:
        """Why *job* may not go any more, for people; None where it may."""
        found = self._blocks.get(job.record.key) if self._blocks else None
        if found is None or found[0] >= job.ordinal:
            return None
        _, number, name = found
        where = f"line {number}" if name is None else f"line {number} of {name}"
        return f"{where} has the same key and was not delivered (--order-strict)"

    def clear(self) -> list[Job]:
        """Take out every record that waits."""
        waiting = [job for lane in self._waiting.values() for job in lane]
        for lane in self._waiting.values():
            lane.clear()
        self._count = 0
        return waiting

    def __len__(self) -> int:
        """Records that wait for another one of their key."""
        return self._count
