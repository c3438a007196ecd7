"""One writer a ledger: each takes the next epoch, and nobody may begin while the last one is heard of.

Three things keep two writers apart, the first alone for certain:

- the *epoch*: who begins takes the next one, and every commit checks its own in its transaction (``fence``). A writer
  that was paused, or cut off, and comes back commits nothing any more, and so sends nothing that it had not declared.
- the *lease*: the present writer renews it, also while it has nothing to commit. Until it runs out another one that
  begins is told that the ledger is in use.
- the *presence*: an advisory lock that the sessions of the present writer hold. When it is free, in the same server in
  which it was taken, the writer is gone, by a kill say, and its lease need not be waited for. A server that was started
  again knows nothing of such locks, so then the lease counts: its writer may be about to come back.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import psycopg

from batcher.errors import LedgerInUse, OutputFailed, RunAborted
from batcher.flow.ledger.address import Address
from batcher.flow.ledger.postgresql import schema
from batcher.flow.ledger.postgresql.dividing import enter, refuse_closed
from batcher.flow.ledger.postgresql.earlier import Earlier
from batcher.flow.ledger.postgresql.finding import patience_of, the_one
from batcher.flow.ledger.postgresql.session import Connection, Session
from batcher.flow.ledger.postgresql.standing import Standing, end_sessions, in_the_way, standing
from batcher.flow.ledger.postgresql.store import PostgresStore, Writer, lost

_LOOK = 0.1
"""Seconds between two looks whether the ledger is free."""
_GLANCE = 0.5
"""Seconds of patience with one that was just killed, until the database has noticed, and with those who only look."""
_RENEWALS = 3
"""How often a lease is renewed while it lasts."""

_TAKE = """
    UPDATE ledger SET epoch = epoch + 1, holder = %s, server = pg_postmaster_start_time(),
        expires = clock_timestamp() + make_interval(secs => %s)
    WHERE id = %s RETURNING epoch"""


class Lease:
    """The right to write a ledger, renewed on a thread of its own until ``close``.

    Args:
        address: of the ledger.
        wait: seconds to wait for another run to end; blocks.
        create: make the ledger where there is none, and the tables; if need be in the next division of its run.
        bound: what such a division is bound to.
        closed: it may be one of an earlier division.

    Raises:
        LedgerInUse: another run has it still.
        LedgerRefused: there is none, or it is closed, or the run cannot be divided so, or the database's ledgers are of
            another format.
        OutputFailed: the database does not let us.
        SettingsError: the address names several.
    """

    def __init__(
        self,
        address: Address,
        wait: float,
        *,
        create: bool,
        bound: Mapping[str, str] | None = None,
        closed: bool = False,
    ) -> None:
        self._address = address
        self._closed = closed
        self._patience = patience_of(address)
        self._session = Session(address, self._patience, "written", self._come_back)
        self._used = threading.Lock()
        self._ended = threading.Event()
        self._lost: Callable[[OutputFailed], None] = lambda _error: None
        self._epoch = 0
        self._trouble: OutputFailed | None = None
        with contextlib.ExitStack() as stack:
            stack.callback(self._session.close)
            if create:
                schema.make(self._session)
            schema.check(self._session)
            self._ledger = 0 if create else the_one(self._session, address).id
            self._take_within(wait, bound or {})
            stack.pop_all()
        self._renewing = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._renewing.start()

    def open(self) -> PostgresStore:
        """The ledger, to be written in this epoch."""
        session = Session(self._address, self._patience, "written", self._show)
        return PostgresStore(session, self._ledger, Writer(self._ledger, self._epoch, self._address.lease))

    def read(self) -> PostgresStore:
        """The ledger, to be read by its writer."""
        return PostgresStore(Session(self._address, self._patience, "read"), self._ledger)

    def earlier(self) -> Earlier | None:
        """What the ledgers of earlier divisions still have, where they have anything."""
        session = Session(self._address, self._patience, "read")
        earlier = Earlier(session, self._address, self._ledger)
        if not earlier.ledgers:
            earlier.close()
            return None
        return earlier

    def on_lost(self, lost: Callable[[OutputFailed], None]) -> None:
        """Tell *lost*, on another thread, once another run has taken it over, or the database is gone for good."""
        self._lost = lost
        if self._trouble is not None:
            lost(self._trouble)

    def close(self) -> None:
        """Let others write."""
        self._ended.set()
        self._patience.over = True  # who ends waits for nothing
        with self._used:
            try:
                self._session.do(self._let_go)
            except RunAborted:
                # It may be of before a restart, since which nothing was asked on it; then another connection does.
                with contextlib.suppress(RunAborted):
                    self._session.do(self._let_go)
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Beginning

    def _take_within(self, wait: float, bound: Mapping[str, str]) -> None:
        now = time.monotonic()
        until = now + max(wait, _GLANCE)
        while (other := self._session.do(lambda db: self._begin(db, bound))) is not None:
            if time.monotonic() >= until:
                waited = f" after {wait:g} s" if wait else ""
                who = f" (it is {other.holder})" if other.live else ""
                place = "" if self._ledger else ", or one in whose place it comes"
                raise LedgerInUse(
                    f"another run is writing the ledger {self._address}{place}{waited}; --ledger-wait S waits so many"
                    f" seconds for its end{who}"
                )
            time.sleep(_LOOK)

    def _begin(self, db: Connection, bound: Mapping[str, str]) -> Standing | None:
        """Enter the run where the ledger is to be made, and take it; who has it instead, where that cannot be."""
        if not self._ledger:
            entered = enter(db, self._address, bound, _me())
            if isinstance(entered, Standing):
                return entered
            self._ledger = entered
        return self._take(db)

    def _take(self, db: Connection) -> Standing | None:
        """Take the ledger; who has it instead, where that cannot be."""
        before = standing(db, self._ledger)
        if before.live:
            return before
        if before.present:  # it was not heard of, but its sessions may be in the midst of something
            end_sessions(db, self._ledger, before.epoch)
        try:
            with db.transaction():
                other = in_the_way(db, self._ledger)
                if not self._closed:  # it may just have been
                    refuse_closed(db, self._ledger, self._address)
                if other is not None:
                    return other
                values = (_me(), self._address.lease, self._ledger)
                [(epoch,)] = db.execute(_TAKE, values).fetchall()
                db.execute("SELECT pg_advisory_lock_shared(presence(%s, %s))", (self._ledger, epoch))
        except psycopg.errors.LockNotAvailable:
            return before
        self._epoch = epoch
        return None

    # While it lasts

    def _show(self, db: Connection) -> None:
        """Let others see by this session that the writer is there."""
        if self._epoch:
            db.execute("SELECT pg_advisory_lock_shared(presence(%s, %s))", (self._ledger, self._epoch))

    def _come_back(self, db: Connection) -> None:
        """The same on a new connection, perhaps to a server that was started again."""
        if self._epoch:
            self._show(db)
            query = "UPDATE ledger SET server = pg_postmaster_start_time() WHERE id = %s AND epoch = %s"
            db.execute(query, (self._ledger, self._epoch))

    def _keep(self) -> None:
        """Renew it until it is let go of, or lost."""
        while not self._ended.wait(self._address.lease / _RENEWALS):
            try:
                with self._used:
                    self._session.do(self._renew)
            except RunAborted as error:
                if not self._ended.is_set():
                    self._trouble = error if isinstance(error, OutputFailed) else OutputFailed(str(error))
                    self._lost(self._trouble)
                return

    def _renew(self, db: Connection) -> None:
        query = "UPDATE ledger SET expires = clock_timestamp() + make_interval(secs => %s) WHERE id = %s AND epoch = %s"
        if not db.execute(query, (self._address.lease, self._ledger, self._epoch)).rowcount:
            row = db.execute("SELECT holder FROM ledger WHERE id = %s", (self._ledger,)).fetchone()
            raise lost(str(self._address), "somebody who has deleted it" if row is None else row[0])

    def _let_go(self, db: Connection) -> None:
        query = "UPDATE ledger SET expires = '-infinity' WHERE id = %s AND epoch = %s"
        db.execute(query, (self._ledger, self._epoch))


def _me() -> str:
    return f"{socket.gethostname()}, process {os.getpid()}"
