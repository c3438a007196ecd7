"""A ledger among the many of a database: what it takes is written here, what it tells is read as from a file.

Every transaction has a ``fence``: it fails where another run has taken the ledger over, or where its number is not the
next one, and all of the transaction with it. A commit is one call of the function ``keep``: one round trip.
"""

from __future__ import annotations

import contextlib
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import psycopg

from batcher.core.result import Origin
from batcher.errors import LedgerLost, LedgerRefused, OutputFailed
from batcher.flow.ledger.commit import Commit
from batcher.flow.ledger.packing import Packer
from batcher.flow.ledger.postgresql import schema
from batcher.flow.ledger.postgresql.finding import Row
from batcher.flow.ledger.postgresql.moving import Reaches, take
from batcher.flow.ledger.postgresql.session import Connection, Session
from batcher.flow.ledger.postgresql.statements import KEEP, values_of
from batcher.flow.ledger.rows import OpenAgain, place
from batcher.flow.ledger.store import Store

_MANY = 500
_IS_NEXT = "SELECT 1 FROM ledger WHERE (id, epoch) = (%s, %s) AND commits = %s - 1"
_OPEN = """
    WITH given (ordinal, hash, origin, raw) AS (
            SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::bytea[])
        ),
        gone AS (
            DELETE FROM record USING given
            WHERE record.ledger = %s AND record.ordinal = given.ordinal AND record.hash = given.hash
            RETURNING record.ordinal
        )
    INSERT INTO reopened (ledger, ordinal, hash, origin, raw)
    SELECT %s, ordinal, hash, origin, raw FROM given
    WHERE ordinal IN (SELECT ordinal FROM gone)
        OR EXISTS (SELECT FROM reopened AS r WHERE (r.ledger, r.ordinal, r.hash) = (%s, given.ordinal, given.hash))
    ON CONFLICT (ledger, ordinal)
    DO UPDATE SET hash = excluded.hash, origin = excluded.origin, raw = excluded.raw, stale = false
    RETURNING ordinal"""
_BEGIN_RUN = """INSERT INTO run (ledger, id, started, updated, earlier, again)
    SELECT %s, coalesce(max(id), 0) + 1, %s, %s, %s, %s FROM run WHERE ledger = %s"""
_END_RUN = """UPDATE run SET ended = %s, exit_code = %s, account = %s
    WHERE ledger = %s AND id = (SELECT max(id) FROM run WHERE ledger = %s)"""
_STALE = """UPDATE reopened SET stale = true WHERE ledger = %s AND ordinal = ANY(%s)"""


_Fence: TypeAlias = tuple[int, int, int, int, float]


class Writer(NamedTuple):
    """Who writes a ledger.

    Attributes:
        ledger: its number.
        epoch: the writer's.
        lease: seconds for which each commit renews it.
    """

    ledger: int
    epoch: int
    lease: float


