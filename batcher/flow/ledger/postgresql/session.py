"""A connection to the database that comes back: what was asked for when it was lost is asked for again."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from batcher.errors import OutputFailed, RunAborted, SettingsError
from batcher.flow.ledger.address import Address
from batcher.flow.ledger.postgresql.schema import SCHEMA
from batcher.flow.ledger.postgresql.troubles import in_words, passes
from batcher.values import Mask, Secret

Connection: TypeAlias = "psycopg.Connection"
T = TypeVar("T")

# What it warns of, a pipeline that ended with its connection, is raised as well, and dealt with here.
logging.getLogger("psycopg").setLevel(logging.CRITICAL)

_FIRST_WAIT, _LONGEST_WAIT = 0.05, 1.0
_BEGIN = """SELECT set_config('search_path', %s, false), set_config('lock_timeout', %s, false),
    set_config('default_transaction_isolation', 'read committed', false),
    set_config('synchronous_commit', CASE current_setting('synchronous_commit')
        WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)"""
"""What is committed is on the disk of the database, and who has waited for a lock sees what the one before has done,
whatever the database does for others."""
_BEGINNING = ("starting up", "shutting down", "in recovery mode")
"""A database that is about to come is waited for, also by who has not been there before."""
_LOCK_S = 5
"""Seconds for which a row is waited for that another writer has locked."""


@dataclass
class Patience:
    """How long a database that was there is waited for, by all sessions of a run together.

    Attributes:
        seconds: for each time that it is gone.
        been_there: it was: one that was not is a wrong address, and not waited for.
        over: it did not come back; now it is tried once each time, and not waited for.
    """

    seconds: float
    been_there: bool = False
    over: bool = False


class Session:
    """A connection that is made when it is first needed, and again when it was lost. For one thread at a time.

    Args:
        address: of the database.
        patience: with it.
        what: ``read`` or ``written``, for errors.
        prepare: is done first on each connection.
        primary: it must be with the server that is written, where the address names several.

    Attributes:
        name: of the ledger, for people.
        steady: whatever was begun would be lost with the connection, so it is not made anew.
    """

    def __init__(
        self,
        address: Address,
        patience: Patience,
        what: str,
        prepare: Callable[[Connection], None] = lambda _db: None,
        *,
        primary: bool = True,
    ) -> None:
        self.name = str(address)
        self.steady = False
        self._address = address
        self._patience = patience
        self._what = what
        self._prepare = prepare
        self._primary = primary
        self._db: Connection | None = None
        self._closed = threading.Event()

    def do(self, work: Callable[[Connection], T], *, again: bool = True) -> T:
        """What *work* gives, which is done again on another connection if the one that it had was lost.

        Args:
            work: to be done; it may be done more than once.
            again: whether that may be.

        Raises:
            LedgerRefused: what was found is no ledger, or a damaged one.
            OutputFailed: the database refuses, or did not come back in time.
            SettingsError: the address is none.
        """
        until, wait = None, _FIRST_WAIT
        while True:
            try:
                return work(self._connected())
            except psycopg.Error as error:
                words = in_words(error, self.name, self._what)
                if words is None:
                    raise
                self.drop()
                now = time.monotonic()
                until = until or now + self._patience.seconds
                if not passes(error) or not again or self.steady or not self._waits_for(error):
                    raise self._hidden(words) from None
                if now >= until:
                    self._patience.over = True
                    waited = f"the database did not come back within {self._patience.seconds:g} s"
                    raise self._hidden(type(words)(f"{words}; {waited}")) from None
            self._closed.wait(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read within is of one instant; within another one, of that one's."""
        if self.steady:
            yield
            return
        self.do(lambda db: db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        self.steady = True
        try:
            yield
        finally:
            self.steady = False
            with contextlib.suppress(OutputFailed):
                self.do(lambda db: db.execute("ROLLBACK"), again=False)

    def drop(self) -> None:
        """Let go of the connection; the next thing that is to be done makes another one."""
        if self._db is not None:
            with contextlib.suppress(psycopg.Error):
                self._db.close()
            self._db = None

    def stop(self) -> None:
        """Make no other connection; whatever thread waits for one waits no longer."""
        self._closed.set()

    def close(self) -> None:
        """Let go of the connection for good."""
        self.stop()
        self.drop()

    def _waits_for(self, error: psycopg.Error) -> bool:
        """Whether the database is waited for: one that was there, or says that it is about to be."""
        return not self._patience.over and (self._patience.been_there or any(word in str(error) for word in _BEGINNING))

    def _connected(self) -> Connection:
        if self._closed.is_set():
            raise OutputFailed(f"the ledger {self.name} cannot be {self._what}: it was let go of")
        if self._db is None:
            db = psycopg.connect(make_conninfo(**self._parameters()), autocommit=True)
            try:
                db.execute(_BEGIN, (SCHEMA, f"{_LOCK_S}s"))
                self._prepare(db)
            except BaseException:
                db.close()
                raise
            self._db, self._patience.been_there = db, True
        return self._db

    def _parameters(self) -> dict[str, str]:
        """What libpq is told: the address, and what makes it notice that a connection is dead."""
        alive = {
            "application_name": "veetro-batch",
            "connect_timeout": "10",
            "keepalives_idle": "10",
            "keepalives_interval": "5",
            "keepalives_count": "3",
            "tcp_user_timeout": str(int(1000 * min(self._address.lease, 30))),
        }
        ours = {"client_encoding": "utf8"} | ({"target_session_attrs": "read-write"} if self._primary else {})
        return alive | _taken_apart(self._address) | ours

    def _hidden(self, error: RunAborted) -> RunAborted:
        """*error* without the password, should somebody have quoted it."""
        mask = Mask()
        mask.add(Secret(_taken_apart(self._address).get("password", "")))
        return type(error)(mask.hide(str(error)))


def _taken_apart(address: Address) -> dict[str, str]:
    try:
        return {name: str(value) for name, value in conninfo_to_dict(address.connection).items()}
    except psycopg.Error:  # whose text may quote a password
        raise SettingsError("--ledger", f"{address} is no address that PostgreSQL's library takes") from None
