"""The proof that a ledger accounts for its input: every record one outcome, and every outcome one result line.

The result lines stand in the order in which the records finished, so they wait in a temporary file to be compared:
memory does not depend on how many there are.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import orjson

from batcher.core.verdict import Outcome
from batcher.errors import LedgerRefused, OutputFailed
from batcher.flow.ledger.store import Store, hash_number
from batcher.flow.lines import BATCH_LINES, Line

_SHOWN = 5
"""Places that are named of each kind of finding."""


class Proof:
    """Compares the records of the input, in their order, with what the ledger knows.

    Args:
        store: the ledger, which nobody may write meanwhile.
        path: its path.

    Attributes:
        records: how many were compared.
        findings: what is not so, in words → how often, and where first.

    Raises:
        LedgerRefused: it holds what is no result line.
        OutputFailed: the temporary file cannot be written.
    """

    def __init__(self, store: Store, path: str) -> None:
        self._store = store
        self._told = _Told(store, path)
        self._doubtful = store.doubtful()
        self.records = 0
        self.findings: dict[str, tuple[int, list[str]]] = {}

    def hear(self, lines: list[Line]) -> None:
        """Compare the next records."""
        known = self._store.known(self.records + 1, self.records + len(lines))
        for line in lines:
            self.records += 1
            place = f"line {line.number}" if line.input is None else f"line {line.number} of {line.input}"
            digest = hash_number(line.hash)
            intent, record = self._doubtful.get(self.records), known.get(self.records)
            expected = intent if record is None else record.hash
            if expected is not None and expected != digest:
                self._find("not the line that the ledger knows at this place", place)
            elif record is None:
                self._find("no outcome, and never sent" if intent is None else "no outcome, and perhaps sent", place)
            elif intent is not None:
                self._find("an outcome, and still an intent to send", place)
            elif not self._told.strike(line.number, digest, record.outcome):
                self._find("no result line that says the outcome", place)

    def end(self) -> None:
        """The input has ended: nothing may be left over in the ledger."""
        last = self._store.last()
        for first in range(self.records + 1, last + 1, BATCH_LINES):
            beyond = self._store.known(first, first + BATCH_LINES - 1).keys()
            for ordinal in sorted(beyond | {each for each in self._doubtful if first <= each < first + BATCH_LINES}):
                self._find("known to the ledger, and behind the end of the input", f"record {ordinal}")
        for line in self._told.left():
            self._find("result lines that belong to none of these records", f"line {line}")

    def close(self) -> None:
        """Let go of the temporary file."""
        self._told.close()

    def _find(self, kind: str, place: str) -> None:
        count, places = self.findings.get(kind, (0, []))
        if len(places) < _SHOWN:
            places.append(place)
        self.findings[kind] = (count + 1, places)


class _Told:
    """The result lines of a ledger, in a temporary file that is gone with the process.

    They are known by line number, hash and outcome, and not by the name of their input: the same input may have had
    another name at another time.

    Args:
        store: the ledger.
        path: its path.

    Raises:
        LedgerRefused: they are no result lines.
        OutputFailed: the temporary file cannot be written.
    """

    def __init__(self, store: Store, path: str) -> None:
        self._db = sqlite3.connect("", isolation_level=None)  # SQLite's name for a temporary file without one
        try:
            self._fill(store)
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            self._db.close()
            raise LedgerRefused(f"the ledger {path} is damaged: it holds what is no result line") from error
        except BaseException:
            self._db.close()
            raise

    def _fill(self, store: Store) -> None:
        with _writing_temporarily():
            self._db.execute("PRAGMA journal_mode = OFF")
            self._db.execute(
                "CREATE TABLE told (line INTEGER, hash INTEGER, outcome TEXT, times INTEGER NOT NULL,"
                " PRIMARY KEY (line, hash, outcome)) WITHOUT ROWID"
            )
            self._db.execute("BEGIN")
        for piece in store.lines("results"):
            told = [orjson.loads(line) for line in piece.splitlines()]
            rows = [(int(each["line"]), hash_number(each["hash"]), str(each["outcome"])) for each in told]
            with _writing_temporarily():
                self._db.executemany(
                    "INSERT INTO told VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET times = times + 1", rows
                )

    def strike(self, line: int, digest: int, outcome: Outcome) -> bool:
        """Take one such line away; False where there is none."""
        with _writing_temporarily():
            changed = self._db.execute(
                "UPDATE told SET times = times - 1 WHERE line = ? AND hash = ? AND outcome = ? AND times > 0",
                (line, digest, outcome.value),
            )
        return changed.rowcount == 1

    def left(self) -> Iterator[int]:
        """The line number of each that was not taken away."""
        with _writing_temporarily():
            for line, times in self._db.execute("SELECT line, times FROM told WHERE times > 0 ORDER BY line"):
                yield from [line] * times

    def close(self) -> None:
        self._db.close()


@contextlib.contextmanager
def _writing_temporarily() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OutputFailed(
            f"the temporary file cannot be written: {error}; SQLITE_TMPDIR names a directory that has room"
        ) from error
