"""Who writes a ledger in these tests, and what."""

from __future__ import annotations

import threading
from collections.abc import Callable

from batcher.core.verdict import Outcome
from batcher.flow.ledger.access import hold
from batcher.flow.ledger.address import Address
from batcher.flow.ledger.commit import Commit
from batcher.flow.ledger.postgresql.lease import Lease
from tests.postgresql.server import Server

OUTCOME = Commit(records={Outcome.DELIVERED: {1: 1}})
INTENT = Commit(windows={1: {1: 1}})


def until(condition: Callable[[], bool]) -> None:
    """Look at the world until *condition* holds; the test's time limit ends a wait in vain."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.02)


def run_out(postgresql: Server, ledger: str) -> None:
    """The lease of *ledger* is over: its writer was not heard of for so long."""
    with postgresql.connect() as db:
        db.execute("UPDATE ledger SET expires = '-infinity' WHERE name = %s", (Address.read(ledger).name,))


def taken(ledger: str) -> Lease:
    lease = hold(ledger, create=True)
    assert isinstance(lease, Lease)
    return lease
