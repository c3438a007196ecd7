"""The life of one record: its turn, its attempts, its result.

Each worker takes a turn at the gate, makes one attempt, hears what it means from the core, and acts on that: the record
ends, or goes back to the gate. A worker never raises for a record; what it does raise is a bug, or ends the run.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from batcher.core.breaker import Breaker
from batcher.core.events import AttemptEnded, LimitChanged, Observer, RecordEnded, RetryScheduled
from batcher.core.limit import Limit
from batcher.core.record import key_as_json
from batcher.core.reply import Judge, judge_failure
from batcher.core.result import Key, Result
from batcher.core.retry import Again, Ended, Policy, RetryBudget, decide
from batcher.core.sessions import Refusal, Refused, Sessions
from batcher.core.verdict import Judgement, Outcome, Problem, Verdict
from batcher.errors import ServiceUnusable, TransportError
from batcher.flow.gate import Gate, Turn
from batcher.flow.intents import Intents
from batcher.flow.job import Job
from batcher.flow.order import Lanes
from batcher.flow.session import Session
from batcher.flow.transport import Transport

_CUT_SHORT = Problem("timeout", "the run ended before the answer came")
_NOT_NOW = Again(0.0, budgeted=False)


@dataclass(slots=True)
class Service:
    """What the workers share to reach the service.

    Attributes:
        transport: carries one exchange.
        session: gives it its headers.
        judge: says what came of it.
        policy: what the operator allows.
        limit: how many may be in flight.
        breaker: whether the service is taken to be down.
        budget: how many retries there may be.
    """

    transport: Transport
    session: Session
    judge: Judge
    policy: Policy
    limit: Limit
    breaker: Breaker
    budget: RetryBudget


class Submitter:
    """Brings records to their results.

    Args:
        service: how to reach it.
        observer: hears what happens.
        finish: takes each record's job and result; must not block.
        give_up: is told that nobody can log in; must close the gate.
        clock: seconds, monotonic.
        wall: seconds since 1970.
        intents: holds durably what may be sent, where there is a ledger.

    Attributes:
        gate: where records wait.
        accepted: records that the service has accepted so far.
    """

    def __init__(
        self,
        service: Service,
        observer: Observer,
        finish: Callable[[Job, Result], None],
        give_up: Callable[[ServiceUnusable], None],
        clock: Callable[[], float],
        wall: Callable[[], float],
        intents: Intents | None = None,
    ) -> None:
        self._give_up = give_up
        self._service = service
        self._observer = observer
        self._finish = finish
        self._clock = clock
        self._wall = wall
        self.gate = Gate(service.limit, service.breaker, service.budget, observer, clock, intents)
        self.accepted = 0
        self._accepted_from = float("-inf")  # when the youngest request that was accepted had begun
        self._lanes = Lanes()
        self._suspects: set[int] = set()  # ordinals of the open records that were refused for want of a session
        self._sessions = Sessions()
        self._renewal = asyncio.Lock()
        self._renewal_failed: Judgement | None = None

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return self._service.limit.value

    @property
    def waiting(self) -> int:
        """Records that were added and are neither in flight nor ended."""
        return len(self.gate) + len(self._lanes)

    @property
    def longest_lane(self) -> tuple[Key, int]:
        """The order key for which the most records have waited at once, and how many."""
        key, waited = self._lanes.longest
        return key_as_json(key) if key else None, waited

    def add(self, job: Job) -> None:
        """Let *job* go when its turn has come."""
        if self._lanes.enter(job):
            self.gate.put(job)

    def end_unsent(self, job: Job) -> None:
        """End *job*, which was added and will not be sent again because the run ends."""
        self._end(job, job.history.conclude(*(self.gate.closed or ("stopped", "the run has ended"))))

    def refuse(self, job: Job) -> None:
        """End *job* instead of adding it: the run has ended, or it may not be sent again."""
        self._report(job, job.history.conclude(*(self.gate.closed or ("stopped", "the run has ended"))))

    def abandon(self, kind: str, message: str) -> None:
        """Send nothing more: what waits ends now, with *kind* and *message* if it was never judged."""
        for job in [*self.gate.close(kind, message), *self._lanes.clear()]:
            self._end(job, job.history.conclude(kind, message))

    async def work(self) -> None:
        """Send records, one at a time, until the gate is closed."""
        try:
            while (turn := await self.gate.take()) is not None:
                await self._take_turn(turn)
        finally:
            if self.gate.closed:
                self.abandon(*self.gate.closed)

    async def _take_turn(self, turn: Turn) -> None:
        job = turn.job
        try:
            step, judgement = await self._serve(turn)
        except asyncio.CancelledError:
            self.end_unsent(job)
            raise
        except ServiceUnusable as error:
            self._give_up(error)
            self.end_unsent(job)
            return
        finally:
            self.gate.leave(turn)
        if isinstance(step, Ended):
            self._end(job, step, judgement)
        elif self.gate.closed:
            self.end_unsent(job)
        else:
            self.gate.put_again(job, step)

    async def _serve(self, turn: Turn) -> tuple[Ended | Again, Judgement | None]:
        """Make one attempt; what follows for the record, and what the attempt meant, if it came to one."""
        session = self._service.session
        if not self.gate.closed and (session.needs_login or (turn.probe and session.can_renew)):
            failed = await self._renew(self._sessions.current)
            # A key that is the same as before need not be what is wrong.
            if failed is not None and session.can_log_in:
                self._trip(turn, failed)
                return _NOT_NOW, failed
        if self.gate.closed:  # it was open when the record's turn came
            return _NOT_NOW, None
        number = self._sessions.current
        judgement, began = await self._attempt(turn.job)
        refusal = self._take_in(turn, judgement, number, began)
        step = self._decide(turn.job, judgement, refusal, number)
        failed = await self._renew(number) if refusal is Refusal.LOST and not self.gate.closed else None
        if not turn.probe and (failed is not None or refusal is Refusal.USELESS):
            self._trip(turn, failed or judgement)
        return step, judgement

    async def _attempt(self, job: Job) -> tuple[Judgement, float]:
        """Send the record once; what that meant, and when it began."""
        service, clock = self._service, self._clock
        envelope = job.record.envelope
        started = clock()
        if job.history.attempts == 0:
            job.tried_at = started
        status, size = None, 0
        try:
            answer = await service.transport.exchange(envelope, service.session.headers)
        except TransportError as error:
            judgement = judge_failure(error)
        except asyncio.CancelledError:
            job.history.cut_short(_CUT_SHORT)
            judgement = Judgement(Verdict.UNCERTAIN, problem=_CUT_SHORT)
            seconds = clock() - started
            self._observer.notice(AttemptEnded(job.line.number, judgement, None, seconds, len(envelope), 0))
            raise
        else:
            status, size = answer.status, len(answer.body)
            judgement = service.judge.judge(status, answer.headers, answer.body, self._wall())
        ended = clock()
        sent = 0 if judgement.verdict is Verdict.NOT_SENT else len(envelope)
        self._observer.notice(AttemptEnded(job.line.number, judgement, status, ended - started, sent, size))
        before = service.limit.value
        service.limit.hear(judgement.sample, ended - started, self.gate.in_flight, ended)
        if service.limit.value != before:
            self._observer.notice(LimitChanged(service.limit.value))
        return judgement, started

    def _take_in(self, turn: Turn, judgement: Judgement, session: int, began: float) -> Refusal | None:
        """Let breaker, pauses and the session's books learn from an attempt."""
        service, now, job = self._service, self._clock(), turn.job
        service.breaker.hear(
            judgement,
            record=job.ordinal,
            limit=service.limit.value,
            probe=turn.probe,
            now=now,
            jitter=random.random(),  # noqa: S311 - spreads load, guards nothing
        )
        if judgement.verdict is Verdict.ACCEPTED:
            self.accepted += 1
            self._sessions.accept(session, began)
            self._accepted_from = max(self._accepted_from, began)
        elif judgement.verdict is Verdict.THROTTLED and judgement.retry_after is not None:
            self.gate.pause_until(now + judgement.retry_after)
        elif judgement.verdict is Verdict.NO_SESSION:
            self._suspects.add(job.ordinal)
            alone = self.gate.in_flight + self.waiting == len(self._suspects)
            return self._sessions.refuse(session, job.ordinal, before=job.refused, alone=alone)
        return None

    def _decide(self, job: Job, judgement: Judgement, refusal: Refusal | None, session: int) -> Ended | Again:
        if judgement.verdict is Verdict.NO_SESSION:
            # Once proven, it is proven: at the end of a run nobody follows who could prove it again.
            passed = job.history.refused > 0 or self._sessions.overtaken(job.refused)
            job.refused = Refused(session, self._clock())
        else:
            suspected = self.accepted > 0 and self._service.breaker.suspects_only(job.ordinal)
            passed = suspected or self._accepted_from > job.tried_at
        step = decide(
            job.history,
            judgement,
            self._service.policy,
            refusal=refusal,
            others_accepted=passed,
            jitter=random.random(),  # noqa: S311 - spreads load, guards nothing
        )
        job.tried_at = self._clock()
        if isinstance(step, Again):
            self._observer.notice(RetryScheduled(job.line.number, judgement.verdict, step.delay))
        return step

    async def _renew(self, session: int) -> Judgement | None:
        """Begin a session after *session*, once for all who ask; what was wrong if that failed."""
        failed_before, service = self._renewal_failed, self._service.session
        async with self._renewal:
            if self._sessions.current != session:
                return None
            if self._renewal_failed is not failed_before:
                # It failed for somebody else meanwhile. To ask again for each who waits could lock the account.
                return self._renewal_failed
            self.gate.hold(quietly=service.needs_login or not service.can_log_in)
            try:
                failed = await service.renew()
            except ServiceUnusable as error:
                self._renewal_failed = Judgement(Verdict.NO_SESSION, problem=Problem("outage", str(error)))
                raise
            finally:
                self.gate.release()
            if failed is None:
                self._sessions.renewed()
            else:
                self._renewal_failed = failed
            return failed

    def _trip(self, turn: Turn, judgement: Judgement) -> None:
        if self.gate.closed:
            return
        self._service.breaker.trip(
            judgement,
            record=turn.job.ordinal,
            probe=turn.probe,
            now=self._clock(),
            jitter=random.random(),  # noqa: S311 - spreads load, guards nothing
        )

    def _end(self, job: Job, ended: Ended, judgement: Judgement | None = None) -> None:
        self._suspects.discard(job.ordinal)
        following = self._lanes.leave(job)
        if following is not None and not self.gate.closed:
            self.gate.put(following)
        self._report(job, ended, judgement)

    def _report(self, job: Job, ended: Ended, judgement: Judgement | None = None) -> None:
        delivered = ended.outcome is Outcome.DELIVERED
        result = Result(
            line=job.line.number,
            outcome=ended.outcome,
            key=key_as_json(job.record.key),
            attempts=job.history.attempts,
            seconds=self._clock() - job.read_at,
            hash=job.line.hash,
            fields=judgement.result if delivered and judgement is not None else b"",
            problem=ended.problem,
            input=job.line.input,
            ordinal=job.ordinal,
            mismatch=delivered and judgement is not None and differs(job.record.key, judgement.key),
            raw=job.line.raw,
        )
        self._observer.notice(RecordEnded(result))
        self._finish(job, result)


def differs(sent: tuple[str | int | None, ...], answered: tuple[str | None, ...]) -> bool:
    """Whether an answer's key is another one than was sent: it may be the answer to another request.

    Outer white space and line ends aside, which the service changes. A key field that was sent without a value is not
    compared: the service may fill it.
    """
    return any(
        mine is not None and _plain(str(mine)) != _plain(theirs or "")
        for mine, theirs in zip(sent, answered, strict=True)
    )


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()
