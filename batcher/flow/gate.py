"""The gate: where records wait for their turn and workers for a record.

A record goes through when all of these allow it: the concurrency limit, the breaker, pauses, its own back-off and the
retry budget. What decides is in the core; the gate asks it at one place, ``_pump``, whenever something may have
changed, and sets one timer for the next instant at which time alone changes the answer.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from batcher.core.breaker import Breaker
from batcher.core.events import Observer, Paused, Resumed
from batcher.core.limit import Limit
from batcher.core.retry import Again, RetryBudget
from batcher.flow.job import Job


@dataclass(frozen=True, slots=True)
class Turn:
    """A permit: *job* may be sent now; as a *probe* if the service is taken to be down."""

    job: Job
    probe: bool


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


class Gate:
    """Hands records to workers.

    Args:
        limit: how many may be in flight.
        breaker: whether the service is taken to be down.
        budget: how many retries there may be.
        observer: hears of pauses.
        clock: seconds, monotonic.
        intents: holds durably what may be sent; without it everything may.

    Attributes:
        in_flight: turns that were taken and not yet given back.
        closed: why nobody is let through any more, as kind and message of an unsent record; None while it is open.
    """

    def __init__(
        self,
        limit: Limit,
        breaker: Breaker,
        budget: RetryBudget,
        observer: Observer,
        clock: Callable[[], float],
        intents: Intents | None = None,
    ) -> None:
        self._limit = limit
        self._breaker = breaker
        self._budget = budget
        self._observer = observer
        self._clock = clock
        self.in_flight = 0
        self._intents = intents
        if intents is not None:
            intents.on_declared(self._take_in)
        self._undeclared: deque[Job] = deque()
        self._again_undeclared: list[tuple[float, int, Job]] = []
        self._declaring: deque[Job] = deque()
        self._workers: deque[asyncio.Future[Turn | None]] = deque()
        self._ready: deque[Job] = deque()
        self._again: list[tuple[float, int, Job]] = []  # heaps by the time at which each may be sent again
        self._again_budgeted: list[tuple[float, int, Job]] = []
        self._tie = count()
        self._probing = False
        self._held = False
        self._until = 0.0
        self._paused: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.closed: tuple[str, str] | None = None

    def __len__(self) -> int:
        """Records that wait here."""
        declared = len(self._ready) + len(self._again) + len(self._again_budgeted)
        return declared + len(self._declaring) + len(self._undeclared) + len(self._again_undeclared)

    @property
    def unusable_since(self) -> float | None:
        """Since when nothing but probes is sent, or None."""
        return min(self._paused.values(), default=None)

    def put(self, job: Job) -> None:
        """Let *job* wait for its turn behind the others."""
        (self._ready if self._may_be_sent(job) else self._undeclared).append(job)
        self._pump()

    def put_again(self, job: Job, again: Again) -> None:
        """Let *job* be sent again as *again* says, ahead of what was never sent."""
        job.budgeted = again.budgeted
        if self._intents is not None and job.declared and not job.history.may_be_applied:
            self._intents.retract(job)
        if self._may_be_sent(job):
            heap = self._again_budgeted if again.budgeted else self._again
        else:
            heap = self._again_undeclared
        heapq.heappush(heap, (self._clock() + again.delay, next(self._tie), job))
        self._pump()

    async def take(self) -> Turn | None:
        """Wait for a record's turn; None once the gate is closed. Each turn is given back with ``leave``."""
        if self.closed:
            return None
        worker: asyncio.Future[Turn | None] = asyncio.get_running_loop().create_future()
        self._workers.append(worker)
        self._pump()
        try:
            return await worker
        except asyncio.CancelledError:
            if worker.done() and not worker.cancelled() and (turn := worker.result()) is not None:
                self._ready.appendleft(turn.job)  # its turn came in the very moment that its worker was cancelled
                self.leave(turn)
            raise

    def leave(self, turn: Turn) -> None:
        """Give a turn back."""
        self.in_flight -= 1
        if turn.probe:
            self._probing = False
        self._pump()

    def pause_until(self, instant: float) -> None:
        """Send nothing before *instant*: the server has asked for it."""
        self._until = max(self._until, instant)
        self._pump()

    def hold(self, *, quietly: bool) -> None:
        """Send nothing until ``release`` was called: a login is under way; *quietly* is the one that begins the run."""
        self._held = True
        if not quietly:
            self._paused["session"] = self._clock()
            self._observer.notice(Paused("session", "logging in again", None))

    def release(self) -> None:
        """Undo ``hold``."""
        self._held = False
        self._pump()

    def close(self, kind: str, message: str) -> list[Job]:
        """Let nobody through any more, for the reason that *kind* and *message* give; gives back all that wait."""
        self.closed = (kind, message)
        waiting = [
            *(job for _, _, job in sorted([*self._again, *self._again_budgeted, *self._again_undeclared])),
            *self._ready,
        ]
        waiting += [*self._declaring, *self._undeclared]
        self._declaring.clear()
        self._undeclared.clear()
        self._again.clear()
        self._again_undeclared.clear()
        self._again_budgeted.clear()
        self._ready.clear()
        if self._timer is not None:
            self._timer.cancel()
        for worker in self._workers:
            if not worker.done():
                worker.set_result(None)
        self._workers.clear()
        return waiting

    def _pump(self) -> None:
        """Give every record its turn that may have it now."""
        now = self._clock()
        if self._intents is not None and not self.closed:
            self._declare(self._intents, now)
        while self._workers and not self.closed:
            worker = self._workers[0]
            if worker.done():  # its worker was cancelled
                self._workers.popleft()
                continue
            if not self._may_send(now):
                break
            job = self._next_probe(now) if self._breaker.is_open else self._next(now)
            if job is None:
                break
            self._workers.popleft()
            turn = Turn(job, probe=self._breaker.is_open)
            self._probing = self._probing or turn.probe
            self.in_flight += 1
            # Counted here and not when it is sent: the next one in this loop is weighed against it.
            self._budget.request(now, retry=job.budgeted)
            worker.set_result(turn)
        self._tell()
        self._set_timer(now)

    def _may_be_sent(self, job: Job) -> bool:
        return self._intents is None or job.declared

    def _declare(self, intents: Intents, now: float) -> None:
        """Declare what will be sent next; while nothing is sent, nothing but a probe."""
        if self._is_paused(now):
            self._withdraw(intents)
            return
        while self._again_undeclared and self._again_undeclared[0][0] <= now:
            self._undeclared.appendleft(heapq.heappop(self._again_undeclared)[2])
        ahead = len(self._ready) + len(self._declaring)
        if not self._undeclared:
            return
        if self._breaker.is_open:
            due = any(heap and heap[0][0] <= now for heap in (self._again, self._again_budgeted))
            wanted = int(not ahead and not due)
            if wanted:
                probe = min(self._undeclared, key=self._rank)
                self._undeclared.remove(probe)
                self._undeclared.appendleft(probe)
        else:
            wanted = intents.wanted(ahead, self._limit.value)
        jobs = [self._undeclared.popleft() for _ in range(min(wanted, len(self._undeclared)))]
        if jobs:
            self._declaring += jobs
            intents.declare(jobs)

    def _withdraw(self, intents: Intents) -> None:
        """What was declared and only waits is not to be doubtful for as long as a pause may last."""
        if all(job.history.may_be_applied for job in self._ready):
            return
        waiting, self._ready = self._ready, deque()
        for job in reversed(waiting):
            if job.history.may_be_applied:
                self._ready.appendleft(job)
            else:
                intents.retract(job)
                self._undeclared.appendleft(job)

    def _take_in(self, jobs: Sequence[Job]) -> None:
        """These are declared now."""
        for job in jobs:
            if self._declaring and self._declaring[0] is job:  # else the gate was closed meanwhile
                self._ready.append(self._declaring.popleft())
        self._pump()

    def _rank(self, job: Job) -> tuple[bool, bool]:
        """How good a probe it is, the least is best: safe to send twice, and not one that the breaker has met."""
        return (not job.record.safe, self._breaker.has_met(job.ordinal))

    def _is_paused(self, now: float) -> bool:
        """Whether not even a probe may be sent."""
        waits = self._probing or now < self._breaker.next_probe
        return self._held or now < self._until or (self._breaker.is_open and waits)

    def _may_send(self, now: float) -> bool:
        return not self._is_paused(now) and (self._breaker.is_open or self.in_flight < self._limit.value)

    def _next(self, now: float) -> Job | None:
        if self._again and self._again[0][0] <= now:
            return heapq.heappop(self._again)[2]
        if self._again_budgeted and self._again_budgeted[0][0] <= now and self._budget.allows(now):
            return heapq.heappop(self._again_budgeted)[2]
        return self._ready.popleft() if self._ready else None

    def _next_probe(self, now: float) -> Job | None:
        """Of what may go now, a record that is safe to send twice, and rather one that the breaker has not met yet."""
        due = sorted(entry for heap in (self._again, self._again_budgeted) for entry in heap if entry[0] <= now)
        job = min(
            [*(job for _, _, job in due), *self._ready],
            key=self._rank,
            default=None,
        )
        if job is not None:
            self._take_out(job)
        return job

    def _take_out(self, job: Job) -> None:
        for heap in (self._again, self._again_budgeted):
            for at, entry in enumerate(heap):
                if entry[2] is job:
                    del heap[at]
                    heapq.heapify(heap)
                    return
        self._ready.remove(job)

    def _set_timer(self, now: float) -> None:
        """Look again when time alone may let something through, or ends a pause."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.closed:
            return
        instants = [self._until]
        if self._workers and not self._held:
            heaps = (self._again, self._again_budgeted, self._again_undeclared)
            instants += [heap[0][0] for heap in heaps if heap]
            if self._again_budgeted and self._again_budgeted[0][0] <= now:
                instants.append(int(now) + 1.0)  # the retry budget thinks in seconds
            if self._breaker.is_open and not self._probing:
                instants.append(self._breaker.next_probe)
        if later := [instant for instant in instants if instant > now]:
            self._timer = asyncio.get_running_loop().call_later(min(later) - now, self._pump)

    def _tell(self) -> None:
        """Announce pauses that have begun and those that have ended."""
        now = self._clock()
        for reason, holds in (
            ("outage", self._breaker.is_open),
            ("throttled", now < self._until),
            ("session", self._held and "session" in self._paused),
        ):
            if holds and reason not in self._paused:
                self._paused[reason] = now
                detail = self._breaker.detail if reason == "outage" else ""
                seconds = self._until - now if reason == "throttled" else None
                self._observer.notice(Paused(reason, detail, seconds))
            elif not holds and reason in self._paused:
                self._observer.notice(Resumed(reason, now - self._paused.pop(reason)))