class PostgresStore(Store):
    """An open ledger.

    Args:
        session: with the database; its tables are there.
        ledger: which of its ledgers.
        writer: who writes it; None for reading.
        name: by which people know it; else that of the session.
        row: more of it, where that is known.
    """

    def __init__(
        self, session: Session, ledger: int, writer: Writer | None = None, *, name: str = "", row: Row | None = None
    ) -> None:
        super().__init__(
            name or session.name, f"ledger = {ledger}", "(SELECT value::bigint FROM json_array_elements_text(?::json))"
        )
        if row is not None:
            self.division, self.divided = row.division, row.closed or row.division > 1
        self._session = session
        self._ledger = ledger
        self._writer = writer
        self._me = secrets.randbits(62)
        self._reaches: defaultdict[int, Reaches] = defaultdict(Reaches)
        self._packer = Packer()
        self._number = self._last_commit()

    def close(self) -> None:
        """Let go of the session, once a thread that still uses it is done."""
        self._session.stop()
        with self._used:
            self._session.close()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """What a reader reads within is of one instant."""
        with self._used, self._session.snapshot():
            yield

    def value(self, name: str) -> str | int | None:
        """What ``meta`` holds under *name*."""
        found = super().value(name)
        return int(found) if name == "limit" and found is not None else found

    def bind(self, identity: Mapping[str, str]) -> None:
        """Bind a new ledger to *identity*, or refuse another one."""
        given = {
            name: value.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
            for name, value in identity.items()
        }

        def bind(db: Connection) -> None:
            for name, value in given.items():
                row = (self._ledger, name, value)
                db.execute("INSERT INTO meta VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", row)
                query = "SELECT value FROM meta WHERE ledger = %s AND name = %s"
                [(bound,)] = db.execute(query, row[:2]).fetchall()
                if bound != value:
                    raise LedgerRefused(f"the ledger {self.name} belongs to {name} {bound}, and this run has {value}")

        self._write(bind)

    def commit(self, commit: Commit) -> None:
        """Make *commit* durable in one round trip; in several where records move."""
        values = values_of(commit, self._packer)  # what costs time without the database comes before it
        if commit.moves:
            mark = hash((self._me, values, *commit.moves))
            self._fenced(lambda db, fence: self._move(db, fence, commit), mark)
            return
        self._fenced(lambda db, fence: db.execute(KEEP, (*fence, *values)), hash((self._me, values)))

    def _move(self, db: Connection, fence: _Fence, commit: Commit) -> None:
        """Make a *commit* durable that brings records out of earlier ledgers."""
        with db.transaction():
            if not db.execute(_IS_NEXT, fence[:3]).fetchone():
                # They may have moved already, in a commit whose answer was lost: so it is refused before it looks.
                db.execute("SELECT fence(%s, %s, %s, %s, %s)", fence)
            moved = take(db, self._ledger, commit.moves, self._reaches, self._packer)
            both = replace(
                commit,
                results=moved.results + commit.results,
                rejects=moved.rejects + commit.rejects,
                results_of=moved.results_of + commit.results_of,
                rejects_of=moved.rejects_of + commit.rejects_of,
            )
            db.execute(KEEP, (*fence, *values_of(both, self._packer)))
            commit.moved = moved

    def begin_run(self, now: float, earlier: int, *, again: bool) -> None:
        """A run begins."""
        values = (self._ledger, now, now, earlier, again, self._ledger)
        self._write(lambda db: db.execute(_BEGIN_RUN, values))

    def end_run(self, now: float, exit_code: int, account: bytes) -> None:
        """The last run has ended."""
        values = (now, exit_code, account, self._ledger, self._ledger)
        self._write(lambda db: db.execute(_END_RUN, values))

    def open_again(self, records: Iterable[OpenAgain], stale: Iterable[int] | None = None) -> None:
        """Open *records* again, all or none."""
        left, marked = iter(records), None if stale is None else iter(stale)

        def open_them(db: Connection) -> None:
            if marked is not None:
                db.execute("UPDATE reopened SET stale = false WHERE ledger = %s AND stale", (self._ledger,))
            while batch := list(islice(left, _MANY)):
                self._open(db, batch)
            while marked is not None and (ordinals := list(islice(marked, _MANY))):
                db.execute(_STALE, (self._ledger, ordinals))

        self._write(open_them, long=True)

    def _open(self, db: Connection, batch: list[OpenAgain]) -> None:
        columns = [list(column) for column in zip(*batch, strict=True)]
        opened = {ordinal for (ordinal,) in db.execute(_OPEN, (*columns, *[self._ledger] * 3)).fetchall()}
        for record in batch:
            if record.ordinal not in opened:
                where = place(Origin.read(record.origin))
                raise LedgerRefused(f"the ledger {self.name} is damaged: {where} is another record")

    def _rows(self, query: str, *values: str | int) -> list[Any]:
        with self._used:
            return self._session.do(lambda db: db.execute(_placed(query), values).fetchall())

    # Writing

    def _write(self, work: Callable[[Connection], object], *, long: bool = False) -> None:
        """Do *work* as the next transaction of this writer.

        Args:
            work: what is to be written.
            long: it may last longer than the lease, and can be done once: what it is given is read meanwhile.

        Raises:
            LedgerLost: another run has taken the ledger over.
            OutputFailed: it cannot be written.
        """

        def transact(db: Connection, fence: _Fence) -> None:
            with db.transaction():
                if long:  # the fence locks the row, and until the end the lease could not be renewed
                    work(db)
                db.execute("SELECT fence(%s, %s, %s, %s, %s)", fence)
                if not long:
                    work(db)

        self._fenced(transact, secrets.randbits(63), again=not long)

    def _fenced(self, work: Callable[[Connection, _Fence], object], mark: int, *, again: bool = True) -> None:
        """Do *work*, a transaction that has the fence; if its answer is lost, find out what became of it.

        It is known by *mark*, the same for the same work, should that be asked for once more behind an error.
        """
        writer = self._writer
        if writer is None:
            raise OutputFailed(f"the ledger {self.name} cannot be written: it was opened to be read")
        with self._used:
            number = self._number + 1
            fence = (self._ledger, writer.epoch, number, mark, writer.lease)

            def work_or_find_out(db: Connection) -> None:
                try:
                    work(db, fence)
                except psycopg.DatabaseError as error:
                    if error.sqlstate != schema.FENCED:
                        raise
                    self._find_out(db, writer, number, mark)

            self._session.do(work_or_find_out, again=again)
            self._number = number

    def _find_out(self, db: Connection, writer: Writer, number: int, mark: int) -> None:
        """Return where the refused commit *number* is there all the same: nobody had heard of it.

        Raises:
            LedgerLost: another run has taken the ledger over.
            OutputFailed: commits are gone that were there.
        """
        query = "SELECT epoch, commits, mark, holder FROM ledger WHERE id = %s"
        row = db.execute(query, (self._ledger,)).fetchone()
        if row is None:
            raise OutputFailed(f"the ledger {self.name} cannot be written: somebody has deleted it")
        epoch, commits, known, holder = row
        if epoch != writer.epoch:
            raise lost(self.name, holder)
        if (commits, known) != (number, mark):
            raise OutputFailed(
                f"the ledger {self.name} cannot be written: its last commit is number {commits}, and this run has made"
                f" {number - 1}: was a copy of the database put in its place that was behind?"
            )

    def _last_commit(self) -> int:
        query = "SELECT commits FROM ledger WHERE id = %s"
        rows = self._session.do(lambda db: db.execute(query, (self._ledger,)).fetchall())
        return int(rows[0][0]) if rows else 0


def lost(name: str, holder: str) -> LedgerLost:
    """The error of a run whose ledger another one, *holder*, has taken over."""
    return LedgerLost(
        f"the ledger {name} was taken over by another run ({holder}), because this one was not heard of for as long as"
        " its lease lasts: it has written nothing since"
    )


@cache
def _placed(query: str) -> bytes:
    """*query* as psycopg takes it."""
    return query.replace("?", "%s").encode()
