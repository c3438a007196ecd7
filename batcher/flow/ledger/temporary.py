"""A temporary database, for what is compared or chosen among more than memory should hold; gone with the process."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from batcher.errors import OutputFailed


@contextlib.contextmanager
def writing_temporarily() -> Iterator[None]:
    """SQLite's complaints about the place of the temporary file as ours.

    Raises:
        OutputFailed: it cannot be written.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OutputFailed(
            f"the temporary file cannot be written: {error}; SQLITE_TMPDIR names a directory that has room"
        ) from error


def open_temporary() -> sqlite3.Connection:
    """A new one, in a transaction that nobody ends; it has one user."""
    db = sqlite3.connect("", isolation_level=None)  # SQLite's name for a temporary file without one
    with writing_temporarily():
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("BEGIN")
    return db
