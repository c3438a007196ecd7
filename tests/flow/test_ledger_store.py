"""The ledger's file: what it tells, to whom, and who may read it while it is written."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tracemalloc
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.core.result import Origin
from batcher.core.verdict import Outcome
from batcher.errors import LedgerRefused, OutputFailed
from batcher.flow.ledger.commit import Commit
from batcher.flow.ledger.rows import OpenAgain, mark
from batcher.flow.ledger.sqlite.store import SqliteStore
from batcher.flow.ledger.store import Store
from tests.flow.ledgers import (
    Model,
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


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@given(number=st.integers(0, 2**64 - 1), other=st.integers(0, 2**64 - 1))
def test_a_hash_is_a_number_of_its_own(number: int, other: int) -> None:
    """SQLite's integers have 64 bits and a sign: every hash has its place among them, and no two share one."""
    assert -(2**63) <= mark(f"{number:016x}", 7) < 2**63
    assert (mark(f"{number:016x}", 7) == mark(f"{other:016x}", 7)) is (number == other)


def test_a_new_ledger_knows_nothing(ledger: str) -> None:
    """Before the first commit every record is unknown."""
    with opened(ledger, create=True) as store:
        assert (store.counts(), store.last()) == (dict.fromkeys(Outcome, 0), 0)
        assert (store.known(1, 10), store.windows(), store.doubtful()) == ({}, {}, {})
        assert (list(store.lines("results")), store.accounted("x"), store.value("limit")) == ([], None, None)


def change_outcomes(store: Store) -> None:
    """Records come, get another outcome or the same once more, are opened again, and come back."""
    doubt, delivered, rejected = Outcome.IN_DOUBT, Outcome.DELIVERED, Outcome.REJECTED
    store.commit(Commit(records={doubt: {1: 1, 3: 3}, delivered: {2: 2}, rejected: {4: 4}}))
    assert counted(store) == {doubt: 2, delivered: 1, rejected: 1}
    store.commit(Commit(records={delivered: {1: 1, 5: 5}, rejected: {4: 4}}))
    assert counted(store) == {doubt: 1, delivered: 3, rejected: 1}
    origin = Origin(line=3, outcome=doubt, attempts=1, kind="timeout", message="no answer").write()
    store.open_again([OpenAgain(3, 3, origin, None)])
    assert counted(store) == {delivered: 3, rejected: 1}
    store.commit(Commit(records={delivered: {3: 3}}, closed=[3]))
    assert counted(store) == {delivered: 4, rejected: 1}


def counted(store: Store) -> Counter[Outcome]:
    """The totals, which are those of the records."""
    totals = Counter({outcome: count for outcome, count in store.counts().items() if count})
    assert totals == Counter(known.outcome for known in store.known(1, 10).values())
    return totals


def test_totals_are_those_of_the_records(ledger: str) -> None:
    """However an outcome comes, changes or goes."""
    with opened(ledger, create=True) as store:
        change_outcomes(store)


def test_a_ledger_of_the_format_before_is_read_as_it_is_and_brought_forward_by_a_writer(path: Path) -> None:
    """Its triggers counted every record that came: a reader leaves it so, and for a writer nothing is counted twice."""
    with opened_file(path, create=True) as store, store.writing() as db:
        discount = "UPDATE total SET records = records - 1 WHERE outcome = OLD.outcome"
        count = (
            "INSERT INTO total VALUES (NEW.outcome, 1) ON CONFLICT (outcome) DO UPDATE SET records = total.records + 1"
        )
        db.execute("DROP TRIGGER record_changed")
        db.execute(f"CREATE TRIGGER record_came AFTER INSERT ON record BEGIN {count}; END")
        db.execute(f"CREATE TRIGGER record_changed AFTER UPDATE OF outcome ON record BEGIN {discount}; {count}; END")
        db.execute("INSERT INTO record VALUES (6, 6, 'delivered'), (7, 7, 'invalid')")
        db.execute("PRAGMA user_version = 1")
    before = path.read_bytes()
    with opened_file(path) as reader:
        assert counted(reader) == {Outcome.DELIVERED: 1, Outcome.INVALID: 1}
    assert path.read_bytes() == before
    with opened_file(path, write=True) as store:
        assert counted(store) == {Outcome.DELIVERED: 1, Outcome.INVALID: 1}
        with store.writing() as db:
            db.execute("DELETE FROM record")
        change_outcomes(store)
    with opened_file(path) as reader, reader.reading() as db:
        assert counted(reader) == {Outcome.DELIVERED: 4, Outcome.REJECTED: 1}
        assert db.execute("PRAGMA user_version").fetchone() == (2,)


def test_it_belongs_to_one_set_up(ledger: str) -> None:
    """Bound once, it takes the same again and refuses another, by name, and is not changed by the attempt."""
    bound = {"endpoint": "https://a.example/xml", "operation": "SetOutlookSyncRecord"}
    with opened(ledger, create=True) as store:
        store.bind(bound)
    with opened(ledger, create=True) as store:
        store.bind(bound)
        with pytest.raises(
            LedgerRefused, match=r"belongs to endpoint https://a.example/xml, and this run has https://b.example/"
        ):
            store.bind({"order": "SourceID", "endpoint": "https://b.example/"})
        assert [store.value(name) for name in ("endpoint", "order")] == ["https://a.example/xml", None]


def test_what_is_committed_is_on_the_disk(path: Path) -> None:
    """SQLite syncs the WAL with each commit, also where an earlier process has made the file: power may fail."""
    for _ in range(2):
        with opened_file(path, create=True) as store, store.reading() as db:
            assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL: https://sqlite.org/pragma.html


