"""How a ledger's file is opened and made, and what SQLite's complaints about it mean to people.

A writer opens it in WAL mode with ``synchronous=FULL``: what is committed stays, also when the power fails. A reader
opens it read-only, so it needs no more than leave to read, and neither blocks the writer nor changes a byte.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import sqlite3
import stat
from collections.abc import Iterator

from batcher.errors import LedgerRefused, OutputFailed

FORMAT = 2
"""Version of the schema, in the file's header as SQLite's ``user_version``."""
_COUNTED_ALONE = 1
"""The version whose triggers counted every record that came; it is read as it is, and brought forward by a writer."""

APPLICATION = 0x56424C31
"""``VBL1``: SQLite's ``application_id``, which tells a ledger from the databases of other programs."""

# Records that come are counted by the commit that brings them, those that get another outcome among them.
_DISCOUNT = "UPDATE total SET records = records - 1 WHERE outcome = OLD.outcome"
_DISCOUNTS = tuple(
    f"CREATE TRIGGER {name} AFTER {event} ON record BEGIN {_DISCOUNT}; END"
    for name, event in (("record_went", "DELETE"), ("record_changed", "UPDATE OF outcome"))
)
_SCHEMA = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
    "CREATE TABLE record (ordinal INTEGER PRIMARY KEY, hash INTEGER NOT NULL, outcome TEXT NOT NULL)",
    """CREATE TABLE reopened (
        ordinal INTEGER PRIMARY KEY, hash INTEGER NOT NULL, origin TEXT NOT NULL, raw BLOB,
        stale INTEGER NOT NULL DEFAULT 0
    )""",
    "CREATE TABLE intent (id INTEGER PRIMARY KEY, records TEXT NOT NULL)",
    # The ends stand before the blobs: so they can be read without them.
    """CREATE TABLE lines (
        id INTEGER PRIMARY KEY,
        results_end INTEGER NOT NULL, rejects_end INTEGER NOT NULL,
        results_of BLOB NOT NULL, rejects_of BLOB NOT NULL,
        results BLOB NOT NULL, rejects BLOB NOT NULL
    )""",
    "CREATE TABLE output (path TEXT PRIMARY KEY, accounted INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE run (
        id INTEGER PRIMARY KEY,
        started REAL NOT NULL, updated REAL NOT NULL, ended REAL, exit_code INTEGER,
        again INTEGER NOT NULL, earlier INTEGER NOT NULL,
        records INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0, size INTEGER,
        whole INTEGER NOT NULL DEFAULT 0,
        account BLOB
    )""",
    # How many records have each outcome, so that nobody has to count them.
    "CREATE TABLE total (outcome TEXT PRIMARY KEY, records INTEGER NOT NULL) WITHOUT ROWID",
    *_DISCOUNTS,
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {FORMAT}",
)
_FORWARD = (
    *(f"DROP TRIGGER {name}" for name in ("record_came", "record_went", "record_changed")),
    *_DISCOUNTS,
    f"PRAGMA user_version = {FORMAT}",
)
_BUSY_SECONDS = 10
"""Patience with another program's lock; our own readers never make a writer wait for longer than a recovery lasts."""
_WAL_BYTES = 64 << 20
"""What the WAL shrinks to again after a reader that was not ours had kept it from being reused."""
_TROUBLES = {
    sqlite3.SQLITE_FULL: "the disk is full; make room and run the same command again, what was committed is safe",
    sqlite3.SQLITE_IOERR: "the disk fails, or a limit on file sizes or a quota is reached",
    sqlite3.SQLITE_READONLY: "it or its directory is read-only",
    sqlite3.SQLITE_CANTOPEN: "it, or the -wal and -shm files beside it, cannot be opened or made",
    sqlite3.SQLITE_BUSY: "another program holds it locked",
    sqlite3.SQLITE_PROTOCOL: "another program holds it locked",
    sqlite3.SQLITE_PERM: "access is denied",
    sqlite3.SQLITE_AUTH: "access is denied",
    sqlite3.SQLITE_NOLFS: "its file system takes no files of this size",
    sqlite3.SQLITE_TOOBIG: "a commit is too large",
}
_PRIMARY = 0xFF
"""The part of SQLite's result code that says the kind."""


