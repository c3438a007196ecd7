"""What resubmit chooses: of all that a ledger has not delivered, what may be sent again.

What is chosen waits in a temporary database, so memory does not depend on how much there is.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

import orjson

from batcher.core.record import RecordReader, key_as_json
from batcher.core.reject import Reject
from batcher.core.result import Origin
from batcher.core.retry import Policy
from batcher.core.verdict import Outcome
from batcher.errors import RecordError
from batcher.flow.ledger.reopen import rejects, whole
from batcher.flow.ledger.rows import Known, OpenAgain, mark, place
from batcher.flow.ledger.store import Store
from batcher.flow.ledger.temporary import open_temporary, writing_temporarily

_SHOWN = 5
_NO_KEY = b"null"
_MANY = 500


@dataclass(slots=True)
class Left:
    """What is not sent again, and what the ledger holds of it all the same.

    Attributes:
        held: records in doubt that may not be sent again.
        stale: records of whose key a later one was delivered.
        stale_lines: the first of these, in words.
        cut: records that are longer than what the ledger keeps of a line.
        crashed: records that a killed run may have sent and of which the ledger has no line.
        outcomes: of these records, how many of each outcome are not counted as such by the ledger.
    """

    held: int = 0
    stale: int = 0
    stale_lines: list[str] = field(default_factory=list)
    cut: int = 0
    crashed: int = 0
    outcomes: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))


def select(store: Store, reader: RecordReader, policy: Policy, *, allow_stale: bool) -> Left:
    """Open again all that was not delivered and may be sent again.

    Args:
        store: the ledger, to be written.
        reader: tells which records are safe to send twice, and the keys of those that are open again already.
        policy: says which of the records in doubt may be sent again.
        allow_stale: whether a record is sent of whose key a later one was delivered.

    Raises:
        LedgerRefused: the ledger is damaged.
        OutputFailed: it cannot be written.
    """
    return _Selection(store, reader, policy, allow_stale=allow_stale).make()


class _Selection:
    def __init__(self, store: Store, reader: RecordReader, policy: Policy, *, allow_stale: bool) -> None:
        self._store = store
        self._reader = reader
        self._policy = policy
        self._allow_stale = allow_stale
        self._left = Left()

    def make(self) -> Left:
        with closing(open_temporary()) as db, writing_temporarily():
            db.execute(
                "CREATE TABLE chosen (ordinal INTEGER PRIMARY KEY, hash INTEGER, key TEXT, origin TEXT, raw BLOB,"
                " again INTEGER, held INTEGER, stale INTEGER DEFAULT 0)"
            )
            self._gather(db)
            self._gather_reopened(db)
            db.execute("CREATE INDEX chosen_key ON chosen (key) WHERE key IS NOT NULL")
            self._mark_stale(db)
            self._open(db)
            self._count(db)
        return self._left

    def _gather(self, db: sqlite3.Connection) -> None:
        """What has its outcome and was not delivered: the last rejects line of each record."""
        lines = rejects(self._store)
        while batch := list(islice(lines, _MANY)):
            known = self._store.outcomes(ordinal for ordinal, _ in batch)
            db.executemany(
                "INSERT OR REPLACE INTO chosen (ordinal, hash, key, origin, raw, again, held)"
                " VALUES (?, ?, ?, ?, ?, 0, ?)",
                [
                    (ordinal, mark(reject.hash, reject.origin.line), *self._choose(reject))
                    for ordinal, reject in batch
                    if known.get(ordinal) == Known(mark(reject.hash, reject.origin.line), reject.origin.outcome)
                ],
            )

    def _choose(self, reject: Reject) -> tuple[str | None, str, bytes | None, bool]:
        """Key, origin, line, and whether it may not be sent again."""
        key = None if reject.key == _NO_KEY else reject.key.decode()
        raw = whole(self._store, reject)
        held = reject.origin.doubt is not None and raw is not None and not self._may_resend(raw)
        return key, reject.origin.write(), raw, held

    def _may_resend(self, raw: bytes) -> bool:
        try:
            return self._policy.may_resend(safe=self._reader.read(raw).safe)
        except RecordError:  # what could be sent once and cannot now is nothing to send again
            return False

    def _gather_reopened(self, db: sqlite3.Connection) -> None:
        """What is open again already: only its key counts, for whether it is stale."""
        last = -1
        while rows := self._store.all_reopened(last, _MANY):
            last = rows[-1].ordinal
            db.executemany(
                "INSERT INTO chosen (ordinal, hash, key, origin, raw, again, held) VALUES (?, ?, ?, ?, ?, 1, 0)",
                [
                    (ordinal, number, self._key_of(raw), origin, None if raw is None else b"")
                    for ordinal, number, origin, raw in rows
                ],
            )

    def _key_of(self, raw: bytes | None) -> str | None:
        if raw is None:
            return None
        try:
            key = key_as_json(self._reader.read(raw).key)
        except RecordError:
            return None
        return None if key is None else orjson.dumps(key).decode()

    def _mark_stale(self, db: sqlite3.Connection) -> None:
        """A delivered record makes all earlier ones of its key stale."""
        if db.execute("SELECT 1 FROM chosen WHERE key IS NOT NULL LIMIT 1").fetchone() is None:
            return
        for told in self._store.told("results"):
            delivered = []
            for ordinal, line in told:
                members = orjson.loads(line)
                if members["outcome"] == Outcome.DELIVERED.value and members["key"] is not None:
                    delivered.append((orjson.dumps(members["key"]).decode(), ordinal))
            db.executemany("UPDATE chosen SET stale = 1 WHERE key = ? AND ordinal < ?", delivered)

    def _open(self, db: sqlite3.Connection) -> None:
        stale_too = "" if self._allow_stale else " AND NOT stale"
        which = f"FROM chosen WHERE NOT again AND NOT held AND raw IS NOT NULL{stale_too}"
        chosen = db.execute(f"SELECT ordinal, hash, origin, raw {which} ORDER BY ordinal")
        stale = () if self._allow_stale else db.execute("SELECT ordinal FROM chosen WHERE stale ORDER BY ordinal")
        self._store.open_again((OpenAgain(*row) for row in chosen), (ordinal for (ordinal,) in stale))

    def _count(self, db: sqlite3.Connection) -> None:
        left = self._left
        stale = "0" if self._allow_stale else "stale"
        [(left.cut, left.held, left.stale)] = db.execute(
            f"SELECT count(*) FILTER (WHERE raw IS NULL), count(*) FILTER (WHERE raw IS NOT NULL AND held),"  # noqa: S608 - ours
            f" count(*) FILTER (WHERE raw IS NOT NULL AND NOT held AND {stale}) FROM chosen"
        ).fetchall()
        rows = db.execute(
            f"SELECT origin FROM chosen WHERE raw IS NOT NULL AND NOT held AND {stale} ORDER BY ordinal LIMIT {_SHOWN}"  # noqa: S608 - ours
        )
        left.stale_lines = [place(Origin.read(origin)) for (origin,) in rows]
        doubtful = self._store.doubtful()
        for ordinal, origin in db.execute(
            f"SELECT ordinal, origin FROM chosen WHERE again AND (raw IS NULL OR {stale})"  # noqa: S608 - ours
        ):
            left.outcomes[Outcome.IN_DOUBT if ordinal in doubtful else Origin.read(origin).outcome] += 1
        for ordinal in doubtful:
            if not self._store.reopened(ordinal, ordinal):
                left.crashed += 1
                left.outcomes[Outcome.IN_DOUBT] += 1
