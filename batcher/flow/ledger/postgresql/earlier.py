"""What the ledgers of a run's earlier divisions still have, for the shards that take it over."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from batcher.flow.ledger.address import Address
from batcher.flow.ledger.moving import EarlierLedger
from batcher.flow.ledger.postgresql.finding import Row, all_of, holds_something
from batcher.flow.ledger.postgresql.session import Connection, Session

_LAST = """SELECT max(ordinal) FROM (
    SELECT max(ordinal) AS ordinal FROM record WHERE ledger = %(ledger)s
    UNION ALL SELECT max(ordinal) FROM reopened WHERE ledger = %(ledger)s) AS each"""
_KNOWN = """
    WITH asked (ledger, ordinal) AS (SELECT * FROM unnest(%s::integer[], %s::bigint[]))
    SELECT ledger, ordinal, hash FROM record JOIN asked USING (ledger, ordinal)
    UNION ALL SELECT ledger, ordinal, hash FROM reopened JOIN asked USING (ledger, ordinal)"""


class Earlier:
    """The ledgers of earlier divisions that hold something; nothing comes to them any more.

    Args:
        session: with the database, for this alone.
        address: of the run.
        present: the ledger that takes over.

    Attributes:
        divisions: of how many shards each is.
        ledgers: by division, as it stands there, and shard.
    """

    def __init__(self, session: Session, address: Address, present: int) -> None:
        self._session = session
        rows = session.do(lambda db: _holding(db, address.name, present))
        numbers = sorted({row.division for row in rows})
        counts = {row.division: row.shards for row in rows}
        self.divisions = tuple(counts[number] for number in numbers)
        found = session.do(lambda db: [_look(db, row) for row in rows])
        self.ledgers = {(numbers.index(row.division), row.which): each for row, each in zip(rows, found, strict=True)}

    def hashes(self, ledgers: Sequence[int], ordinals: Sequence[int]) -> dict[tuple[int, int], int]:
        """By what those of these records are known that have their outcome or are open again, by ledger and ordinal."""
        values = (list(ledgers), list(ordinals))
        rows = self._session.do(lambda db: db.execute(_KNOWN, values).fetchall())
        return {(ledger, ordinal): line for ledger, ordinal, line in rows}

    def close(self) -> None:
        """Let go of the session."""
        self._session.close()


def _holding(db: Connection, name: str, present: int) -> list[Row]:
    rows = all_of(db, name)
    [division] = [row.division for row in rows if row.id == present]
    return [row for row in rows if row.division < division and holds_something(db, row.id)]


def _look(db: Connection, row: Row) -> EarlierLedger:
    [(last,)] = db.execute(_LAST, {"ledger": row.id}).fetchall()
    doubtful: dict[int, int] = {}
    for (records,) in db.execute("SELECT records FROM intent WHERE ledger = %s", (row.id,)).fetchall():
        doubtful |= {int(ordinal): line for ordinal, line in orjson.loads(records).items()}
    return EarlierLedger(row.id, row.shard, max([last or 0, *doubtful]), doubtful)
