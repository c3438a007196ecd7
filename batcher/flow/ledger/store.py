"""The ledger's file: what is durable, and how it is read again.

One transaction carries all that happened since the last one: what is about to be sent (a *window* of intents), which
intents are settled, the outcomes, and the result lines. So at any instant of a crash the file says of each record one
of three things: it has its outcome; it may have been sent; it was certainly not sent.

=========  ===========================================================================================================
table      holds
=========  ===========================================================================================================
``meta``   what the ledger is bound to, and the concurrency limit that was found
``record`` a row for each record that has its outcome: its ordinal in the input, its line's hash, the outcome
``intent`` a row for each window of records that may have been sent and have no outcome: JSON, ordinal → hash
``lines``  a row for each commit: its result lines and its rejects lines, compressed, and where they end in their files
``output`` the files that the lines were written to, and how many bytes of each are accounted for
=========  ===========================================================================================================

Rows go in through ``json_each``, one statement for all of a kind: a statement a row would give up Python's interpreter
lock once a row, and wait as often to have it back. Lines go in as one blob a commit, by zstd at level 1 with its
checksum: of 500 lines of 1 kB each it makes 154 bytes a line in 1.7 µs; zlib at level 1 makes 197 in 5.0, zstd at
level 3 makes 153 in 2.2 and at -5 216 in 1.4. Every method blocks; the writer calls them on a thread of its own.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

import orjson

from batcher.core.verdict import Outcome
from batcher.errors import LedgerRefused
from batcher.flow.ledger.opening import failing, open_to_read, open_to_write, transaction

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Kind: TypeAlias = Literal["results", "rejects"]

_PACKING: Mapping[int, int] = {
    zstd.CompressionParameter.compression_level: 1,
    zstd.CompressionParameter.checksum_flag: 1,
}


def hash_number(text: str) -> int:
    """A line's hash, 16 hexadecimal digits, as the signed number of 64 bits that SQLite holds."""
    return int.from_bytes(bytes.fromhex(text), "big", signed=True)


class Known(NamedTuple):
    """A record that has its outcome."""

    hash: int
    outcome: Outcome


@dataclass(slots=True)
class Commit:
    """What one transaction makes durable.

    Attributes:
        windows: new windows by their number, and old ones whose intents are partly settled: what is in each,
            ordinal → hash; an empty one is forgotten.
        records: (ordinal, hash, outcome) of records that have their outcome, each once.
        results: their result lines.
        rejects: their rejects lines.
        accounted: bytes of each output file, by path, that earlier commits' lines have filled.
        limit: the concurrency limit now.
    """

    windows: dict[int, dict[int, int]] = field(default_factory=dict)
    records: list[tuple[int, int, Outcome]] = field(default_factory=list)
    results: list[bytes] = field(default_factory=list)
    rejects: list[bytes] = field(default_factory=list)
    accounted: dict[str, int] = field(default_factory=dict)
    limit: int | None = None


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
        self._db = open_to_write(path, create=create) if writes else open_to_read(path)

    def close(self) -> None:
        """Let go of the file."""
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
            for name, value in identity.items():
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
        for outcome, count in self._rows("SELECT outcome, count(*) FROM record GROUP BY outcome"):
            counts[Outcome(outcome)] = count
        return counts

    def last(self) -> int:
        """The ordinal of the last record that the ledger knows anything of; 0 for none."""
        [(last,)] = self._rows("SELECT max(ordinal) FROM record")
        return max([last or 0, *self.doubtful()])

    def known(self, first: int, last: int) -> dict[int, Known]:
        """The records from ordinal *first* to *last* that have their outcome."""
        rows = self._rows("SELECT ordinal, hash, outcome FROM record WHERE ordinal BETWEEN ? AND ?", first, last)
        return {ordinal: Known(line, Outcome(outcome)) for ordinal, line, outcome in rows}

    def windows(self) -> dict[int, dict[int, int]]:
        """By window: the records, ordinal → hash, that may have been sent and have no outcome."""
        return {
            number: {int(ordinal): line for ordinal, line in orjson.loads(records).items()}
            for number, records in self._rows("SELECT id, records FROM intent")
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
            try:
                lines = zstd.decompress(packed)
            except zstd.ZstdError as error:
                raise LedgerRefused(
                    f"the ledger {self._path} is damaged: {kind} of commit {number}: {error}"
                ) from error
            yield lines[skip - end :]
            skip = end

    def accounted(self, path: str) -> int | None:
        """Bytes of the output file *path* that are accounted for; None for a file that the ledger does not know."""
        row = self._row("SELECT accounted FROM output WHERE path = ?", path)
        return None if row is None else row[0]

    def commit(self, commit: Commit) -> None:
        """Make *commit* durable: all of it, or nothing.

        Raises:
            OutputFailed: it cannot be written; what was committed before is whole. After a crash that follows, this
                commit may be found to be there all the same: the disk refused to confirm it, not to hold it.
        """
        # What costs time without the database comes before its transaction.
        windows = {number: window for number, window in commit.windows.items() if window}
        settled = [number for number, window in commit.windows.items() if not window]
        results, rejects = b"".join(commit.results), b"".join(commit.rejects)
        packed = _pack(results), _pack(rejects)
        with self._failing(), transaction(self._db):
            if windows:
                self._db.execute("INSERT OR REPLACE INTO intent SELECT key, value FROM json_each(?)", (_json(windows),))
            if settled:
                self._db.execute("DELETE FROM intent WHERE id IN (SELECT value FROM json_each(?))", (_json(settled),))
            for outcome, records in _by_outcome(commit.records).items():
                self._db.execute(
                    "INSERT OR REPLACE INTO record SELECT key, value, ? FROM json_each(?)", (outcome, _json(records))
                )
            if results or rejects:
                self._db.execute(
                    "INSERT INTO lines (results_end, rejects_end, results, rejects) VALUES ("
                    "? + coalesce((SELECT results_end FROM lines ORDER BY id DESC LIMIT 1), 0),"
                    "? + coalesce((SELECT rejects_end FROM lines ORDER BY id DESC LIMIT 1), 0), ?, ?)",
                    (len(results), len(rejects), *packed),
                )
            if commit.accounted:
                self._db.execute(
                    "INSERT OR REPLACE INTO output SELECT key, value FROM json_each(?)", (_json(commit.accounted),)
                )
            if commit.limit is not None:
                self._db.execute("INSERT OR REPLACE INTO meta VALUES ('limit', ?)", (commit.limit,))

    def _rows(self, query: str, *values: str | int) -> list[Any]:
        with self._failing():
            return self._db.execute(query, values).fetchall()

    def _row(self, query: str, *values: str | int) -> Any:
        rows = self._rows(query, *values)
        return rows[0] if rows else None

    def _failing(self) -> contextlib.AbstractContextManager[None]:
        return failing(self._path, self._what)


def _by_outcome(records: list[tuple[int, int, Outcome]]) -> dict[str, dict[int, int]]:
    """The same as ordinal → hash, which ``json_each`` takes apart without looking at a row twice."""
    return {
        outcome.value: {ordinal: line for ordinal, line, found in records if found is outcome}
        for outcome in {outcome for _, _, outcome in records}
    }


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


def _pack(lines: bytes) -> bytes:
    return zstd.compress(lines, options=_PACKING) if lines else b""
