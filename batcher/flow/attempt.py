"""One attempt: a record's envelope goes out once, and what came back is judged and told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from batcher.core.events import AttemptEnded, Observer
from batcher.core.reply import judge_failure
from batcher.core.verdict import Judgement, Problem, Verdict
from batcher.errors import TransportError
from batcher.flow.job import Job
from batcher.flow.service import Service

_CUT_SHORT = Problem("timeout", "the run ended before the answer came")


class Attempt(NamedTuple):
    """An attempt that has ended: what it means, and when it began and ended."""

    judgement: Judgement
    began: float
    ended: float


class Attempts:
    """Makes attempts.

    Args:
        service: how to reach it.
        observer: hears of each.
        clock: seconds, monotonic.
        wall: seconds since 1970.
    """

    def __init__(
        self, service: Service, observer: Observer, clock: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._service = service
        self._observer = observer
        self._clock = clock
        self._wall = wall

    async def make(self, job: Job) -> Attempt:
        """Send the record once. One that is cancelled may have been applied, and its history says so."""
        service, clock = self._service, self._clock
        envelope = job.record.envelope
        began = clock()
        if job.history.attempts == 0:
            job.tried_at = began
        status, received = None, 0
        try:
            answer = await service.transport.exchange(envelope, service.session.headers)
        except TransportError as error:
            judgement = judge_failure(error, service.judge.mask)
        except asyncio.CancelledError:
            job.history.cut_short(_CUT_SHORT)
            self._tell(job, Judgement(Verdict.UNCERTAIN, problem=_CUT_SHORT), None, clock() - began, 0)
            raise
        else:
            status, received = answer.status, len(answer.body)
            judgement = service.judge.judge(status, answer.headers, answer.body, self._wall())
        ended = clock()
        self._tell(job, judgement, status, ended - began, received)
        return tuple.__new__(Attempt, (judgement, began, ended))

    def _tell(self, job: Job, judgement: Judgement, status: int | None, seconds: float, received: int) -> None:
        sent = 0 if judgement.verdict is Verdict.NOT_SENT else len(job.record.envelope)
        # Not AttemptEnded(…), here and wherever a record passes: a __new__ in Python costs four times as much.
        event = (job.line.number, judgement, status, seconds, sent, received, job.ordinal)
        self._observer.notice(tuple.__new__(AttemptEnded, event))