def test_lines_come_piece_by_piece(ledger: str) -> None:
    """A ledger larger than the memory one would give it can be read: a piece is a commit."""
    filled(ledger, 40, 500_000)
    with opened(ledger) as store:
        tracemalloc.start()
        try:
            assert sum(len(piece) for piece in store.lines("results")) == 40 * 500_000
            assert tracemalloc.get_traced_memory()[1] < 3_000_000
        finally:
            tracemalloc.stop()


# Readers


def test_a_reader_sees_whole_commits_while_another_process_writes(ledger: str) -> None:
    """What a reader finds at any instant is what some number of commits made, and no fewer than were reported."""
    stream, model, count = commits(1), Model(), 0
    with writer(ledger) as process:
        assert process.stdout is not None
        # It tells of each commit, and waits while this is full: so it is never far ahead.
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        for _ in range(15):
            told = int(process.stdout.readline())
            found = held_at(ledger)
            while len(model.results) < len(found.results) or model != found:  # to compare takes long
                model.apply(next(stream))
                count += 1
                assert len(model.results) <= len(found.results), "no number of commits makes this"
            assert count > told
        process.kill()


def test_a_slow_reader_does_not_make_the_wal_grow(path: Path) -> None:
    """``results LEDGER | less`` may stand still for a day: the WAL is used again all the same."""
    filled(path, 3, 100_000)
    with opened_file(path) as reader, opened_file(path, write=True) as store:
        lines = reader.lines("results")
        first = next(lines)
        for _ in range(150):
            store.commit(Commit(results=[os.urandom(100_000)]))
        assert size_of(Path(f"{path}-wal")) < 6_000_000
        assert size_of(path) > 10_000_000
        assert len(first) + sum(len(piece) for piece in lines) == 153 * 100_000


def test_a_reader_never_blocks_the_writer(ledger: str) -> None:
    """While a reader is in the midst of reading, commits go on, and it keeps seeing the instant that it began at."""
    commit, later = islice(commits(1), 2)
    with opened(ledger, create=True) as store, opened(ledger) as reader:
        store.commit(commit)
        with reader.snapshot():
            before = held(reader)
            store.commit(later)
            assert held(reader) == before == replayed(1)
        assert held(reader) == replayed(2)


def test_a_reader_changes_nothing(path: Path) -> None:
    """Reading leaves the ledger as it is, byte for byte, and what a reader has open cannot be written through."""
    filled(path, 3, 1000)
    before = path.read_bytes()
    with opened_file(path) as store:
        held(store)
        with pytest.raises(OutputFailed, match=r"cannot be read: it or its directory is read-only"):
            store.commit(Commit(limit=1))
    assert path.read_bytes() == before


def test_a_reader_needs_no_leave_to_write() -> None:
    """A ledger at rest is read where its directory cannot be written: on a read-only volume, say."""
    with read_only_directory() as shared:
        with powerless():
            assert held_at(shared / "ledger") == replayed(3)
        assert [file.name for file in shared.iterdir()] == ["ledger"]


# Files


def test_files_are_their_owner_s_alone(path: Path) -> None:
    """Whatever the umask: the ledger, its WAL and its shared memory hold people's data."""
    before = os.umask(0)
    try:
        with opened_file(path, create=True):
            assert {file.name: mode_of(file) for file in path.parent.iterdir()} == {
                "ledger": 0o600,
                "ledger-wal": 0o600,
                "ledger-shm": 0o600,
            }
        path.chmod(0o644)
        with opened_file(path, write=True):
            assert {mode_of(file) for file in path.parent.iterdir()} == {0o600}
    finally:
        os.umask(before)


def test_odd_names_are_names(tmp_path: Path) -> None:
    """What a URI or SQLite would take for something else is a file like any other."""
    for name in (":memory:", "a?mode=ro#b", "100%25 é", os.fsdecode(b"\xff")):
        path = tmp_path / name
        filled(path, 2, 100)
        with opened_file(path) as store:
            assert len(b"".join(store.lines("results"))) == 200
        assert path.is_file()


def test_a_link_is_the_file_that_it_leads_to(tmp_path: Path) -> None:
    """One ledger under two names is one ledger: its WAL lies beside the file itself."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "ledger")
    with opened_file(tmp_path / "link", create=True) as store:
        store.commit(Commit(limit=7))
        assert sorted(file.name for file in tmp_path.iterdir()) == ["deep", "link"]
        with opened_file(tmp_path / "deep" / "ledger") as reader:
            assert reader.value("limit") == 7


def test_a_ledger_that_was_closed_is_whole_in_its_own_file(tmp_path: Path) -> None:
    """Moved or copied without the files that SQLite keeps beside it, it has every record, whoever still reads it."""
    path = tmp_path / "run.ledger"
    store = SqliteStore(str(path), create=True)
    with contextlib.closing(SqliteStore(str(path))):
        store.commit(Commit(records={Outcome.DELIVERED: {1: 1}}))
        store.close()
        shutil.copy(path, tmp_path / "copy")
    with contextlib.closing(SqliteStore(str(tmp_path / "copy"))) as copied:
        assert copied.counts()[Outcome.DELIVERED] == 1


def test_a_ledger_with_two_names_is_refused(tmp_path: Path) -> None:
    """A hard link has a lock of its own, so two runs could write one ledger: neither name is taken."""
    path, other = tmp_path / "run.ledger", tmp_path / "other"
    SqliteStore(str(path), create=True).close()
    other.hardlink_to(path)
    for name in (path, other):
        with pytest.raises(LedgerRefused, match="another name, by a hard link"):
            SqliteStore(str(name), create=True)
    other.unlink()
    SqliteStore(str(path), create=True).close()
