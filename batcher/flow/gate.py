"""The gate: where records wait for their turn and workers for a record.

A record goes through when all of these allow it: the concurrency limit, the breaker, pauses, its own back-off and the
retry budget. What decides is in the core; the gate asks it at one place, ``_pump``, whenever something may have
changed, and sets one timer for the next instant at which time alone changes the answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from batcher.core.breaker import Breaker
from batcher.core.events import Observer
from batcher.core.limit import Limit
from batcher.core.rate import Pacer
from batcher.core.retry import Again, RetryBudget
from batcher.core.slots import Slots, State
from batcher.flow.idle import Idle
from batcher.flow.intents import Intents, Undeclared
from batcher.flow.job import Job
from batcher.flow.pauses import Pauses
from batcher.flow.waiting import Waiting

_NEAREST = 1e-6
"""Seconds to the nearest timer: the event loop fires one that is nearer than its clock can tell, before its instant."""


class Gate:
    """Hands records to workers: who takes one has its turn, which is the permit to send it now.

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
        self._clock = clock
        self.in_flight = 0
        self._waiting = Waiting(budget)
        self._undeclared = None if intents is None else Undeclared(intents, self._take_in)
        self._workers: deque[asyncio.Future[Job | None]] = deque()
        self._probing = False
        self._pauses = Pauses(breaker, observer)
        self._timer: asyncio.TimerHandle | None = None
        self._pacer: Pacer | None = None
        self._idle: Idle | None = None
        self._accounting = False
        self.closed: tuple[str, str] | None = None

    def __len__(self) -> int:
        """Records that wait here."""
        return len(self._waiting) + (0 if self._undeclared is None else len(self._undeclared))

    @property
    def hungry(self) -> bool:
        """Whether fewer records wait here than may be in flight."""
        return len(self) < self._limit.value

    @property
    def unusable_since(self) -> float | None:
        """Since when nothing but probes is sent, or None."""
        return self._pauses.since

    def keep_pace(self, pacer: Pacer) -> None:
        """Send nothing, probes included, before *pacer* allows it."""
        self._pacer = pacer

    def keep_account(self, slots: Slots, in_lanes: Callable[[], int], lack: Callable[[], State]) -> None:
        """Account in *slots* for the workers' waiting; the other arguments are those of ``Idle``."""
        self._idle = Idle(slots, self._waiting, self._undeclared, in_lanes, lack)

    def recount(self) -> None:
        """Others wait now, or for something else: account for it before the event loop goes on."""
        if not self._accounting and self._idle is not None:
            self._accounting = True
            asyncio.get_running_loop().call_soon(self._account)

    def resting(self) -> AbstractContextManager[None]:
        """Within the block a worker that has a turn waits for a login that another one makes."""
        return nullcontext() if self._idle is None else self._idle.resting(self._clock)

    def put(self, job: Job) -> None:
        """Let *job* wait for its turn behind the others."""
        undeclared = self._undeclared
        if undeclared is None or job.declared:
            self._waiting.put(job)
            if self._workers:
                self._pump()
        else:
            # Where others wait for it, whether to declare more was asked when the last turn was given.
            if undeclared.put(job) and not self.closed:
                self._declare(undeclared, self._clock())
            if self._workers:  # nobody's turn comes before it is declared
                self.recount()

    def put_again(self, job: Job, again: Again) -> None:
        """Let *job* be sent again as *again* says, ahead of what was never sent."""
        job.budgeted = again.budgeted
        at = self._clock() + again.delay
        if self._undeclared is None or job.history.may_be_applied:
            self._waiting.put_again(job, at)
        else:
            self._undeclared.retract(job)
            self._undeclared.put_again(job, at)
        self._pump()

    def take_at_once(self) -> Job | None:
        """A record whose turn nobody has to wait for; else None. Each turn is given back with ``leave``."""
        if self._workers or self.closed:  # those who wait come first
            return None
        now = self._clock()
        job = self._next_turn(now)
        if job is None or self._undeclared is None:
            return job
        if job.probe:
            self._declare(self._undeclared, now)
        else:  # as a turn was given, nothing is paused
            self._undeclared.declare(now, len(self._waiting.ready), self._limit.value)
        return job

    async def take(self) -> Job | None:
        """Wait for a record's turn; None once the gate is closed."""
        job = self.take_at_once()
        return await self.wait() if job is None else job

    async def wait(self) -> Job | None:
        """The same, where ``take_at_once`` had none."""
        if self.closed:
            return None
        worker: asyncio.Future[Job | None] = asyncio.get_running_loop().create_future()
        self._workers.append(worker)
        if len(self._workers) == 1:  # where others wait, there is nothing that could be sent
            self._pump()
        else:
            self.recount()
        try:
            return await worker
        except asyncio.CancelledError:
            if worker.done() and not worker.cancelled() and (job := worker.result()) is not None:
                self._waiting.put_first(job)  # its turn came in the very moment that its worker was cancelled
                self.leave(job)
            raise

    def leave(self, job: Job) -> None:
        """Give the turn of *job* back."""
        self.in_flight -= 1
        # Where nobody waits, nobody's turn has come; whoever gives this one back asks for the next one.
        if job.probe:
            self._probing = False
            self._pump()
        elif self.closed:
            self._pump()
        elif self._workers:
            if self._waiting.ready or self._waiting.timed or self._pauses or self._breaker.opened_at is not None:
                self._pump()
            else:  # there is none that may be sent; of what is being declared it hears when that is done
                self.recount()

    def pause_until(self, instant: float) -> None:
        """Send nothing before *instant*: the server has asked for it."""
        self._pauses.last_until(instant)
        self._pump()

    def hold(self, *, quietly: bool) -> None:
        """Send nothing until ``release`` was called: a login is under way; *quietly* is the one that begins the run."""
        self._pauses.hold(self._clock(), quietly=quietly)
        self.recount()

    def release(self) -> None:
        """Undo ``hold``."""
        self._pauses.release()
        self._pump()

    def close(self, kind: str, message: str) -> list[Job]:
        """Let nobody through any more, for the reason that *kind* and *message* give; gives back all that wait."""
        self.closed = (kind, message)
        waiting = self._waiting.clear()
        if self._undeclared is not None:
            waiting += self._undeclared.clear()
        if self._timer is not None:
            self._timer.cancel()
        for worker in self._workers:
            if not worker.done():
                worker.set_result(None)
        self._workers.clear()
        self._account()
        return waiting

    def _pump(self) -> None:
        """Give every record its turn that may have it now."""
        now = self._clock()
        if self._undeclared is not None and not self.closed:
            self._declare(self._undeclared, now)
        given = False
        while self._workers and not self.closed:
            worker = self._workers[0]
            if worker.done():  # its worker was cancelled
                self._workers.popleft()
                continue
            job = self._next_turn(now)
            if job is None:
                break
            given = True
            self._workers.popleft()
            worker.set_result(job)
        if given and self._undeclared is not None:  # fewer are ahead now
            self._declare(self._undeclared, now)
        self._pauses.tell(now)
        self._set_timer(now)
        self.recount()

    def _account(self) -> None:
        """Charge the workers that wait to what keeps them waiting."""
        self._accounting = False
        if self._idle is None:
            return
        now = self._clock()
        # Between two turns a worker is nowhere for a moment; where others wait, it is about to.
        waits = self._workers or self.closed
        self._idle.charge(self._idle.workers - self.in_flight if waits else 0, self._barred(now), now)

    def _barred(self, now: float) -> State | None:
        """What keeps every record from being sent."""
        if self.closed:
            return None
        if self._pauses.nothing_before(now) or self._breaker.opened_at is not None:
            return "pause"
        if self.in_flight >= self._limit.value:
            return "permit"
        return "rate" if self._pacer is not None and now < self._pacer.next else None

    def _next_turn(self, now: float) -> Job | None:
        """The next record that may be sent now: its turn has come."""
        pauses = self._pauses
        if pauses.held or now < pauses.until or (self._pacer is not None and now < self._pacer.next):
            return None
        probe = self._breaker.opened_at is not None
        if probe:
            if self._is_paused(now):
                return None
            job = self._waiting.best(now, self._rank)
            self._probing = self._probing or job is not None
        elif self.in_flight < self._limit.value:
            job = self._waiting.next(now)
        else:
            return None
        if job is None:
            return None
        job.probe = probe
        self.in_flight += 1
        if self._pacer is not None:
            self._pacer.send(now)
        # Counted here and not when it is sent: the next one of the same instant is weighed against it.
        if job.budgeted:
            self._budget.retry(now)
        else:
            self._budget.request(now)
        return job

    def _declare(self, undeclared: Undeclared, now: float) -> None:
        """Declare what will be sent next; while nothing is sent, nothing but a probe."""
        if self._is_paused(now):
            undeclared.take_back(self._waiting.withdraw())
        elif not self._breaker.is_open:
            undeclared.declare(now, len(self._waiting.ready), self._limit.value)
        elif not self._waiting.ready and not self._waiting.is_due(now):
            undeclared.declare_probe(now, self._rank)

    def _take_in(self, jobs: Sequence[Job]) -> None:
        """These are declared now."""
        self._waiting.ready += jobs
        self._pump()

    def _rank(self, job: Job) -> tuple[bool, bool]:
        """How good a probe it is, the least is best: safe to send twice, and not one that the breaker has met."""
        return (not job.record.safe, self._breaker.has_met(job.ordinal))

    def _is_paused(self, now: float) -> bool:
        """Whether not even a probe may be sent."""
        if self._pauses.nothing_before(now):
            return True
        return self._breaker.opened_at is not None and (self._probing or now < self._breaker.next_probe)

    def _set_timer(self, now: float) -> None:
        """Look again when time alone may let something through, or ends a pause."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.closed:
            return
        instant = min(self._instants(now), default=None)
        if instant is not None:
            self._timer = asyncio.get_running_loop().call_later(max(instant - now, _NEAREST), self._pump)

    def _instants(self, now: float) -> list[float]:
        """Instants after *now* at which time alone changes what may be sent."""
        instants = [self._pauses.until]
        if self._workers and not self._pauses.held:
            if self._waiting.timed:
                instants += self._waiting.instants(now)
            if self._undeclared is not None:
                instants += self._undeclared.instants()
            if self._breaker.is_open and not self._probing:
                instants.append(self._breaker.next_probe)
            if self._pacer is not None:
                instants.append(self._pacer.next)
        return [instant for instant in instants if instant > now]
