"""Which ledgers of a database an address means.

A run has one division into shards at a time; those before it have ended (``dividing``). Where an address says nothing
else, it means the present one.
"""

from __future__ import annotations

from typing import NamedTuple

from batcher.errors import LedgerRefused, SettingsError
from batcher.flow.ledger.address import Address, of_shard
from batcher.flow.ledger.postgresql.session import Connection, Patience, Session

_PATIENCE = 2.0
"""Leases for which a database that was there is waited for."""
_FIND = """SELECT id, shard, division, closed FROM ledger
    WHERE name = %s AND (%s::text IS NULL OR shard = %s) AND (%s::integer IS NULL OR division = %s)
    ORDER BY division DESC, string_to_array(nullif(shard, ''), '/')::integer[], id"""
_LEFT = """SELECT EXISTS (SELECT FROM record WHERE ledger = %(ledger)s)
    OR EXISTS (SELECT FROM reopened WHERE ledger = %(ledger)s)
    OR EXISTS (SELECT FROM intent WHERE ledger = %(ledger)s)"""


class Row(NamedTuple):
    """A ledger of the database: its number, its shard as ``I/N`` or nothing, and in which division of its run it is."""

    id: int
    shard: str
    division: int
    closed: bool

    @property
    def shards(self) -> int:
        """How many shards its division has."""
        return int(self.shard.partition("/")[2] or 1)

    @property
    def which(self) -> int:
        """Which of them it is of."""
        return int(self.shard.partition("/")[0] or 0)


def patience_of(address: Address) -> Patience:
    """How long the database is waited for."""
    return Patience(_PATIENCE * address.lease)


def all_of(db: Connection, name: str) -> list[Row]:
    """All ledgers of the runs of a *name*, those of the present division first, each in the order of its shards."""
    return _find(db, name, None, None)


def matching(db: Connection, address: Address) -> list[Row]:
    """The ledgers that *address* names, all of one division: the present one, or that which it says."""
    found = _find(db, address.name, address.shard, address.division)
    return [row for row in found if row.division == found[0].division]


def holds_something(db: Connection, ledger: int) -> bool:
    """Whether the *ledger* of this number knows of any record."""
    [(found,)] = db.execute(_LEFT, {"ledger": ledger}).fetchall()
    return bool(found)


def _is_bound(db: Connection, ledger: int) -> bool:
    [(found,)] = db.execute("SELECT EXISTS (SELECT FROM meta WHERE ledger = %s)", (ledger,)).fetchall()
    return bool(found)


def the_one(session: Session, address: Address) -> Row:
    """The ledger that *address* names.

    Raises:
        LedgerRefused: there is none.
        SettingsError: there are several.
    """
    found = session.do(lambda db: matching(db, address))
    if not found:
        raise LedgerRefused(f"there is no ledger {address}")
    if len(found) > 1:
        problem = f"{address} names the ledgers of {len(found)} shards"
        raise SettingsError("LEDGER", problem, f"name one with shard=I/N behind the ?, such as shard={found[0].shard}")
    return found[0]


def members_of(db: Connection, address: Address, *, empty: bool = False) -> list[tuple[Address, Row]]:
    """The ledgers that *address* names, in their order; behind those of a run, those of before that hold something.

    Args:
        db: a session.
        address: of a run.
        empty: also those of earlier divisions that hold nothing any more.

    Raises:
        LedgerRefused: there is none.
    """
    named = matching(db, address)
    if not named:
        raise LedgerRefused(f"there is no ledger {address}")
    if address.shard is not None or named[0].closed:
        return [(_address(address, row), row) for row in named]
    before = [row for row in all_of(db, address.name) if row.division < named[0].division]
    earlier = [row for row in before if empty or holds_something(db, row.id)]
    # What was made in this moment is bound to nothing yet, and holds nothing.
    named = [row for row in named if _is_bound(db, row.id)] or ([] if earlier else named)
    return [(_address(address, row), row) for row in (*named, *earlier)]


def _address(address: Address, row: Row) -> Address:
    shown = Address.read(of_shard(address._replace(shard=None).text(), row.shard or None))
    return shown._replace(division=row.division if row.closed else address.division)


def _find(db: Connection, name: str, shard: str | None, division: int | None) -> list[Row]:
    return [Row(*row) for row in db.execute(_FIND, (name, shard, shard, division, division)).fetchall()]
