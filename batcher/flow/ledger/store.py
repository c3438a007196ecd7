"""The ledger's file: what is durable, and how it is read again.

One transaction carries all that happened since the last one: what is about to be sent (a *window* of intents), which
intents are settled, the outcomes, and the result lines. So at any instant of a crash the file says of each record one
of three things: it has its outcome; it may have been sent; it was certainly not sent.

============  ========================================================================================================
table         holds
============  ========================================================================================================
``meta``      what the ledger is bound to, and the concurrency limit that was found
``record``    a row for each record that has its outcome: its ordinal in the input, its line's hash, the outcome
``reopened``  a row for each record that had its outcome and is to get another one: see ``reopen``
``intent``    a row for each window of records that may have been sent and have no outcome: JSON, ordinal → hash
``lines``     a row for each commit: its result and rejects lines, whose they are, and where they end in their files
``total``     how many records have each outcome: the sum of ``record``, kept by triggers
``run``       a row for each run: see ``runs``
``output``    the files that the lines were written to, and how many bytes of each are accounted for
============  ========================================================================================================

Every method blocks; the writer calls them on a thread of its own.
"""

from __future__ import annotations

import array
import contextlib
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import orjson

from batcher.core.result import Origin
from batcher.core.verdict import Outcome
from batcher.errors import LedgerRefused
from batcher.flow.ledger import runs
from batcher.flow.ledger.commit import Commit
from batcher.flow.ledger.opening import failing, merge, open_to_read, open_to_write, transaction
from batcher.flow.ledger.packing import Packer, unpack
from batcher.flow.ledger.rows import Kind, Known, Reopened

_AT_ONCE = 256
"""Commits that are asked for together while one looks for some records' lines."""


