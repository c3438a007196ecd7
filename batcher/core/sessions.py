"""Is the session lost, or is it the record? What the refusals for want of a session tell, session by session.

A lost session refuses everybody, a record that the service will not take from us refuses alone: so the first refusal is
met by waiting for what others hear, unless there are no others, and the second by a new login. A record is refused for
itself if the session that refused it went on taking others that were sent later, and a newer one refuses it again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

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


class Refused(NamedTuple):
    """That a record was refused for want of a session: in which *session*, and when (*at*)."""

    session: int
    at: float


@dataclass(slots=True)
class _Session:
    number: int
    accepted: int = 0
    accepted_from: float = -math.inf  # when the youngest request that was accepted had begun
    refused: set[int] = field(default_factory=set)
    refused_in_a_row: set[int] = field(default_factory=set)


class Sessions:
    """The books on all sessions of a run.

    Attributes:
        current: the number of the session in use, counting from 0; each new key is a new session.
    """

    def __init__(self) -> None:
        self.current = 0
        self._session = _Session(0)
        self._before = _Session(-1)

    def renewed(self) -> None:
        """A new session is in use from now on."""
        self.current += 1
        if self._session.accepted:  # one that never took anybody is no witness for anything
            self._before = self._session
        self._session = _Session(self.current)

    def accept(self, session: int, began: float) -> None:
        """A record was accepted by a request that was sent in *session* and had begun at *began*."""
        books = self._session if session == self.current else self._books(session)
        if books is not None:
            books.accepted += 1
            if began > books.accepted_from:
                books.accepted_from = began
            if books.refused_in_a_row:
                books.refused_in_a_row.clear()

    def overtaken(self, refused: Refused | None) -> bool:
        """Whether a session went on taking others after it had refused a record: then it was not the session."""
        books = None if refused is None else self._books(refused.session)
        return books is not None and refused is not None and books.accepted_from > refused.at

    def refuse(self, session: int, record: int, *, before: Refused | None, alone: bool) -> Refusal:
        """A record was refused for want of a session.

        Args:
            session: that it was sent in.
            record: its ordinal.
            before: its last refusal of this kind, if there was one.
            alone: no record is in flight or waits to be sent but this one and others that were refused.
        """
        if session != self.current:
            return Refusal.OUTDATED
        books = self._session
        books.refused.add(record)
        overtaken = self.overtaken(before)
        if before is not None and before.session < session and (overtaken or (alone and self._few_before(record))):
            return Refusal.OWN
        if not overtaken:  # else it is no witness against the session
            books.refused_in_a_row.add(record)
        if not alone and (overtaken or len(books.refused_in_a_row) == 1):
            return Refusal.UNCLEAR
        return Refusal.LOST if books.accepted > 0 or self.current == 0 else Refusal.USELESS

    def _books(self, session: int) -> _Session | None:
        """On the session in use and the last one that took anybody; others are forgotten."""
        return next((books for books in (self._session, self._before) if books.number == session), None)

    def _few_before(self, record: int) -> bool:
        """The last session that took anybody accepted many and refused this record among few: it was not the session.

        For the last records of a run, whom nobody follows whose acceptance could prove it.
        """
        accepted, refused = self._before.accepted, self._before.refused
        return record in refused and accepted >= (_MANY * len(refused) if len(refused) > 1 else 1)
