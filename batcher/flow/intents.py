"""With a ledger nothing is sent before the ledger durably holds that it may have been: where records wait for that."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from batcher.flow.job import Job
from batcher.flow.waiting import Heap, pop_due, push


class Intents(Protocol):
    """Holds durably which records may be sent. What is not declared has certainly not been sent."""

    def on_declared(self, declared: Callable[[Sequence[Job]], None]) -> None:
        """Tell *declared* the jobs whose declaration is durable."""
        ...

    def wanted(self, ahead: int, limit: int) -> int:
        """How many more to declare, while *ahead* are declared and wait, and *limit* may be in flight."""
        ...

    def declare(self, jobs: Sequence[Job]) -> None:
        """Begin to make durable that *jobs* may be sent."""
        ...

    def retract(self, job: Job) -> None:
        """*job* was not applied for certain, and waits again."""
        ...


class Undeclared:
    """Records that may not be sent yet.

    Args:
        intents: the ledger's.
        declared: is told each record that may be sent from now on, and then, once, that there are no more for now.
    """

    def __init__(self, intents: Intents, declared: Callable[[Sequence[Job]], None]) -> None:
        self._intents = intents
        self._declared = declared
        self._waiting: deque[Job] = deque()
        self._again: Heap = []
        self._declaring: list[Job] = []
        intents.on_declared(self._hear)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._again) + len(self._declaring)

    @property
    def ready(self) -> int:
        """Those that wait for nothing but the ledger."""
        return len(self._waiting) + len(self._declaring)

    @property
    def resting(self) -> int:
        """Those that are to be sent again once their time has come."""
        return len(self._again)

    def put(self, job: Job) -> bool:
        """Let *job* wait behind the others; whether there were none."""
        waiting = self._waiting
        waiting.append(job)
        return len(waiting) == 1

    def put_again(self, job: Job, at: float) -> None:
        """Let *job* wait until *at*, and go before the others then."""
        push(self._again, at, job)

    def retract(self, job: Job) -> None:
        """Take back that *job* may be sent: it was not applied for certain, and will wait."""
        self._intents.retract(job)

    def take_back(self, jobs: Sequence[Job]) -> None:
        """Take back *jobs*, which wait while nothing is sent: they are not to be doubtful for so long."""
        for job in reversed(jobs):
            self._intents.retract(job)
            self._waiting.appendleft(job)

    def declare(self, now: float, ahead: int, limit: int) -> None:
        """Declare what will be sent next, with *ahead* declared and waiting, and *limit* that may be in flight."""
        if self._again:
            self._wake(now)
        if self._waiting and (wanted := self._intents.wanted(ahead + len(self._declaring), limit)):
            self._begin(wanted)

    def declare_probe(self, now: float, rank: Callable[[Job], tuple[bool, bool]]) -> None:
        """Declare the one of the least *rank*, and no more before that is done."""
        self._wake(now)
        if self._waiting and not self._declaring:
            probe = min(self._waiting, key=rank)
            self._waiting.remove(probe)
            self._waiting.appendleft(probe)
            self._begin(1)

    def instants(self) -> Iterator[float]:
        """When time alone may change what is declared next."""
        yield from (entry[0] for entry in self._again[:1])

    def clear(self) -> list[Job]:
        """Take all out; what is being declared now will not be told."""
        waiting = [*(job for _, _, job in sorted(self._again)), *self._declaring, *self._waiting]
        self._again.clear()
        self._declaring.clear()
        self._waiting.clear()
        return waiting

    def _wake(self, now: float) -> None:
        while (job := pop_due(self._again, now)) is not None:
            self._waiting.appendleft(job)

    def _begin(self, wanted: int) -> None:
        jobs = [self._waiting.popleft() for _ in range(min(wanted, len(self._waiting)))]
        if jobs:
            self._declaring += jobs
            self._intents.declare(jobs)

    def _hear(self, jobs: Sequence[Job]) -> None:
        # They come in their order; where none is being declared any more, all were cleared meanwhile.
        declared = jobs if self._declaring else ()
        del self._declaring[: len(declared)]
        self._declared(declared)
