"""The runs on a ledger: when each began and ended and how, and how far it has read its input."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

SCHEMA = """CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    started REAL NOT NULL, updated REAL NOT NULL, ended REAL, exit_code INTEGER,
    again INTEGER NOT NULL, earlier INTEGER NOT NULL,
    records INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0, size INTEGER,
    whole INTEGER NOT NULL DEFAULT 0,
    account BLOB
)"""


class Reading(NamedTuple):
    """How far a run has read its input.

    Attributes:
        updated: seconds since 1970.
        records: read so far, those of earlier runs included.
        bytes: of the inputs as they are stored, that these reach into.
        size: of all inputs as they are stored, or None where one has no known size.
        whole: they were read to their end, or to where ``--limit`` ends them.
    """

    updated: float
    records: int
    bytes: int
    size: int | None
    whole: bool


class Run(NamedTuple):
    """A run on the ledger.

    Attributes:
        started: when it began, in seconds since 1970.
        reading: how far it has read, as of its last commit.
        ended: when it ended; None while it runs, and where it was killed.
        exit_code: what it ended with.
        again: it read records of the ledger that were opened again, and not its input.
        earlier: records that had their outcome when it began.
    """

    started: float
    reading: Reading
    ended: float | None
    exit_code: int | None
    again: bool
    earlier: int


def begin(db: sqlite3.Connection, now: float, earlier: int, *, again: bool) -> None:
    """A run begins *now*, with *earlier* records that have their outcome; see ``Run`` for *again*."""
    db.execute("INSERT INTO run (started, updated, earlier, again) VALUES (?, ?, ?, ?)", (now, now, earlier, again))


def read_on(db: sqlite3.Connection, reading: Reading) -> None:
    """The last run has read so far."""
    db.execute(
        "UPDATE run SET updated = ?, records = ?, bytes = ?, size = ?, whole = ? WHERE id = (SELECT max(id) FROM run)",
        reading,
    )


def end(db: sqlite3.Connection, now: float, exit_code: int) -> None:
    """The last run has ended *now*."""
    db.execute(
        "UPDATE run SET ended = ?, exit_code = ? WHERE id = (SELECT max(id) FROM run)",
        (now, exit_code),
    )


def keep(db: sqlite3.Connection, account: bytes) -> None:
    """What the last run has to tell of itself, for a report; nothing is resumed from it."""
    db.execute("UPDATE run SET account = ? WHERE id = (SELECT max(id) FROM run)", (account,))


def accounts(db: sqlite3.Connection) -> list[tuple[float, float | None, int | None, bytes]]:
    """Of each run, the first one first: when it began, when it ended and its exit code, if so, and its account."""
    return list(db.execute("SELECT started, ended, exit_code, coalesce(account, x'') FROM run ORDER BY id"))


def last(db: sqlite3.Connection) -> Run | None:
    """The last run; None where there was none."""
    row = db.execute(
        "SELECT started, updated, records, bytes, size, whole, ended, exit_code, again, earlier FROM run"
        " ORDER BY id DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return None
    started, updated, records, read, size, whole, ended, exit_code, again, earlier = row
    reading = Reading(updated, records, read, size, bool(whole))
    return Run(started, reading, ended, exit_code, bool(again), earlier)