def open_to_write(path: str, *, create: bool) -> sqlite3.Connection:
    """The ledger at *path*, to be written by this process alone (see ``Lock``) and on any of its threads.

    Args:
        path: of the file; a new one can be read by its owner alone, and so can SQLite's files beside it.
        create: make it where there is none, or an empty file.

    Raises:
        LedgerRefused: there is none, or it is no ledger of this format.
        OutputFailed: it cannot be opened or written.
    """
    path = os.path.realpath(path)
    if create:
        _make(path)
    _check(path)
    with failing(path, "written"), contextlib.ExitStack() as stack:
        if os.stat(path).st_nlink > 1:  # noqa: PTH116 - a path is a text here
            # The lock, and SQLite's files, go by the name: under another one all of it could be written twice.
            raise LedgerRefused(f"the ledger {path} has another name, by a hard link: remove one of them")
        db = stack.enter_context(contextlib.closing(_connect(path, "mode=rw")))
        version = _version(db, path)
        if version is None and not create:
            raise LedgerRefused(f"{path} is empty: no run has written to it")
        # Where the file system cannot do it, this is no error to SQLite: it tells the mode that it has kept.
        (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise OutputFailed(f"the ledger {path} needs a local disk: SQLite's WAL does not work on its file system")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        with transaction(db):  # an empty one, too, shows that it can be written
            for statement in _SCHEMA if version is None else _FORWARD if version == _COUNTED_ALONE else ():
                db.execute(statement)
        for suffix in ("", "-wal", "-shm"):  # one that was made, or copied here, with less care
            with contextlib.suppress(OSError):  # another user's, which we may write all the same
                pathlib.Path(f"{path}{suffix}").chmod(0o600)
        stack.pop_all()
        return db


def open_to_read(path: str) -> sqlite3.Connection:
    """The ledger at *path*, read-only, also while another process writes it.

    Raises:
        LedgerRefused: there is none, or it is no ledger of this format.
        OutputFailed: it cannot be read.
    """
    path = os.path.realpath(path)
    _check(path)
    with failing(path, "read"):
        try:
            return _open_to_read(path, "mode=ro")
        except sqlite3.OperationalError as error:
            # WAL needs its files beside the ledger. Where they are not and cannot be made (a read-only volume), nobody
            # is writing either, and the ledger itself is whole.
            code = error.sqlite_errorcode & _PRIMARY
            if code not in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN} or pathlib.Path(f"{path}-wal").exists():
                raise
        return _open_to_read(path, "mode=ro&immutable=1")


def merge(db: sqlite3.Connection) -> None:
    """Bring what SQLite still holds in the file beside it (``-wal``) into the ledger, so that it is whole by itself.

    SQLite does so when the last connection closes, but not where that one is a reader's. What cannot be merged now,
    because the disk is full or somebody reads, is safe where it is.
    """
    with contextlib.suppress(sqlite3.Error):
        db.execute("PRAGMA busy_timeout = 1000")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All that is written within, or nothing of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # what a failing disk has rolled back already
            db.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def failing(path: str, what: str) -> Iterator[None]:
    """SQLite's errors about the file as ours, and *what* it cannot be, ``read`` or ``written``; bugs stay bugs."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", None)  # without one it is the module's complaint about its caller
        if code is None:
            raise
        trouble = _TROUBLES.get(code & _PRIMARY)
        if trouble is not None:
            raise OutputFailed(f"the ledger {path} cannot be {what}: {trouble} ({error})") from error
        raise LedgerRefused(f"{path} is no ledger, or a damaged one: {error}") from error


def _make(path: str) -> None:
    """Make the file where there is none, its owner's alone; SQLite gives its -wal and -shm files the same mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    except FileNotFoundError as error:
        raise OutputFailed(f"the ledger {path} cannot be made: there is no such directory") from error
    except OSError as error:
        raise OutputFailed(f"the ledger {path} cannot be made: {error.strerror}") from error


def _check(path: str) -> None:
    # Never by opening it: closing it again would take away the locks of a connection that this process has to it.
    try:
        mode = pathlib.Path(path).stat().st_mode
    except FileNotFoundError as error:
        raise LedgerRefused(f"there is no ledger {path}") from error
    except OSError as error:
        raise OutputFailed(f"the ledger {path} cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise LedgerRefused(f"{path} is no ledger: not a regular file")


def _connect(path: str, how: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{pathlib.Path(path).as_uri()}?{how}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=_BUSY_SECONDS,
    )


def _open_to_read(path: str, how: str) -> sqlite3.Connection:
    with contextlib.ExitStack() as stack:
        db = stack.enter_context(contextlib.closing(_connect(path, how)))
        if _version(db, path) is None:
            raise LedgerRefused(f"{path} is empty: no run has written to it")
        stack.pop_all()
        return db


def _version(db: sqlite3.Connection, path: str) -> int | None:
    """Its format, or None where nothing is in it; what is of another kind or format is refused."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application == APPLICATION:
        if version not in (_COUNTED_ALONE, FORMAT):
            raise LedgerRefused(
                f"the ledger {path} has format {version}, and this version of the program reads {FORMAT}"
            )
        return int(version)
    if application or version or tables:
        raise LedgerRefused(f"{path} is no ledger: a database of another program")
    return None
