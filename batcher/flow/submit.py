"""The life of one record: its turn, its attempts, its result.

Each worker takes a turn at the gate, makes one attempt, hears what it means from the core, and acts on that: the record
ends, or goes back to the gate. A worker never raises for a record; what it does raise is a bug, or ends the run.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from batcher.core.events import Delivered, LimitChanged, Observer, RecordEnded, RetryScheduled
from batcher.core.record import Scalar, key_as_json
from batcher.core.result import Key, Result
from batcher.core.retry import Again, Ended, decide
from batcher.core.sessions import Refusal, Refused
from batcher.core.slots import Slots, State
from batcher.core.verdict import Judgement, Outcome, Verdict
from batcher.errors import ServiceUnusable
from batcher.flow.attempt import Attempt, Attempts
from batcher.flow.gate import Gate
from batcher.flow.intents import Intents
from batcher.flow.job import Job
from batcher.flow.order import Lanes
from batcher.flow.renewal import Renewal
from batcher.flow.results import result_of
from batcher.flow.service import Service
from batcher.flow.source import Line

__all__ = ["Service", "Submitter"]

_ACCEPTED = Verdict.ACCEPTED
_DELIVERED = Outcome.DELIVERED
_NO_ATTEMPT = None, 0.0, 0.0, None
_NOT_NOW = Again(0.0, budgeted=False)


class Submitter:
    """Brings records to their results.

    Args:
        service: how to reach it.
        observer: hears what happens.
        finish: takes each record's result, and how many bytes were held for it; must not block.
        give_up: is told that nobody can log in; must close the gate.
        clock: seconds, monotonic.
        wall: seconds since 1970.
        intents: holds durably what may be sent, where there is a ledger.
        strict: whether a record that was not delivered blocks later ones of its key.

    Attributes:
        gate: where records wait.
        accepted: records that the service has accepted so far.
    """

    def __init__(
        self,
        service: Service,
        observer: Observer,
        finish: Callable[[Result, int], None],
        give_up: Callable[[ServiceUnusable], None],
        clock: Callable[[], float],
        wall: Callable[[], float],
        intents: Intents | None = None,
        *,
        strict: bool = False,
    ) -> None:
        self._give_up = give_up
        self._service = service
        self._limit = service.limit
        self._breaker = service.breaker
        self._may_resend = service.policy.may_resend
        self._observer = observer
        self._finish = finish
        self._clock = clock
        self.gate = Gate(service.limit, service.breaker, service.budget, observer, clock, intents)
        self.accepted = 0
        self._accepted_from = float("-inf")  # when the youngest request that was accepted had begun
        self._lanes = Lanes(strict=strict)
        self._attempts = Attempts(service, observer, clock, wall)
        self._sessions = Renewal(service.session, self.gate)

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return self._limit.value

    @property
    def waiting(self) -> int:
        """Records that were added and are neither in flight nor ended."""
        return len(self.gate) + len(self._lanes)

    @property
    def longest_lane(self) -> tuple[Key, int]:
        """The order key for which the most records have waited at once, and how many."""
        key, waited = self._lanes.longest
        return key_as_json(key) if key else None, waited

    def keep_account(self, slots: Slots, lack: Callable[[], State]) -> None:
        """Account in *slots* for the workers' time; *lack* says what those wait for, for which there is no record."""
        self.gate.keep_account(slots, self._lanes.__len__, lack)

    def add(self, job: Job) -> None:
        """Let *job* go when its turn has come, or end it where an earlier record of its key blocks it."""
        blocked = self._lanes.blocker(job)
        if blocked is not None:
            self._report(job, job.history.conclude("order", blocked))
        elif self._lanes.enter(job):
            self.gate.put(job)
        else:
            self.gate.recount()

    def block(self, key: tuple[Scalar, ...], ordinal: int, line: Line) -> None:
        """The record number *ordinal* was not delivered and is not added: in a strict order it blocks its key."""
        self._lanes.block(key, ordinal, line)

    def end_unsent(self, job: Job) -> None:
        """End *job*, which was added and will not be sent again because the run ends."""
        self._end(job, job.history.conclude(*(self.gate.closed or ("stopped", "the run has ended"))))

    def refuse(self, job: Job) -> None:
        """End *job* instead of adding it: the run has ended, or it may not be sent again."""
        self._lanes.block(job.record.key, job.ordinal, job.line)
        self._report(job, job.history.conclude(*(self.gate.closed or ("stopped", "the run has ended"))))

    def abandon(self, kind: str, message: str) -> None:
        """Send nothing more: what waits ends now, with *kind* and *message* if it was never judged."""
        for job in [*self.gate.close(kind, message), *self._lanes.clear()]:
            self._end(job, job.history.conclude(kind, message))

    async def work(self) -> None:
        """Send records, one at a time, until the gate is closed."""
        gate = self.gate
        try:
            while (job := gate.take_at_once() or await gate.wait()) is not None:
                await self._take_turn(job)
        finally:
            if gate.closed:
                self.abandon(*gate.closed)

    async def _take_turn(self, job: Job) -> None:
        """Make one attempt, and see to what follows for the record."""
        step: Ended | Again = _NOT_NOW
        attempt: Attempt | None = None
        try:
            wrong = await self._prepare(job) if job.probe or self._service.session.needs_login else None
            if wrong is None and not self.gate.closed:  # it was open when the record's turn came
                session = self._sessions.books.current
                attempt = await self._attempts.make(job)
                if attempt[0].verdict is _ACCEPTED:
                    step = self._accept(job, attempt, session)
                else:
                    step = await self._refused(job, attempt, session)
        except asyncio.CancelledError:
            self.end_unsent(job)
            raise
        except ServiceUnusable as error:
            self._give_up(error)
            self.end_unsent(job)
            return
        finally:
            self.gate.leave(job)
        if isinstance(step, Ended):
            self._end(job, step, attempt)
        elif self.gate.closed:
            self.end_unsent(job)
        else:
            self.gate.put_again(job, step)

    async def _prepare(self, job: Job) -> Judgement | None:
        """Log in, where nothing can be sent before, or where that is the probe; what was wrong if that failed."""
        session = self._service.session
        if self.gate.closed or not (session.needs_login or session.can_renew):
            return None
        failed = await self._sessions.renew(self._sessions.current)
        # A key that is the same as before need not be what is wrong.
        if failed is None or not session.can_log_in:
            return None
        self._trip(job, failed)
        return failed

    async def _refused(self, job: Job, attempt: Attempt, session: int) -> Ended | Again:
        """What follows an attempt that was not accepted."""
        judgement = attempt[0]
        refusal = self._take_in(job, attempt, session)
        step = self._decide(job, judgement, refusal, session)
        lost = refusal is Refusal.LOST and not self.gate.closed
        failed = await self._sessions.renew(session) if lost else None
        if not job.probe and (failed is not None or refusal is Refusal.USELESS):
            self._trip(job, failed or judgement)
        return step

    def _accept(self, job: Job, attempt: Attempt, session: int) -> Ended:
        """Let limit, breaker and the session's books learn from a record that was accepted; how it ends."""
        began = attempt[1]
        self._teach_limit(attempt)
        self._breaker.relax()
        self.accepted += 1
        self._sessions.books.accept(session, began)
        if began > self._accepted_from:
            self._accepted_from = began
        return job.history.accept()

    def _teach_limit(self, attempt: Attempt) -> None:
        judgement, began, now, _ = attempt
        limit = self._limit
        before = limit.value
        limit.hear(judgement.sample, now - began, self.gate.in_flight, now)
        if limit.value != before:
            self._observer.notice(LimitChanged(limit.value))

    def _take_in(self, job: Job, attempt: Attempt, session: int) -> Refusal | None:
        """Let limit, breaker, pauses and the session's books learn from an attempt that was not accepted."""
        judgement, _, now, _ = attempt
        self._teach_limit(attempt)
        self._breaker.hear(
            judgement,
            record=job.ordinal,
            limit=self._limit.value,
            probe=job.probe,
            now=now,
            jitter=random.random(),  # noqa: S311 - spreads load, guards nothing
        )
        if judgement.verdict is Verdict.THROTTLED and judgement.retry_after is not None:
            self.gate.pause_until(now + judgement.retry_after)
        elif judgement.verdict is Verdict.NO_SESSION:
            return self._sessions.refuse(session, job, self.gate.in_flight + self.waiting)
        return None

    def _decide(self, job: Job, judgement: Judgement, refusal: Refusal | None, session: int) -> Ended | Again:
        alone = self._breaker.suspects_only(job.ordinal)
        if judgement.verdict is Verdict.NO_SESSION:
            # Once proven, it is proven: at the end of a run nobody follows who could prove it again.
            passed = job.history.refused > 0 or self._sessions.overtaken(job.refused)
            job.refused = Refused(session, self._clock())
        else:
            passed = (self.accepted > 0 and alone) or self._accepted_from > job.tried_at
        step = decide(
            job.history,
            judgement,
            self._service.policy,
            refusal=refusal,
            others_accepted=passed,
            probe=job.probe and not alone,
            jitter=random.random(),  # noqa: S311 - spreads load, guards nothing
        )
        job.tried_at = self._clock()
        if isinstance(step, Again):
            line = job.line
            self._observer.notice(RetryScheduled(line.number, judgement.verdict, step.delay, job.ordinal, line.input))
        return step

    def _trip(self, job: Job, judgement: Judgement) -> None:
        if self.gate.closed:
            return
        self._breaker.trip(
            judgement,
            record=job.ordinal,
            probe=job.probe,
            now=self._clock(),
            jitter=random.random(),  # noqa: S311 - spreads load, guards nothing
        )

    def _end(self, job: Job, ended: Ended, attempt: Attempt | None = None) -> None:
        if job.refused is not None:
            self._sessions.forget(job)
        if ended.outcome is not _DELIVERED:
            self._lanes.block(job.record.key, job.ordinal, job.line)
        following = self._lanes.leave(job)
        blocked = () if following is None else self._hand_on(following)
        self._report(job, ended, attempt)
        for late, why in blocked:
            self._report(late, late.history.conclude("order", why))

    def _hand_on(self, following: Job | None) -> Sequence[tuple[Job, str]]:
        """Let the next record of a key go, *following* or one behind it; those that may not go any more, and why."""
        blocked: list[tuple[Job, str]] = []
        while following is not None and not self.gate.closed:
            why = self._lanes.blocker(following)
            if why is None:
                self.gate.put(following)
                break
            blocked.append((following, why))
            following = self._lanes.leave(following)
        return blocked

    def _report(self, job: Job, ended: Ended, attempt: Attempt | None = None) -> None:
        """Tell how *job* has ended: by *attempt*, or because of others or of the run's end."""
        judgement, began, now, answer = attempt or _NO_ATTEMPT
        if answer is not None and ended.outcome is _DELIVERED:
            status, _, body = answer
            result = result_of(job, ended, judgement, now, standing=False)
            # Not Delivered(…), here and wherever a record passes: a __new__ in Python costs four times as much.
            event = (result, status, now - began, len(job.record.envelope), len(body))
            self._observer.notice(tuple.__new__(Delivered, event))
        else:
            # What the run's end alone keeps from being sent again: the next run may do so.
            standing = attempt is None and ended.outcome is Outcome.IN_DOUBT and self._may_resend(safe=job.record.safe)
            result = result_of(job, ended, judgement, self._clock(), standing=standing)
            self._observer.notice(RecordEnded(result))
        self._finish(result, job.size)
