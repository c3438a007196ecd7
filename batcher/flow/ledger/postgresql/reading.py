"""Ledgers of a database that are opened to be read: one, or all of a run as they are at one instant."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from batcher.flow.ledger.address import Address
from batcher.flow.ledger.postgresql import schema
from batcher.flow.ledger.postgresql.finding import members_of, patience_of, the_one
from batcher.flow.ledger.postgresql.session import Session
from batcher.flow.ledger.postgresql.store import PostgresStore


def open_store(address: Address) -> PostgresStore:
    """The ledger at *address*, to be read.

    Raises:
        LedgerRefused: there is none.
        OutputFailed: the database cannot be read.
    """
    session = Session(address, patience_of(address), "read", primary=False)
    with contextlib.ExitStack() as stack:
        stack.callback(session.close)
        schema.check(session)
        found = the_one(session, address)
        store = PostgresStore(session, found.id, row=found)
        stack.pop_all()
    return store


@contextlib.contextmanager
def open_together(addresses: Sequence[Address], *, empty: bool = False) -> Iterator[list[tuple[str, PostgresStore]]]:
    """The ledgers that *addresses* of one database name, with where each is, to be read as they are at one instant.

    Raises:
        LedgerRefused: there is none.
        OutputFailed: the database cannot be read.
    """
    session = Session(addresses[0], patience_of(addresses[0]), "read", primary=False)
    with contextlib.closing(session):
        schema.check(session)
        with session.snapshot():
            found = session.do(
                lambda db: [member for address in addresses for member in members_of(db, address, empty=empty)]
            )
            yield [(where.text(), PostgresStore(session, row.id, name=str(where), row=row)) for where, row in found]


def list_members(address: Address, *, empty: bool = False) -> tuple[str, ...]:
    """The ledgers that *address* names; see ``members_of``."""
    session = Session(address, patience_of(address), "read", primary=False)
    with contextlib.closing(session):
        schema.check(session)
        return tuple(where.text() for where, _ in session.do(lambda db: members_of(db, address, empty=empty)))
