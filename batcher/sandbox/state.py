"""What the service remembers: the truth about what was applied, the sessions, the next id."""

from collections import Counter, deque
from dataclasses import dataclass
from typing import Final

from batcher.sandbox.fields import INDEX, Record

__all__ = ["State", "Stats"]

KEPT_RECORDS: Final = 200_000
"""The newest so many records are kept to be looked at, counts for all: a sandbox may serve for days."""

_FIRST_ID: Final = 981
_ID: Final = INDEX["ImportSyncRecordID"]
_SOURCE_ID: Final = INDEX["SourceID"]


@dataclass(frozen=True, slots=True)
class Stats:
    """The truth at one moment.

    *requests* counts POSTs to the service, logins among them; *applied* how often a record of each SourceID was stored,
    "" for records without one; *max_in_flight* the most requests that were open at once.
    """

    requests: int
    applied: dict[str, int]
    max_in_flight: int
    logins: int


class State:
    """One service's memory. *session_calls*: a session ends after so many calls; None for never."""

    def __init__(self, session_calls: int | None = None) -> None:
        self.requests = 0
        self.logins = 0
        self.max_in_flight = 0
        self.records: deque[Record] = deque(maxlen=KEPT_RECORDS)
        self._applied: Counter[str] = Counter()
        self._next_id = _FIRST_ID
        self._in_flight = 0
        self._sessions: dict[str, int] = {}
        self._session_calls = session_calls

    def enter(self) -> None:
        """A request was received."""
        self.requests += 1
        self._in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self._in_flight)

    def leave(self) -> None:
        """A request was answered, or its client went away."""
        self._in_flight -= 1

    def apply(self, record: Record) -> Record:
        """Stores *record*; the copy that is returned has a new id where the record had 0."""
        if record[_ID] == "0":
            record = (*record[:_ID], str(self._next_id), *record[_ID + 1 :])
            self._next_id += 1
        self.records.append(record)
        self._applied[record[_SOURCE_ID] or ""] += 1
        return record

    def open_session(self) -> str:
        """A successful login; returns the session's key. Sessions that are open stay so."""
        self.logins += 1
        key = f"sandbox-session-{self.logins}"
        self._sessions[key] = 0
        return key

    def use_session(self, key: str | None) -> bool:
        """Counts a call under session *key*; False where there is no such session, or none any more."""
        if key is None or key not in self._sessions:
            return False
        self._sessions[key] += 1
        if self._session_calls is not None and self._sessions[key] > self._session_calls:
            del self._sessions[key]
            return False
        return True

    def expire_sessions(self) -> None:
        """Ends every session."""
        self._sessions.clear()

    def stats(self) -> Stats:
        """A copy of the counts."""
        return Stats(self.requests, dict(self._applied), self.max_in_flight, self.logins)
