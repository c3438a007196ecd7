"""Where records wait that may be sent: new ones in their order, and those to be sent again by their time."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from typing import TypeAlias

from batcher.core.retry import RetryBudget
from batcher.flow.job import Job

Heap: TypeAlias = list[tuple[float, int, Job]]
"""Records by the time at which each may be sent again; the number keeps the order of equal times."""

_tie = count()


def push(heap: Heap, at: float, job: Job) -> None:
    """Let *job* wait in *heap* until *at*."""
    heapq.heappush(heap, (at, next(_tie), job))


def pop_due(heap: Heap, now: float) -> Job | None:
    """Take the record out of *heap* whose time came first; None while none has come."""
    return heapq.heappop(heap)[2] if heap and heap[0][0] <= now else None


class Waiting:
    """Records that may be sent, once their time has come.

    Args:
        budget: how many retries there may be.

    Attributes:
        ready: those whose time has come, or that need none.
    """

    def __init__(self, budget: RetryBudget) -> None:
        self._budget = budget
        self.ready: deque[Job] = deque()
        self._again: Heap = []
        self._budgeted: Heap = []

    def __len__(self) -> int:
        return len(self.ready) + len(self._again) + len(self._budgeted)

    @property
    def timed(self) -> bool:
        """Whether any waits for its time."""
        return bool(self._again or self._budgeted)

    @property
    def resting(self) -> int:
        """Those that are to be sent again once their time has come, and the budget allows it."""
        return len(self._again) + len(self._budgeted)

    def put(self, job: Job) -> None:
        """Let *job* wait behind the others."""
        self.ready.append(job)

    def put_first(self, job: Job) -> None:
        """Let *job* wait before all others."""
        self.ready.appendleft(job)

    def put_again(self, job: Job, at: float) -> None:
        """Let *job* wait until *at*, and go before the others then; a budgeted one when the budget allows."""
        push(self._budgeted if job.budgeted else self._again, at, job)

    def next(self, now: float) -> Job | None:
        """Take out the one to be sent now, or None."""
        if self._again and (job := pop_due(self._again, now)) is not None:
            return job
        if self._budgeted and self._budget.allows(now) and (job := pop_due(self._budgeted, now)) is not None:
            return job
        return self.ready.popleft() if self.ready else None

    def best(self, now: float, rank: Callable[[Job], tuple[bool, bool]]) -> Job | None:
        """Take out the one of the least *rank* whose time has come, or None; budgets do not count for probes."""
        due = sorted(entry for heap in (self._again, self._budgeted) for entry in heap if entry[0] <= now)
        job = min([*(job for _, _, job in due), *self.ready], key=rank, default=None)
        if job is not None:
            self._take_out(job)
        return job

    def is_due(self, now: float) -> bool:
        """Whether there is one to be sent again whose time has come."""
        return any(heap and heap[0][0] <= now for heap in (self._again, self._budgeted))

    def withdraw(self) -> list[Job]:
        """Take out those that wait for nothing but their turn and were certainly not applied so far."""
        taken = [job for job in self.ready if not job.history.may_be_applied]
        if taken:
            self.ready = deque(job for job in self.ready if job.history.may_be_applied)
        return taken

    def instants(self, now: float) -> Iterator[float]:
        """When time alone may change what goes next."""
        yield from (heap[0][0] for heap in (self._again, self._budgeted) if heap)
        if self._budgeted and self._budgeted[0][0] <= now:
            yield int(now) + 1.0  # the retry budget thinks in seconds

    def clear(self) -> list[Job]:
        """Take all out."""
        waiting = [*(job for _, _, job in sorted([*self._again, *self._budgeted])), *self.ready]
        self._again.clear()
        self._budgeted.clear()
        self.ready.clear()
        return waiting

    def _take_out(self, job: Job) -> None:
        for heap in (self._again, self._budgeted):
            for at, entry in enumerate(heap):
                if entry[2] is job:
                    del heap[at]
                    heapq.heapify(heap)
                    return
        self.ready.remove(job)
