"""The ledger's file: what is durable is written here; see ``batcher.flow.ledger.store`` for what is in it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from batcher.core.result import Origin
from batcher.errors import LedgerRefused
from batcher.flow.ledger.commit import Commit
from batcher.flow.ledger.packing import Packer
from batcher.flow.ledger.rows import OpenAgain, place
from batcher.flow.ledger.sqlite.opening import failing, merge, open_to_read, open_to_write, transaction
from batcher.flow.ledger.store import Store

_LAST_RUN = "id = (SELECT max(id) FROM run)"


class SqliteStore(Store):
    """An open ledger file.

    No reader holds on to what it read, so the WAL does not grow because somebody reads slowly.

    Args:
        path: of the file.
        create: open it for writing, and make it where there is none.
        write: open an existing one for writing.

    Raises:
        LedgerRefused: it is no ledger of this format, or is not there.
        OutputFailed: it cannot be opened.
    """

    def __init__(self, path: str, *, create: bool = False, write: bool = False) -> None:
        super().__init__(path, "true", "(SELECT value FROM json_each(?))")
        writes = create or write
        self._what = "written" if writes else "read"
        self._packer = Packer()
        self._db = open_to_write(path, create=create) if writes else open_to_read(path)

    def close(self) -> None:
        """Let go of the file, once a thread that still reads it is done: SQLite would crash the process under it."""
        with self._used:
            if self._what == "written":
                merge(self._db)
            self._db.close()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """What a reader reads within is of one instant. To be left soon: the WAL can only grow meanwhile."""
        with self._failing():
            self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("ROLLBACK")

    def bind(self, identity: Mapping[str, str]) -> None:
        """Bind a new ledger to *identity*, or refuse another one."""
        with self.writing() as db:
            for name, given in identity.items():
                value = given.encode(errors="backslashreplace").decode()  # bytes of an argument that are no text
                db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, value))
                (bound,) = db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
                if bound != value:
                    raise LedgerRefused(f"the ledger {self.name} belongs to {name} {bound}, and this run has {value}")

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The database, for a query that is read to its end within."""
        with self._failing():
            yield self._db

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The database within a transaction: what is written is durable behind it, all of it or nothing.

        Raises:
            OutputFailed: it cannot be written.
        """
        with self._failing(), transaction(self._db):
            yield self._db

    def commit(self, commit: Commit) -> None:
        """Make *commit* durable, all of it or nothing."""
        statements = list(commit.statements(self._packer))  # what costs time without the database comes before it
        with self.writing() as db:
            for query, values in statements:
                db.execute(query, values)
            if commit.reading is not None:
                db.execute(
                    f"UPDATE run SET updated = ?, records = ?, bytes = ?, size = ?, whole = ? WHERE {_LAST_RUN}",  # noqa: S608 - ours
                    commit.reading,
                )
            if commit.account is not None:
                db.execute(f"UPDATE run SET account = ? WHERE {_LAST_RUN}", (commit.account,))  # noqa: S608 - ours

    def open_again(self, records: Iterable[OpenAgain], stale: Iterable[int] | None = None) -> None:
        """Open *records* again, all or none."""
        with self.writing() as db:
            if stale is not None:
                db.execute("UPDATE reopened SET stale = 0 WHERE stale")
            for record in records:
                self._open_one(db, record)
            if stale is not None:
                db.executemany("UPDATE reopened SET stale = 1 WHERE ordinal = ?", ((ordinal,) for ordinal in stale))

    def _open_one(self, db: sqlite3.Connection, record: OpenAgain) -> None:
        ordinal, number, origin, _ = record
        gone = db.execute("DELETE FROM record WHERE ordinal = ? AND hash = ?", (ordinal, number)).rowcount
        again = db.execute("SELECT hash FROM reopened WHERE ordinal = ?", (ordinal,)).fetchone()
        if not (gone or again == (number,)):
            where = place(Origin.read(origin))
            raise LedgerRefused(f"the ledger {self.name} is damaged: {where} is another record")
        db.execute("INSERT OR REPLACE INTO reopened (ordinal, hash, origin, raw) VALUES (?, ?, ?, ?)", record)

    def begin_run(self, now: float, earlier: int, *, again: bool) -> None:
        """A run begins."""
        with self.writing() as db:
            db.execute(
                "INSERT INTO run (started, updated, earlier, again) VALUES (?, ?, ?, ?)", (now, now, earlier, again)
            )

    def end_run(self, now: float, exit_code: int, account: bytes) -> None:
        """The last run has ended."""
        with self.writing() as db:
            db.execute(
                f"UPDATE run SET ended = ?, exit_code = ?, account = ? WHERE {_LAST_RUN}",  # noqa: S608 - ours
                (now, exit_code, account),
            )

    def _rows(self, query: str, *values: str | int) -> list[Any]:
        with self._failing():
            return self._db.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        with self._used, failing(self.name, self._what):
            yield
