"""One attempt: a record's envelope goes out once, and what came back is judged and told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from batcher.core.events import AttemptEnded, Observer
from batcher.core.reply import judge_failure
from batcher.core.verdict import Judgement, Problem, Verdict
from batcher.errors import TransportError
from batcher.flow.job import Job
from batcher.flow.service import Service
from batcher.flow.transport import Answer

_ACCEPTED = Verdict.ACCEPTED
_CUT_SHORT = Problem("timeout", "the run ended before the answer came")


Attempt: TypeAlias = tuple[Judgement, float, float, Answer | None]
"""An attempt that has ended: what it means, when it began and ended, and the answer, where one came."""


class Attempts:
    """Makes attempts.

    Args:
        service: how to reach it.
        observer: hears of each that was not accepted; of the others whoever ends their records tells.
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
        answer: Answer | None = None
        try:
            answer = await service.transport.exchange(envelope, service.session.headers)
        except TransportError as error:
            judgement = judge_failure(error, service.judge.mask)
        except asyncio.CancelledError:
            job.history.cut_short(_CUT_SHORT)
            self._tell(job, Judgement(Verdict.UNCERTAIN, problem=_CUT_SHORT), None, clock() - began)
            raise
        else:
            status, headers, body = answer
            judgement = service.judge.judge(status, headers, body, self._wall())
        ended = clock()
        if judgement.verdict is not _ACCEPTED:
            self._tell(job, judgement, answer, ended - began)
        return judgement, began, ended, answer

    def _tell(self, job: Job, judgement: Judgement, answer: Answer | None, seconds: float) -> None:
        sent = 0 if judgement.verdict is Verdict.NOT_SENT else len(job.record.envelope)
        status, received = (None, 0) if answer is None else (answer.status, len(answer.body))
        line = job.line
        self._observer.notice(
            AttemptEnded(line.number, judgement, status, seconds, sent, received, job.ordinal, line.input)
        )