class Store:
    """An open ledger file.

    For reading it needs no leave to write, and may be open in any number of processes while one writes: no method
    holds on to what it read, so the WAL does not grow because somebody reads slowly.

    Args:
        path: of the file.
        create: open it for writing, and make it where there is none.
        write: open an existing one for writing.

    Raises:
        LedgerRefused: it is no ledger of this format, or is not there.
        OutputFailed: it cannot be opened.
    """

    def __init__(self, path: str, *, create: bool = False, write: bool = False) -> None:
        self._path = path
        writes = create or write
        self._what = "written" if writes else "read"
        self._used = threading.RLock()
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
        """Bind a new ledger to *identity*.

        Raises:
            LedgerRefused: it is bound to another one; the first difference is named.
            OutputFailed: it cannot be written.
        """
        with self._failing(), transaction(self._db):
            for name, given in identity.items():
                value = given.encode(errors="backslashreplace").decode()  # bytes of an argument that are no text
                self._db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, value))
                (bound,) = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
                if bound != value:
                    raise LedgerRefused(f"the ledger {self._path} belongs to {name} {bound}, and this run has {value}")

    def value(self, name: str) -> str | int | None:
        """What ``meta`` holds under *name*."""
        row = self._row("SELECT value FROM meta WHERE name = ?", name)
        return None if row is None else row[0]

    def counts(self) -> dict[Outcome, int]:
        """How many records have each outcome."""
        counts = dict.fromkeys(Outcome, 0)
        rows = self._rows("SELECT outcome, records FROM total")
        with self._damaged("totals"):
            return counts | {Outcome(outcome): int(count) for outcome, count in rows}

    def last(self) -> int:
        """The ordinal of the last record that the ledger knows anything of; 0 for none."""
        rows = self._rows("SELECT max(ordinal) FROM record UNION ALL SELECT max(ordinal) FROM reopened")
        return max([*(last or 0 for (last,) in rows), *self.doubtful()])

    def known(self, first: int, last: int) -> dict[int, Known]:
        """The records from ordinal *first* to *last* that have their outcome."""
        rows = self._rows("SELECT ordinal, hash, outcome FROM record WHERE ordinal BETWEEN ? AND ?", first, last)
        with self._damaged("outcomes"):
            return {ordinal: Known(line, Outcome(outcome)) for ordinal, line, outcome in rows}

    def reopened(self, first: int, last: int) -> dict[int, Reopened]:
        """The records from ordinal *first* to *last* that are open again."""
        rows = self._rows("SELECT ordinal, hash, origin FROM reopened WHERE ordinal BETWEEN ? AND ?", first, last)
        with self._damaged("reopened records"):
            return {ordinal: Reopened(line, Origin.read(origin)) for ordinal, line, origin in rows}

    def windows(self) -> dict[int, dict[int, int]]:
        """By window: the records, ordinal → hash, that may have been sent and have no outcome."""
        rows = self._rows("SELECT id, records FROM intent")
        with self._damaged("intents"):
            return {
                number: {int(ordinal): line for ordinal, line in orjson.loads(records).items()}
                for number, records in rows
            }

    def doubtful(self) -> dict[int, int]:
        """All records, ordinal → hash, that may have been sent and have no outcome."""
        return {ordinal: line for window in self.windows().values() for ordinal, line in window.items()}

    def lines(self, kind: Kind, skip: int = 0) -> Iterator[bytes]:
        """All lines of a kind in the order of their commits, a piece a commit, each read when asked for.

        Args:
            kind: which.
            skip: leave out so many bytes at the beginning; the first piece may begin within a line then.
        """
        query = f"SELECT id, {kind}_end, {kind} FROM lines WHERE id > ? AND {kind}_end > ? ORDER BY id LIMIT 1"  # noqa: S608 - ours
        number = 0
        while row := self._row(query, number, skip):
            number, end, packed = row
            yield self._unpack(packed, kind, number)[skip - end :]
            skip = end

    def told(self, kind: Kind) -> Iterator[list[tuple[int, bytes]]]:
        """All lines of a kind with their records' ordinals, in the order of their commits, a list a commit.

        Raises:
            LedgerRefused: it is not told whose each line is.
        """
        query = f"SELECT id, {kind}_of, {kind} FROM lines WHERE id > ? AND length({kind}) > 0 ORDER BY id LIMIT 1"  # noqa: S608
        number = 0
        while row := self._row(query, number):
            number, of, packed = row
            yield self._told(kind, number, of, packed)

    def latest(self, kind: Kind, ordinals: Collection[int]) -> dict[int, bytes]:
        """The last line of a kind of each of these records, by ordinal; only commits that have one are unpacked.

        Raises:
            LedgerRefused: it is not told whose each line is.
        """
        query = f"SELECT id, {kind}_of FROM lines WHERE id < ? AND length({kind}_of) > 0 ORDER BY id DESC LIMIT ?"  # noqa: S608
        found: dict[int, bytes] = {}
        missing, number = set(ordinals), 2**63 - 1
        while missing and (rows := self._rows(query, number, _AT_ONCE)):
            for number, of in rows:
                if missing.isdisjoint(self._ordinals(of, kind, number)):
                    continue
                packed = self._row(f"SELECT {kind} FROM lines WHERE id = ?", number)[0]  # noqa: S608 - as above
                told = dict(self._told(kind, number, of, packed))
                found |= {ordinal: told[ordinal] for ordinal in missing & told.keys()}
                missing -= told.keys()
        return found

    def _told(self, kind: Kind, number: int, of: bytes, packed: bytes) -> list[tuple[int, bytes]]:
        lines = self._unpack(packed, kind, number).split(b"\n")[:-1]
        ordinals = self._ordinals(of, kind, number)
        if len(ordinals) != len(lines):
            raise LedgerRefused(f"the ledger {self._path} is damaged: {kind} of commit {number} belong to no records")
        return list(zip(ordinals, lines, strict=True))

    def _unpack(self, packed: bytes, kind: Kind, number: int) -> bytes:
        try:
            return unpack(packed)
        except ValueError as error:
            raise LedgerRefused(f"the ledger {self._path} is damaged: {kind} of commit {number}: {error}") from error

    def _ordinals(self, packed: bytes, kind: Kind, number: int) -> Sequence[int]:
        return array.array("q", self._unpack(packed, kind, number))

    def accounted(self, path: str) -> int | None:
        """Bytes of the output file *path* that are accounted for; None for a file that the ledger does not know."""
        row = self._row("SELECT accounted FROM output WHERE path = ?", path)
        return None if row is None else row[0]

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
        """Make *commit* durable: all of it, or nothing.

        Raises:
            OutputFailed: it cannot be written; what was committed before is whole. After a crash that follows, this
                commit may be found to be there all the same: the disk refused to confirm it, not to hold it.
        """
        statements = list(commit.statements(self._packer))  # what costs time without the database comes before it
        with self.writing() as db:
            for query, values in statements:
                db.execute(query, values)
            if commit.reading is not None:
                runs.read_on(db, commit.reading)
            if commit.account is not None:
                runs.keep(db, commit.account)

    def _rows(self, query: str, *values: str | int) -> list[Any]:
        with self._failing():
            return self._db.execute(query, values).fetchall()

    def _row(self, query: str, *values: str | int) -> Any:
        rows = self._rows(query, *values)
        return rows[0] if rows else None

    @contextlib.contextmanager
    def _damaged(self, what: str) -> Iterator[None]:
        """What was read, *what*, is made sense of within."""
        try:
            yield
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LedgerRefused(f"the ledger {self._path} is damaged: {what} cannot be read: {error}") from error

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        with self._used, failing(self._path, self._what):
            yield
