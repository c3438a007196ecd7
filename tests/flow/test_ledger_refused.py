"""What the ledger refuses, and what damage and failing disks leave of it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from batcher.errors import LedgerRefused, OutputFailed
from batcher.flow.ledger.sqlite import opening
from batcher.flow.ledger.sqlite.store import SqliteStore
from tests.flow.ledgers import (
    commits,
    filled,
    held,
    held_at,
    opened,
    opened_file,
    powerless,
    read_only_directory,
    replayed,
    writer,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


def size_of(path: Path) -> int:
    return path.stat().st_size


# Refusals


def make_foreign(path: Path, statement: str) -> None:
    db = sqlite3.connect(path)
    db.execute(statement)
    db.commit()
    db.close()


def make_future(path: Path) -> None:
    filled(path, 1, 100)
    make_foreign(path, "PRAGMA user_version = 3")


NO_LEDGERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda path: path.write_bytes(b"line,outcome\n" * 1000), "no ledger, or a damaged one"),
    "a short text": (lambda path: path.write_bytes(b"hello"), "no ledger"),
    "another database": (lambda path: make_foreign(path, "CREATE TABLE record (ordinal)"), "of another program"),
    "another application": (lambda path: make_foreign(path, "PRAGMA application_id = 1"), "of another program"),
    "a later format": (make_future, "has format 3, and this version of the program reads 2"),
    "a directory": (Path.mkdir, "not a regular file"),
    "a pipe": (os.mkfifo, "not a regular file"),
}


@pytest.mark.parametrize("kind", NO_LEDGERS)
def test_what_is_no_ledger_is_refused_and_left_alone(path: Path, kind: str) -> None:
    """By readers and writers, with what it is; and a mistyped path costs nobody their file."""
    make, text = NO_LEDGERS[kind]
    make(path)
    before = path.read_bytes() if path.is_file() else None, path.stat().st_mode
    for how in ({}, {"write": True}, {"create": True}):
        with pytest.raises(LedgerRefused, match=text) as refused, opened_file(path, **how):
            pass
        assert str(path) in str(refused.value)
    assert (path.read_bytes() if path.is_file() else None, path.stat().st_mode) == before


def test_a_missing_ledger_is_not_made_by_who_only_wants_one(path: Path) -> None:
    """A reader, and a command that changes an existing one, say that it is not there, or that nothing is in it."""
    for how in (False, True):
        with pytest.raises(LedgerRefused, match=f"there is no ledger {path}"), opened_file(path, write=how):
            pass
    assert not path.exists()
    path.touch()
    for how in (False, True):
        with pytest.raises(LedgerRefused, match="is empty: no run has written to it"), opened_file(path, write=how):
            pass
    assert size_of(path) == 0


def test_an_empty_file_becomes_a_ledger(path: Path) -> None:
    """It is what a crash leaves between the making of the file and the first transaction."""
    path.touch()
    filled(path, 1, 100)
    assert len(held_at(path).results) == 100


def test_where_it_cannot_be_made_or_written() -> None:
    """A missing directory, a read-only one, a read-only file: said with the path, before anything is sent."""
    with read_only_directory() as shared:
        with pytest.raises(OutputFailed, match=r"/no/ledger cannot be made: there is no such directory"):
            SqliteStore(str(shared / "no" / "ledger"), create=True)
        with powerless():
            with pytest.raises(OutputFailed, match=r"/new cannot be made: Permission denied"):
                SqliteStore(str(shared / "new"), create=True)
            with pytest.raises(OutputFailed, match=r"/ledger cannot be written: it or its directory is read-only"):
                SqliteStore(str(shared / "ledger"), create=True)


def test_a_file_system_without_shared_memory_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a network disk SQLite would quietly keep another mode: a ledger needs WAL."""
    connect = opening._connect
    monkeypatch.setattr(opening, "_connect", lambda path, how: connect(path, f"{how}&vfs=unix-dotfile"))
    with pytest.raises(OutputFailed, match="needs a local disk"):
        SqliteStore(str(path), create=True)


# Damage and failing disks


def test_damaged_lines_are_told(path: Path) -> None:
    """A changed byte in what a commit holds is no other line, but an error that names the ledger."""
    filled(path, 3, 1000)
    db = sqlite3.connect(path)
    (packed,) = db.execute("SELECT results FROM lines WHERE id = 2").fetchone()
    damaged = packed[:500] + bytes([packed[500] ^ 1]) + packed[501:]
    db.execute("UPDATE lines SET results = ? WHERE id = 2", (damaged,))
    db.commit()
    db.close()
    with opened(path) as store, pytest.raises(LedgerRefused, match=f"ledger {path} is damaged: results of commit 2"):
        list(store.lines("results"))


def test_damaged_pages_are_told(path: Path) -> None:
    """What SQLite cannot make sense of is no traceback."""
    filled(path, 3, 1000)
    image = path.read_bytes()
    path.write_bytes(image[:4096] + b"\xff" * (len(image) - 4096))
    with opened(path) as store, pytest.raises(LedgerRefused, match=f"{path} is no ledger, or a damaged one"):
        store.counts()


def test_a_full_disk_takes_nothing_that_was_committed(path: Path) -> None:
    """The commit that found no room is not there, those before it are, and with room again it is taken."""
    with opened_file(path, create=True) as store:
        stream = commits(1, size=3000)
        for commit in islice(stream, 3):
            store.commit(commit)
        before, commit = held(store), next(stream)
        (pages,) = store._db.execute("PRAGMA page_count").fetchone()
        store._db.execute(f"PRAGMA max_page_count = {pages}")
        for _ in range(2):
            with pytest.raises(
                OutputFailed, match="cannot be written: the disk is full; make room and run the same command"
            ):
                store.commit(commit)
            assert held(store) == before == held_at(path)
        store._db.execute(f"PRAGMA max_page_count = {pages * 100}")
        store.commit(commit)
        assert held_at(path) == before.after(commit)


def test_a_write_that_fails_half_way_takes_nothing_that_was_committed(path: Path) -> None:
    """The WAL may not grow in the midst of a commit: the process says why, goes on once it may, and all is whole."""
    with writer(path, most=400_000) as process:
        told, _ = process.communicate()
    *durable, failed, last = told.splitlines()
    assert failed.startswith(f"failed the ledger {path} cannot be written: the disk fails, or a limit on file sizes")
    assert [*durable, last] == [str(number) for number in range(len(durable) + 1)]
    assert len(durable) > 3
    assert held_at(path) == replayed(len(durable) + 1)
