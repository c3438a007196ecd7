"""One writer a ledger in a database: the lease, the fence behind it, and what becomes of a writer that comes back."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from batcher.errors import LedgerInUse, LedgerLost, OutputFailed
from batcher.flow.ledger.access import hold, is_written
from batcher.flow.ledger.address import Address
from batcher.flow.ledger.commit import Commit
from batcher.flow.ledger.postgresql.session import Patience, Session
from batcher.flow.ledger.postgresql.store import PostgresStore, Writer
from batcher.flow.ledger.rows import OpenAgain
from tests.flow.ledgers import opened
from tests.postgresql.server import Server
from tests.postgresql.writers import INTENT, OUTCOME, run_out, taken, until


def test_who_was_taken_over_commits_nothing(postgresql: Server, ledger: str) -> None:
    """Neither an intent nor an outcome, however often it tries; what it had committed is in doubt to its heir."""
    first = taken(ledger)
    old = first.open()
    old.commit(INTENT)
    run_out(postgresql, ledger)
    with hold(ledger) as second, second.read() as later:
        assert later.doubtful() == {1: 1}
        for commit in (Commit(windows={2: {2: 2}}), OUTCOME, OUTCOME):
            with pytest.raises(LedgerLost, match="was taken over by another run") as lost:
                old.commit(commit)
            assert lost.value.exit_code == 8
        with pytest.raises(LedgerLost):
            old.begin_run(1.0, 0, again=False)
        with pytest.raises(LedgerLost):
            old.open_again([])
        assert (later.windows(), later.known(1, 9)) == ({1: {1: 1}}, {})
        store = second.open()
        store.commit(OUTCOME)
        assert later.known(1, 9).keys() == {1}
        store.close()
    old.close()
    first.close()


def test_the_right_of_an_heir_is_not_let_go_of_by_who_had_it_before(postgresql: Server, ledger: str) -> None:
    """The first one's end ends nothing of the second one's."""
    first = taken(ledger)
    run_out(postgresql, ledger)
    with hold(ledger):
        first.close()
        assert is_written(ledger)
        with pytest.raises(LedgerInUse):
            hold(ledger)


def test_a_writer_that_has_nothing_to_commit_keeps_its_lease_and_hears_when_it_is_lost(postgresql: Server) -> None:
    """It is renewed while nothing happens; once another run has it, who only waits is told."""
    ledger = postgresql.new_ledger(lease=9)
    lost: list[OutputFailed] = []
    heard = threading.Event()

    def tell(error: OutputFailed) -> None:
        lost.append(error)
        heard.set()

    first = taken(ledger)
    first.on_lost(tell)
    began = expiry(postgresql, ledger)
    until(lambda: expiry(postgresql, ledger) > began + 1)
    assert is_written(ledger)
    with postgresql.connect() as db:
        db.execute("UPDATE ledger SET epoch = epoch + 1 WHERE name = %s", (Address.read(ledger).name,))
    assert heard.wait(300)
    assert [type(error) for error in lost] == [LedgerLost]
    first.on_lost(tell)  # who asks later hears it at once
    assert len(lost) == 2
    first.close()


def test_the_lease_is_kept_while_much_is_opened_again(postgresql: Server) -> None:
    """One transaction holds all of it, and lasts longer than the lease: nobody takes the ledger over meanwhile."""
    ledger = postgresql.new_ledger(lease=6)
    lost: list[OutputFailed] = []
    with taken(ledger) as lease, lease.open() as store:
        lease.on_lost(lost.append)
        store.commit(OUTCOME)

        def slowly() -> Iterator[OpenAgain]:
            yield OpenAgain(1, 1, '{"line":1,"outcome":"rejected","kind":"client_fault"}', b"{}")
            began = expiry(postgresql, ledger)
            until(lambda: expiry(postgresql, ledger) > began + 6 or lost != [])
            assert is_written(ledger)

        store.open_again(slowly())
        assert (lost, store.count_reopened()) == ([], 1)


def test_a_writer_hears_that_its_tables_are_gone(postgresql: Server) -> None:
    """Whatever the renewal finds is told, and not left to a thread that nobody looks at."""
    told: list[OutputFailed] = []
    heard = threading.Event()

    def tell(error: OutputFailed) -> None:
        told.append(error)
        heard.set()

    with postgresql.another_database("dropped") as url, taken(f"{url}?lease=1") as lease:
        lease.on_lost(tell)
        with postgresql.connect(url) as db:
            db.execute("DROP SCHEMA veetro_batch CASCADE")
        assert heard.wait(300)
    assert [(error.exit_code, "is damaged" in str(error)) for error in told] == [(9, True)]


def expiry(postgresql: Server, ledger: str) -> float:
    with postgresql.connect() as db:
        query = "SELECT extract(epoch FROM expires) FROM ledger WHERE name = %s"
        [(found,)] = db.execute(query, (Address.read(ledger).name,)).fetchall()
        return float(found)


def test_after_a_restart_of_the_database_the_lease_counts(postgresql: Server) -> None:
    """Then nobody can see whether the writer lives: it has until the lease runs out to come back."""
    ledger = postgresql.new_ledger(lease=300)  # a restart takes as long as the machine lets it
    first = taken(ledger)
    first._ended.set()  # it is cut off: neither renews its lease nor comes back
    first._renewing.join()
    postgresql.restart()
    assert is_written(ledger)
    with pytest.raises(LedgerInUse):
        hold(ledger)
    run_out(postgresql, ledger)
    hold(ledger, 300).close()
    first.close()


def test_who_ends_after_a_restart_lets_go_of_its_lease(postgresql: Server) -> None:
    """Also where its connection is still the one of before: the next command need not wait for the lease to run out."""
    ledger = postgresql.new_ledger(lease=300)
    first = taken(ledger)
    postgresql.restart()
    first.close()
    assert not is_written(ledger)
    hold(ledger).close()


def test_one_that_stands_still_in_the_midst_of_a_commit_holds_up_nobody(postgresql: Server) -> None:
    """Its transaction has locked what the heir needs: once its lease is over, its sessions are ended."""
    ledger = postgresql.new_ledger(lease=1)
    first = taken(ledger)
    store = first.open()
    store.commit(INTENT)
    first._ended.set()
    first._renewing.join()
    db = store._session._connected()
    db.execute("BEGIN")
    db.execute("SELECT fence(%s, %s, %s, %s, %s)", (store._ledger, first._epoch, store._number + 1, 7, 0.0))
    with hold(ledger, 300) as second, second.read() as later:
        assert later.doubtful() == {1: 1}
        with pytest.raises(LedgerLost):
            store.commit(OUTCOME)
    store.close()
    first.close()


def test_a_store_that_was_opened_to_be_read_writes_nothing(ledger: str) -> None:
    """It has no epoch."""
    with opened(ledger, create=True) as store:
        store.commit(OUTCOME)
    with opened(ledger) as reader:
        with pytest.raises(OutputFailed, match="cannot be written"):
            reader.commit(INTENT)
        assert reader.doubtful() == {}


def test_what_holds_no_epoch_of_the_ledger_is_refused_by_the_database_itself(ledger: str) -> None:
    """Whatever our side believes: the fence is in the transaction."""
    with taken(ledger) as lease, lease.open() as store:
        for epoch in (0, lease._epoch - 1, lease._epoch + 1):
            session = Session(Address.read(ledger), Patience(1.0), "written")
            forged = PostgresStore(session, store._ledger, Writer(store._ledger, epoch, 1.0))
            with pytest.raises(LedgerLost):
                forged.commit(INTENT)
            forged.close()
        assert store.windows() == {}
