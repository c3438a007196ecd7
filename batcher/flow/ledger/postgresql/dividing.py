"""Which division into shards a run has, and how it gets another one.

A run begins with one division, by the number of its shards (none is a number of its own). A shard of another number
begins the next division: in one transaction the ledgers of the present one are closed, each as a takeover would take
it, and the first ledger of the new one is made. Whoever enters a run waits for the one before, so there is one present
division at any time, and of two that would begin another one each the second finds that of the first.

A closed ledger is never opened again: a run that goes back to an earlier number of shards gets new ledgers. Lest a
shard of an earlier division that is late does so by itself, that needs to be asked for, by ``division=K``.
"""

from __future__ import annotations

from collections.abc import Mapping

import psycopg

from batcher.errors import LedgerRefused
from batcher.flow.ledger.address import Address
from batcher.flow.ledger.postgresql.finding import Row, all_of
from batcher.flow.ledger.postgresql.session import Connection
from batcher.flow.ledger.postgresql.standing import Standing, end_sessions, in_the_way, standing

_ENTERING = "SELECT pg_advisory_xact_lock(hashtextextended('veetro-batch: entering ' || %s, 0))"
_MAKE = "INSERT INTO ledger (name, shard, division) VALUES (%s, %s, %s) RETURNING id"
_CLOSE = """UPDATE ledger SET epoch = epoch + 1, holder = %s, expires = '-infinity', closed = true WHERE id = ANY(%s)"""
_BY_RANGE = """SELECT value FROM meta WHERE ledger = ANY(%s) AND name = 'shard' AND value LIKE '%%by range' LIMIT 1"""
_OTHERS = """SELECT meta.name, meta.value, mine.value FROM meta
    JOIN unnest(%s::text[], %s::text[]) AS mine (name, value) ON mine.name = meta.name
    WHERE meta.ledger = ANY(%s) AND meta.value <> mine.value LIMIT 1"""


def enter(db: Connection, address: Address, bound: Mapping[str, str], me: str) -> int | Standing:
    """The number of the ledger at *address*, which is made where there is none; or who keeps its division from ending.

    Args:
        db: a session.
        address: of the ledger.
        bound: what the run is bound to, which another division of it must be as well.
        me: the writer, for people.

    Raises:
        LedgerRefused: the run is divided otherwise, and this cannot be its next division.
    """
    try:
        with db.transaction():
            return _enter(db, address, bound, me)
    except psycopg.errors.LockNotAvailable:
        return Standing(0, "one that begins", leased=True, present=True)


def refuse_closed(db: Connection, ledger: int, address: Address) -> None:
    """Raise ``LedgerRefused`` where the *ledger* of this number, at *address*, is of an earlier division."""
    [(closed,)] = db.execute("SELECT closed FROM ledger WHERE id = %s", (ledger,)).fetchall()
    if closed:
        [present, *_] = all_of(db, address.name)
        raise LedgerRefused(
            f"the ledger {address} is closed: its run was divided anew and has {words(present)} now, which take over"
            " its records"
        )


def words(row: Row) -> str:
    """The division of a ledger."""
    if not row.shard:
        return "no shards"
    return f"{row.shards} shards" if row.shards > 1 else "1 shard"


def _enter(db: Connection, address: Address, bound: Mapping[str, str], me: str) -> int | Standing:
    shard = address.shard or ""
    db.execute(_ENTERING, (address.name,))
    found = all_of(db, address.name)
    division = _division_of(found, address, shard)
    for row in found:
        if (row.division, row.shard) == (division, shard):
            return row.id
    if found and division > found[0].division:
        present = [row for row in found if row.division == found[0].division]
        _refuse_others(db, found, present, address, bound)
        if (other := _close(db, present, me)) is not None:
            return other
    [(ledger,)] = db.execute(_MAKE, (address.name, shard, division)).fetchall()
    return int(ledger)


def _division_of(found: list[Row], address: Address, shard: str) -> int:
    """Which division of the run *shard* belongs to: the present one or the next."""
    if not found:
        if address.division not in (None, 1):
            raise LedgerRefused(f"there is no ledger {address}: its run has not begun; leave division= out")
        return 1
    present = found[0]
    same = _number(present.shard) == _number(shard)
    if same and address.division in (None, present.division):
        return present.division
    if not same and address.division == present.division + 1:
        return present.division + 1
    if address.division is not None:
        raise LedgerRefused(
            f"the ledger {address} cannot be written: its run has {words(present)}, in division {present.division};"
            f" division={present.division + 1} is for the first runs that divide it otherwise"
        )
    if any(_number(row.shard) == _number(shard) for row in found):
        raise LedgerRefused(
            f"the ledger {address} is closed: its run was divided anew, and has {words(present)} now; if this is not"
            f" a shard of before that is late, add division={present.division + 1} behind the ? to divide it so again"
        )
    return present.division + 1


def _number(shard: str) -> str:
    return shard.partition("/")[2]


def _refuse_others(
    db: Connection, found: list[Row], present: list[Row], address: Address, bound: Mapping[str, str]
) -> None:
    """Raise ``LedgerRefused`` where this is another run, or one whose records have no place in the whole input."""
    ledgers = [row.id for row in found]
    those = words(present[0]) if present[0].shard else "that of a whole run"
    beside = f"the ledger {address} would stand beside {those} of the same name"
    remedy = "go on with as many as before, or give it another name, with ledger=NAME behind the ?"
    ranges = db.execute(_BY_RANGE, (ledgers,)).fetchone()
    if ranges is not None or bound.get("shard", "").endswith("by range"):
        raise LedgerRefused(
            f"{beside}, and shards by range keep their number: their records are counted from where each range begins,"
            f" so nobody can tell them in another division; {remedy}"
        )
    skipped = bound.get("skip", "0")
    if skipped != "0":
        raise LedgerRefused(f"{beside}, and a run with --skip keeps its shards: each has left out its own; {remedy}")
    ours = {name: value for name, value in bound.items() if name != "shard"}
    other = db.execute(_OTHERS, (list(ours), list(ours.values()), ledgers)).fetchone()
    if other is not None:
        name, theirs, mine = other
        raise LedgerRefused(f"{beside}, bound to {name} {theirs}, and this run has {mine}; {remedy}")


def _close(db: Connection, present: list[Row], me: str) -> Standing | None:
    """Close all ledgers of a division, within a transaction; or who writes one of them."""
    ledgers = sorted(row.id for row in present)
    for ledger in ledgers:
        before = standing(db, ledger)
        if before.live:
            return before
        if before.present:  # it was not heard of, but its sessions may be in the midst of something
            end_sessions(db, ledger, before.epoch)
        if (other := in_the_way(db, ledger)) is not None:
            return other
    db.execute(_CLOSE, (me, ledgers))
    return None
