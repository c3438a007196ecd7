"""Connections, answers and databases that are lost: what was committed is there, once, and the writer goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import islice

import psycopg
import pytest

from batcher.errors import LedgerRefused, OutputFailed
from batcher.flow.ledger.access import hold
from batcher.flow.ledger.postgresql.session import Session
from tests.flow.ledgers import commits, held_at, opened, replayed
from tests.postgresql.server import Server
from tests.postgresql.writers import INTENT, OUTCOME, taken


def test_a_commit_whose_answer_was_lost_is_made_once(ledger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is lost behind the commit, or before it: either way it is there, and its lines once."""
    with taken(ledger) as lease, lease.open() as store:
        for number, commit in enumerate(islice(commits(1), 6)):
            lose_connection(monkeypatch, behind=number % 2 == 0)
            store.commit(commit)
        assert held_at(ledger) == replayed(6)


def lose_connection(monkeypatch: pytest.MonkeyPatch, *, behind: bool) -> None:
    """The next thing that is done with the database loses its connection, behind it or before."""
    connected = Session._connected

    def losing(session: Session) -> object:
        db = connected(session)
        monkeypatch.setattr(Session, "_connected", connected)
        return Losing(db, behind=behind)

    monkeypatch.setattr(Session, "_connected", losing)


class Losing:
    """A connection that is lost when something is committed: behind that, or before."""

    def __init__(self, db: psycopg.Connection, *, behind: bool) -> None:
        self._db = db
        self._behind = behind

    def execute(self, query: bytes, values: Sequence[object]) -> None:
        assert b"keep" in query
        if self._behind:
            self._db.execute(query, values)
        self._db.close()
        raise psycopg.OperationalError("server closed the connection unexpectedly")


def test_a_database_that_went_back_is_told(postgresql: Server, ledger: str) -> None:
    """A copy that lacks commits which were confirmed is not written on, exit 9: what they said would be forgotten."""
    with taken(ledger) as lease, lease.open() as store:
        store.commit(INTENT)
        store.commit(OUTCOME)
        with postgresql.connect() as db:
            db.execute("UPDATE ledger SET commits = commits - 1 WHERE id = %s", (store._ledger,))
        with pytest.raises(OutputFailed, match="its last commit is number 1, and this run has made 2") as told:
            store.commit(OUTCOME)
        assert told.value.exit_code == 9


def test_another_writer_of_the_same_run_is_no_witness(ledger: str) -> None:
    """A commit of the same number that another store has made is not taken for one's own."""
    with taken(ledger) as lease, lease.open() as store, lease.open() as other:
        other.commit(INTENT)
        with pytest.raises(OutputFailed, match="its last commit is number 1"):
            store.commit(OUTCOME)


def test_a_ledger_that_was_deleted_is_told(postgresql: Server, ledger: str) -> None:
    """By who writes it, and by who reads it."""
    with taken(ledger) as lease, lease.open() as store:
        store.commit(INTENT)
        with postgresql.connect() as db:
            db.execute("DELETE FROM ledger WHERE id = %s", (store._ledger,))
        with pytest.raises(OutputFailed, match="somebody has deleted it"):
            store.commit(OUTCOME)
    with pytest.raises(LedgerRefused, match="there is no ledger"), opened(ledger):
        pass


def test_a_full_disk_takes_nothing_that_was_committed(postgresql: Server, ledger: str) -> None:
    """The commit that found no room is not there, those before it are, and with room again it is taken."""
    stream = commits(1)
    with taken(ledger) as lease, lease.open() as store, postgresql.connect() as db:
        for commit in islice(stream, 3):
            store.commit(commit)
        commit = next(stream)
        try:
            db.execute(
                "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$"
            )
            db.execute("CREATE TRIGGER full_disk BEFORE INSERT ON lines EXECUTE FUNCTION no_room()")
            for _ in range(2):
                with pytest.raises(
                    OutputFailed, match="cannot be written: its disk is full; make room and run the same"
                ):
                    store.commit(commit)
                assert held_at(ledger) == replayed(3)
        finally:
            db.execute("DROP FUNCTION no_room CASCADE")
        store.commit(commit)
        assert held_at(ledger) == replayed(4)


def test_a_writer_outlives_restarts_of_the_database(postgresql: Server, ledger: str) -> None:
    """Nothing of what was committed is lost or doubled, and it writes on."""
    with taken(ledger) as lease, lease.open() as store:
        for number, commit in enumerate(islice(commits(1), 9)):
            if number % 3 == 1:
                postgresql.restart()
            store.commit(commit)
        assert held_at(ledger) == replayed(9)


def test_patience_with_a_database_has_an_end(postgresql: Server) -> None:
    """Exit 9 when it does not come back; what follows is tried once, and not waited for; and it can be taken up."""
    ledger = postgresql.new_ledger(lease=1)
    lease = taken(ledger)
    store = lease.open()
    store.commit(INTENT)
    lease._ended.set()  # else the renewal may have waited in vain before the commit does
    lease._renewing.join()
    postgresql.stop("immediate")
    try:
        began = time.monotonic()
        with pytest.raises(OutputFailed, match=r"cannot be written: .*did not come back within 2 s") as failed:
            store.commit(OUTCOME)
        assert failed.value.exit_code == 9
        assert time.monotonic() - began >= 2
        with pytest.raises(OutputFailed, match="cannot be written"):
            store.commit(OUTCOME)
        store.close()
        lease.close()
    finally:
        postgresql.start()
    with hold(ledger, 300) as second, second.open() as later:
        assert later.doubtful() == {1: 1}
        later.commit(OUTCOME)


def test_a_frozen_database_is_a_lost_one(postgresql: Server) -> None:
    """Who waits for a session of a database that stands still is let go of when it is ended there."""
    ledger = postgresql.new_ledger(lease=1)
    with taken(ledger) as lease, lease.open() as store:
        store.commit(INTENT)
        postgresql.freeze()
        thawing = threading.Timer(1.5, postgresql.thaw)
        thawing.start()
        store.commit(OUTCOME)
        thawing.join()
        assert store.known(1, 1).keys() == {1}


def test_a_reader_outlives_a_restart_between_two_looks(postgresql: Server, ledger: str) -> None:
    """But not within a snapshot: what it would read then is of another instant."""
    with opened(ledger, create=True) as store:
        store.commit(OUTCOME)
    with opened(ledger) as reader:
        assert reader.last() == 1
        postgresql.restart()
        assert reader.last() == 1
        with reader.snapshot():
            assert reader.last() == 1
            postgresql.restart()
            with pytest.raises(OutputFailed, match="cannot be read"):
                reader.last()
        assert reader.last() == 1


def test_what_became_of_a_commit_is_known_by_what_it_held(ledger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for again behind an error the same one is found; another of its number is not taken for it."""
    with taken(ledger) as lease, lease.open() as store:
        lose_connection(monkeypatch, behind=True)
        lease._patience.over = True
        with pytest.raises(OutputFailed, match="server closed the connection"):
            store.commit(INTENT)
        with pytest.raises(OutputFailed, match="its last commit is number 1, and this run has made 0"):
            store.commit(OUTCOME)
        store.commit(INTENT)
        store.commit(OUTCOME)
        assert store.doubtful() == {1: 1}
        assert store.known(1, 1).keys() == {1}
