"""Which ledgers of a database an address means."""

from __future__ import annotations

import contextlib

from batcher.errors import LedgerRefused, SettingsError
from batcher.flow.ledger.address import Address, of_shard
from batcher.flow.ledger.postgresql import schema
from batcher.flow.ledger.postgresql.session import Patience, Session

_PATIENCE = 2.0
"""Leases for which a database that was there is waited for."""


def patience_of(address: Address) -> Patience:
    """How long the database is waited for."""
    return Patience(_PATIENCE * address.lease)


def the_one(session: Session, address: Address) -> tuple[int, str]:
    """Number and shard of the ledger that *address* names.

    Raises:
        LedgerRefused: there is none.
        SettingsError: there are several.
    """
    found = _find(session, address)
    if not found:
        raise LedgerRefused(f"there is no ledger {address}")
    if len(found) > 1:
        problem = f"{address} names the ledgers of {len(found)} shards"
        raise SettingsError("LEDGER", problem, f"name one with shard=I/N behind the ?, such as shard={found[0][1]}")
    return found[0]


def members_of(address: Address) -> tuple[str, ...]:
    """The ledgers of all shards that *address* names, in their order.

    Raises:
        LedgerRefused: there is none.
        OutputFailed: the database cannot be read.
    """
    session = Session(address, patience_of(address), "read", primary=False)
    with contextlib.closing(session):
        schema.check(session)
        found = _find(session, address)
    if not found:
        raise LedgerRefused(f"there is no ledger {address}")
    shards = sorted((shard for _, shard in found), key=lambda shard: [int(part) for part in shard.split("/") if part])
    return tuple(of_shard(address.text(), shard or None) for shard in shards)


def _find(session: Session, address: Address) -> list[tuple[int, str]]:
    query = "SELECT id, shard FROM ledger WHERE name = %s AND (%s::text IS NULL OR shard = %s) ORDER BY id"
    values = (address.name, address.shard, address.shard)
    return session.do(lambda db: db.execute(query, values).fetchall())
