"""Is the session lost, or is it the record? What the refusals for want of a session tell, session by session.

A lost session refuses everybody, a record that the service will not take from us refuses alone: so the first refusal is
met by waiting for what others hear, unless there are no others, and the second by a new login. A record that is refused
again in a newer session, in which others are accepted, is refused for itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

_MANY = 10
"""So many times as many accepted as refused records tell poison records from a session that was lost."""


class Refusal(Enum):
    """What a refusal for want of a session means."""

    OUTDATED = "outdated"
    """The request carried a session that has been replaced since: send it again."""
    UNCLEAR = "unclear"
    """Others may be accepted still: send it again after a while."""
    LOST = "lost"
    """The session is gone: log in, then send it again."""
    USELESS = "useless"
    """A session in which nobody was ever accepted is refused: this is an outage."""
    OWN = "own"
    """The record is refused for itself."""


@dataclass(slots=True)
class _Session:
    accepted: int = 0
    refused: set[int] = field(default_factory=set)
    refused_in_a_row: set[int] = field(default_factory=set)


class Sessions:
    """The books on all sessions of a run.

    Attributes:
        current: the number of the session in use, counting from 0; each new key is a new session.
    """

    def __init__(self) -> None:
        self.current = 0
        self._session = _Session()
        self._before = _Session()

    def renewed(self) -> None:
        """A new session is in use from now on."""
        self.current += 1
        self._before, self._session = self._session, _Session()

    def accept(self, session: int) -> None:
        """A record was accepted that was sent in *session*."""
        if session == self.current:
            self._session.accepted += 1
            self._session.refused_in_a_row.clear()

    def refuse(self, session: int, record: int, *, before: int | None, overtaken: bool, alone: bool) -> Refusal:
        """A record was refused for want of a session.

        Args:
            session: that it was sent in.
            record: its ordinal.
            before: the session in which this record was refused the last time, if ever.
            overtaken: others were accepted that were sent after it had been refused.
            alone: no record is in flight or waits to be sent but this one and others that were refused.
        """
        if session != self.current:
            return Refusal.OUTDATED
        books = self._session
        books.refused.add(record)
        books.refused_in_a_row.add(record)
        in_newer = before is not None and before < session
        if in_newer and (books.accepted > 0 or overtaken or (alone and self._few_before(record))):
            return Refusal.OWN
        if len(books.refused_in_a_row) == 1 and not alone:
            return Refusal.UNCLEAR
        return Refusal.LOST if books.accepted > 0 or self.current == 0 else Refusal.USELESS

    def _few_before(self, record: int) -> bool:
        """The session before accepted many and refused this record among few: it was not the session.

        For the last records of a run, whom nobody follows whose acceptance could prove it.
        """
        accepted, refused = self._before.accepted, self._before.refused
        return record in refused and accepted >= (_MANY * len(refused) if len(refused) > 1 else 1)
