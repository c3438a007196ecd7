"""Windows of intents: which records may be sent and have no outcome yet, and how many more are to be declared.

A commit carries one new window at most: all that was declared since the last one. A window that is partly settled is
written anew with the next commit, and an empty one is deleted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from batcher.flow.job import Job
from batcher.flow.ledger.rows import marks

_APART = 0.02
"""Seconds between two commits while nothing presses: a commit costs half a millisecond of CPU, whatever it holds."""
_COMMITS = 2.5
"""Commits that what is declared and not sent must outlast: the one under way, the one that holds what is declared now,
and some for the unevenness of both."""
_SMOOTHING = 0.5
_MEASURED = 4 * _APART
"""Seconds over which the rate is measured at least."""


class Windows:
    """The books of the intents.

    Args:
        left: what earlier runs have left: by window the records, ordinal → hash.
    """

    def __init__(self, left: Mapping[int, dict[int, int]]) -> None:
        self._windows = dict(left)
        self._next = max(left, default=0) + 1
        self._changed: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._windows)

    def declare(self, jobs: Sequence[Job]) -> None:
        """Put *jobs* into the window that the next commit begins."""
        lines = [job.line for job in jobs]
        hashes = marks([line.hash for line in lines], [line.number for line in lines])
        self.adopt(dict(zip([job.ordinal for job in jobs], hashes, strict=True)))

    def adopt(self, records: Mapping[int, int]) -> None:
        """Put *records*, ordinal → hash, that may have been sent, into the window that the next commit begins."""
        if records:
            self._windows.setdefault(self._next, {}).update(records)
            self._changed.add(self._next)

    def settle(self, ordinals: AbstractSet[int]) -> dict[int, int]:
        """Take records out; those that were in a window, with their hashes."""
        settled: dict[int, int] = {}
        for number, window in self._windows.items():
            found = window.keys() & ordinals
            if found:
                self._changed.add(number)
                settled.update({ordinal: window.pop(ordinal) for ordinal in found})
        return settled

    def take(self) -> dict[int, dict[int, int]]:
        """For the next commit: the windows that have changed since the last one, as they are now; empty to delete."""
        taken = {number: dict(self._windows[number]) for number in self._changed}
        for number, window in taken.items():
            if not window:
                del self._windows[number]
        self._changed.clear()
        self._next += 1
        return taken


class Pace:
    """How much is declared ahead: enough that nobody waits for a commit, and no more, for a kill makes it doubtful.

    Args:
        now: seconds, monotonic.
        most: the highest concurrency limit there may be.
    """

    def __init__(self, now: float, most: int) -> None:
        self._most = 2 * most
        self._seconds = 0.0
        self._rate: float | None = None
        self._since = now
        self._count = 0
        self._low = self._top = 0

    def wanted(self, ahead: int, limit: int) -> int:
        """How many more records are to be declared now, with *ahead* declared and not sent.

        As many as are sent until two commits are done and another one is due, at least 1 and at most twice the highest
        limit; 0 while enough for those two is ahead still, so that commits carry something. As long as nothing is known
        of the rate, twice the present *limit*. Twice that for good would make a limit that suffices for a fast service
        too small for the ledger: a service that answers sooner than a commit is done would wait for each of them.
        """
        if ahead > self._low and self._rate is not None:
            return 0
        if self._rate is None:
            return 2 * limit - ahead if ahead <= limit else 0
        top = min(self._top, self._most)
        return top - ahead if ahead <= min(self._low, top * 3 // 4) else 0

    def declared(self, count: int) -> None:
        """So many were."""
        self._count += count

    def committed(self, seconds: float, now: float) -> None:
        """A commit took so many *seconds*, and is done *now*."""
        self._seconds += (seconds - self._seconds) * _SMOOTHING
        span = now - self._since
        if span >= max(_MEASURED, 2 * self._seconds):
            rate = self._count / span
            self._rate = rate if self._rate is None else self._rate + (rate - self._rate) * _SMOOTHING
            self._since, self._count = now, 0
        if self._rate is not None:
            lasting = _COMMITS * self._seconds
            self._top = max(1, math.ceil(self._rate * (lasting + _APART)))
            self._low = math.ceil(self._rate * lasting)
