"""One lane per order key: records that share a key go one after another, in input order."""

from __future__ import annotations

from collections import deque

from batcher.core.record import Scalar
from batcher.flow.job import Job


class Lanes:
    """Which record of each key may go.

    A key's lane exists from the moment that a record of it may go until its last record has ended; a record without a
    key needs none.

    Attributes:
        longest: the key for which the most records have waited at once so far, and how many.
    """

    def __init__(self) -> None:
        self.longest: tuple[tuple[Scalar, ...], int] = ((), 0)
        self._waiting: dict[tuple[Scalar, ...], deque[Job]] = {}

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
            return lane.popleft()
        del self._waiting[key]
        return None

    def clear(self) -> list[Job]:
        """Take out every record that waits."""
        waiting = [job for lane in self._waiting.values() for job in lane]
        for lane in self._waiting.values():
            lane.clear()
        return waiting

    def __len__(self) -> int:
        """Records that wait for another one of their key."""
        return sum(len(lane) for lane in self._waiting.values())
