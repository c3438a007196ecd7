"""The session that records are sent in: what their refusals tell of it, and its renewal, once for all who ask."""

from __future__ import annotations

import asyncio

from batcher.core.sessions import Refusal, Refused, Sessions
from batcher.core.verdict import Judgement, Problem, Verdict
from batcher.errors import ServiceUnusable
from batcher.flow.gate import Gate
from batcher.flow.job import Job
from batcher.flow.session import Session


class Renewal:
    """Keeps the books on sessions, and begins a new one when the last is lost.

    Args:
        session: that headers come from.
        gate: is held while a session begins.

    Attributes:
        books: what is known of all sessions.
    """

    def __init__(self, session: Session, gate: Gate) -> None:
        self._session = session
        self._gate = gate
        self.books = Sessions()
        self._suspects: set[int] = set()  # ordinals of the open records that were refused for want of a session
        self._turn = asyncio.Lock()
        self._failed: Judgement | None = None

    @property
    def current(self) -> int:
        """The number of the session in use."""
        return self.books.current

    def refuse(self, session: int, job: Job, unfinished: int) -> Refusal:
        """*job*, sent in *session*, was refused for want of one; *unfinished* records are in flight or wait."""
        self._suspects.add(job.ordinal)
        alone = unfinished == len(self._suspects)
        return self.books.refuse(session, job.ordinal, before=job.refused, alone=alone)

    def overtaken(self, refused: Refused | None) -> bool:
        """Whether a session went on taking others after it had refused a record."""
        return self.books.overtaken(refused)

    def forget(self, job: Job) -> None:
        """*job* has ended."""
        self._suspects.discard(job.ordinal)

    async def renew(self, session: int) -> Judgement | None:
        """Begin a session after *session*, once for all who ask; what was wrong if that failed.

        Raises:
            ServiceUnusable: nobody can log in.
        """
        failed_before = self._failed
        with self._gate.resting():
            await self._turn.acquire()
        try:
            if self.current != session:
                return None
            if self._failed is not failed_before:
                # It failed for somebody else meanwhile. To ask again for each who waits could lock the account.
                return self._failed
            self._gate.hold(quietly=self._session.needs_login or not self._session.can_log_in)
            try:
                failed = await self._session.renew()
            except ServiceUnusable as error:
                self._failed = Judgement(Verdict.NO_SESSION, problem=Problem("outage", str(error)))
                raise
            finally:
                self._gate.release()
            if failed is None:
                self.books.renewed()
            else:
                self._failed = failed
            return failed
        finally:
            self._turn.release()
