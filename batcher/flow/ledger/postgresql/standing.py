"""Who writes a ledger now, as the database can see it; see ``lease`` for what it means."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import psycopg

from batcher.errors import LedgerRefused
from batcher.flow.ledger.address import Address
from batcher.flow.ledger.postgresql import schema
from batcher.flow.ledger.postgresql.finding import matching, patience_of, the_one
from batcher.flow.ledger.postgresql.session import Connection, Session

_HOLDS = """locktype = 'advisory' AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32) | objid::bigint"""
"""Of ``pg_locks``: the sessions that hold the advisory lock of this key."""
_STANDING = f"""
    SELECT epoch, holder, expires > clock_timestamp() AS leased,
        server IS DISTINCT FROM pg_postmaster_start_time()
        OR EXISTS (SELECT FROM pg_locks WHERE {_HOLDS} = presence(ledger.id, ledger.epoch)) AS present
    FROM ledger WHERE id = %s""".encode()  # noqa: S608 - ours
_END_SESSIONS = f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE {_HOLDS} = presence(%s, %s)".encode()  # noqa: S608
LOOKING = "hashtextextended(format('veetro-batch: looking at %%s', %s::integer), 0)"
"""Key of the lock that those share who make sure that nobody writes; who begins to write needs it alone."""


class Standing(NamedTuple):
    """Who writes a ledger.

    Attributes:
        epoch: of the last writer.
        holder: who that is, for people.
        leased: its lease has not run out.
        present: it may be there: its sessions are, or nobody can tell.
    """

    epoch: int
    holder: str
    leased: bool
    present: bool

    @property
    def live(self) -> bool:
        """Whether nobody else may begin."""
        return self.leased and self.present


def standing(db: Connection, ledger: int) -> Standing:
    """Who writes the *ledger* of this number.

    Raises:
        LedgerRefused: it is gone.
    """
    row = db.execute(_STANDING, (ledger,)).fetchone()
    if row is None:
        raise LedgerRefused("the ledger was deleted while it was looked at")
    return Standing(*row)


def end_sessions(db: Connection, ledger: int, epoch: int) -> None:
    """End the sessions of the writer of an *epoch*, where we may."""
    with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
        db.execute(_END_SESSIONS, (ledger, epoch))


def in_the_way(db: Connection, ledger: int) -> Standing | None:
    """Who keeps *ledger* from being taken; None for nobody, and until the present transaction ends nobody can be."""
    [(free,)] = db.execute(f"SELECT pg_try_advisory_xact_lock({LOOKING})", (ledger,)).fetchall()
    db.execute("SELECT FROM ledger WHERE id = %s FOR UPDATE", (ledger,))
    now = standing(db, ledger)
    return now if now.live or not free else None


def _is_any_live(db: Connection, address: Address) -> bool:
    found = matching(db, address) or matching(db, address._replace(shard=None, division=None))
    return any(standing(db, row.id).live for row in found)


@contextlib.contextmanager
def standing_still(address: Address) -> Iterator[bool]:
    """Whether no run writes the ledger at *address*; if so none can begin to within the block."""
    session = Session(address, patience_of(address), "read")
    with contextlib.closing(session):
        schema.check(session)
        ledger = the_one(session, address).id
        query = f"SELECT pg_try_advisory_lock_shared({LOOKING})"
        [(held,)] = session.do(lambda db: db.execute(query, (ledger,)).fetchall())
        session.steady = True  # the lock would be gone with the connection
        yield held and not session.do(lambda db: standing(db, ledger)).live


def is_written(address: Address) -> bool:
    """Whether a run writes the ledger at *address*; where it is not there yet, one of those before it."""
    session = Session(address, patience_of(address), "read", primary=False)
    with contextlib.closing(session):
        schema.check(session)
        return session.do(lambda db: _is_any_live(db, address))
