"""What the ledger holds after a crash at any instant: every commit that returned, whole, and nothing by halves."""

from __future__ import annotations

import itertools
import random
import shutil
import signal
import tempfile
from collections import Counter
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from batcher.core.reject import Reject
from batcher.core.result import Origin
from batcher.core.verdict import Outcome
from batcher.errors import LedgerLost
from batcher.flow.ledger.access import hold
from batcher.flow.ledger.address import Address
from batcher.flow.ledger.commit import Commit
from batcher.flow.ledger.postgresql.lease import Lease
from batcher.flow.ledger.postgresql.store import PostgresStore
from batcher.flow.ledger.reopen import open_again
from batcher.flow.ledger.rows import Reopened
from batcher.flow.ledger.sqlite.store import SqliteStore
from batcher.flow.ledger.store import Store
from tests.flow.ledgers import ALL, FINAL, OUTPUT, Model, held, held_at, replayed, writer
from tests.postgresql.server import Server

SECTOR = 512
WAL_HEADER = 32

hashes = st.integers(*ALL)
outcomes = st.sampled_from(FINAL)


def image(path: Path) -> tuple[bytes, bytes]:
    """What the disk holds of the ledger: the file and its WAL. The -shm file is made anew from them."""
    wal = Path(f"{path}-wal")
    return path.read_bytes(), wal.read_bytes() if wal.exists() else b""


def mixed(before: bytes, after: bytes, seed: int) -> bytes:
    """A write that makes *after* of *before*, of which some sectors have reached the disk, in no order."""
    rnd = random.Random(seed)
    share = rnd.random()
    pieces = []
    for at in range(0, max(len(before), len(after)), SECTOR):
        piece = slice(at, at + SECTOR)
        pieces.append(after[piece] if rnd.random() < share else before[piece].ljust(len(after[piece]), b"\0"))
    return b"".join(pieces)


class Books(RuleBasedStateMachine):
    """A ledger that is written, torn down, and opened again, beside what it should hold; subclasses say how."""

    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.lost: list[Model] = []
        self.invalids: set[int] = set()
        self.pending = Commit()
        self.windows: dict[int, dict[int, int]] = {}
        self.next_window = self.next_ordinal = 1

    def forget(self) -> None:
        """Who starts anew knows what the ledger knows."""
        self.pending = Commit()
        self.windows = self.store.windows()
        self.next_window = max(self.windows, default=0) + 1
        self.next_ordinal = self.store.last() + 1

    @rule(lines=st.lists(hashes, min_size=1, max_size=20))
    def declare(self, lines: list[int]) -> None:
        window = {self.next_ordinal + place: line for place, line in enumerate(lines)}
        self.windows[self.next_window] = self.pending.windows[self.next_window] = window
        self.next_window += 1
        self.next_ordinal += len(lines)

    @precondition(lambda self: any(self.windows.values()))
    @rule(data=st.data(), outcome=outcomes, size=st.sampled_from([10, 300, 5000]))
    def settle(self, data: st.DataObject, outcome: Outcome, size: int) -> None:
        number = data.draw(st.sampled_from([number for number, window in self.windows.items() if window]))
        window = self.windows[number]
        for ordinal in data.draw(st.lists(st.sampled_from(sorted(window)), min_size=1, unique=True)):
            self.pending.records.setdefault(outcome, {})[ordinal] = window.pop(ordinal)
            self.end(ordinal, outcome, size)
        self.pending.windows[number] = window

    def end(self, ordinal: int, outcome: Outcome, size: int) -> None:
        """The lines of an outcome; a record that was open again is so no more."""
        text = random.Random(ordinal).randbytes(size).hex().encode() + b"\n"
        self.pending.results.append(text)
        self.pending.results_of.append(ordinal)
        if outcome is not Outcome.DELIVERED:
            self.pending.rejects.append(text)
            self.pending.rejects_of.append(ordinal)
        if ordinal in self.model.reopened:
            self.pending.closed.append(ordinal)

    @precondition(lambda self: self.closed_records())
    @rule(data=st.data())
    def open_again(self, data: st.DataObject) -> None:
        """Some records that have their outcome are to be sent once more, all in one transaction."""
        self.commit()
        if closed := self.closed_records():  # the commit may have delivered the last of them
            self.open_records(data.draw(st.lists(st.sampled_from(closed), min_size=1, unique=True)))

    def closed_records(self) -> list[int]:
        return sorted(each for each, known in self.model.records.items() if known.outcome is not Outcome.DELIVERED)

    def open_records(self, chosen: list[int]) -> None:
        records = self.model.records
        origins = {each: Origin(each, records[each].outcome, "timeout", "none", 1) for each in chosen}
        # A record is known by its line's hash and number together: see ``mark``.
        hashes = {each: ((records[each].hash ^ origins[each].line) % 2**64).to_bytes(8, "big").hex() for each in chosen}
        open_again(
            self.store,
            [(each, Reject(origins[each], b"", True, hashes[each], b"null"), origins[each]) for each in chosen],
        )
        self.model = deepcopy(self.model)
        for each in chosen:
            self.model.reopened[each] = Reopened(self.model.records.pop(each).hash, origins[each])
        self.lost = []

    @precondition(lambda self: self.undeclared())
    @rule(data=st.data())
    def declare_again(self, data: st.DataObject) -> None:
        """A record that is open again may be sent from the next commit on."""
        chosen = data.draw(st.lists(st.sampled_from(self.undeclared()), min_size=1, unique=True))
        window = {each: self.model.reopened[each].hash for each in chosen}
        self.windows[self.next_window] = self.pending.windows[self.next_window] = window
        self.next_window += 1

    def undeclared(self) -> list[int]:
        """Records that are open again, may not be sent yet, and get no outcome with the next commit."""
        declared = {each for window in self.windows.values() for each in window}
        return sorted(self.model.reopened.keys() - declared - set(self.pending.closed))

    @precondition(lambda self: any(self.windows.values()))
    @rule(data=st.data())
    def retract(self, data: st.DataObject) -> None:
        """Turned away unread: nothing is known of the record then."""
        number = data.draw(st.sampled_from([number for number, window in self.windows.items() if window]))
        self.windows[number].pop(data.draw(st.sampled_from(sorted(self.windows[number]))))
        self.pending.windows[number] = self.windows[number]

    @rule(line=hashes)
    def invalid(self, line: int) -> None:
        """An outcome without an intent."""
        self.pending.records.setdefault(Outcome.INVALID, {})[self.next_ordinal] = line
        self.pending.rejects.append(b"invalid\n")
        self.pending.rejects_of.append(self.next_ordinal)
        self.invalids.add(self.next_ordinal)
        self.next_ordinal += 1

    @precondition(lambda self: self.model.records)
    @rule(data=st.data(), outcome=outcomes)
    def change(self, data: st.DataObject, outcome: Outcome) -> None:
        """A record that was in doubt is sent again, or a person knows better."""
        ordinal = data.draw(st.sampled_from(sorted(self.model.records)))
        if ordinal not in {changed for records in self.pending.records.values() for changed in records}:
            self.pending.records.setdefault(outcome, {})[ordinal] = self.model.records[ordinal].hash
            self.end(ordinal, outcome, 10)

    @rule(limit=st.integers(1, 999), account=st.booleans())
    def learn(self, limit: int, account: bool) -> None:  # noqa: FBT001 - drawn
        self.pending.limit = limit
        if account:
            self.pending.accounted = {OUTPUT: len(self.model.results)}

    @rule()
    def commit(self) -> None:
        self.store.commit(self.pending)
        self.model = self.model.after(self.pending)
        self.pending = Commit()
        self.lost = []

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "store"):
            return
        assert held(self.store) == self.model
        counted = Counter(known.outcome for known in self.model.records.values())
        assert self.store.counts() == {outcome: counted[outcome] for outcome in Outcome}
        doubtful = self.store.doubtful()
        assert not doubtful.keys() & self.model.records.keys(), "a record has an outcome, or is in doubt, or is unknown"
        assert not self.model.reopened.keys() & self.model.records.keys(), "what is open again has no outcome"
        assert self.store.last() == max([0, *self.model.records, *self.model.reopened, *doubtful])
        told = [each for commit in self.store.told("results") for each in commit]
        assert b"".join(line + b"\n" for _, line in told) == self.model.results
        assert {ordinal for ordinal, _ in told} >= self.model.reopened.keys() - self.invalids
        middle = self.next_ordinal // 2
        assert self.store.known(middle, middle + 3) == {
            ordinal: known for ordinal, known in self.model.records.items() if middle <= ordinal <= middle + 3
        }
        skip = len(self.model.results) // 3
        assert b"".join(self.store.lines("results", skip)) == self.model.results[skip:]


class Crashes(Books):
    """A file, torn down between and within writes."""

    store: SqliteStore

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.copies = itertools.count(1)

    @initialize()
    def create(self) -> None:
        self.open(self.directory / "0.ledger")

    def open(self, path: Path) -> None:
        self.path = path
        self.store = SqliteStore(str(path), create=True)
        self.store._db.execute("PRAGMA wal_autocheckpoint = 8")  # pages: so that a short run has checkpoints, too

    def reopen(self, ledger: bytes, wal: bytes) -> None:
        """The process is dead, and a new one finds this. What was not committed is gone."""
        self.store.close()
        path = self.directory / f"{next(self.copies)}.ledger"
        path.write_bytes(ledger)
        Path(f"{path}-wal").write_bytes(wal)
        self.open(path)

    @rule()
    def crash(self) -> None:
        """Killed between two commits: all of them are there, and nothing of what was on its way."""
        self.reopen(*image(self.path))
        assert held(self.store) == self.model
        self.forget()

    @rule(seed=st.integers(0, 999))
    def lose_power_in_commit(self, seed: int) -> None:
        """Some of the WAL has reached the disk: the commit is there or is not."""
        without, lost = self.model, self.lost
        ledger, before = image(self.path)
        self.commit()
        after = image(self.path)[1]
        # SQLite brings a new header to the disk before anything that belongs to it.
        self.reopen(ledger, mixed(after[:WAL_HEADER] + before[WAL_HEADER:], after, seed))
        self.take_what_is_there(without, lost)

    @precondition(lambda self: self.closed_records())
    @rule(seed=st.integers(0, 999))
    def lose_power_in_reopening(self, seed: int) -> None:
        """All of the records are open again, or none."""
        self.commit()
        without, lost = self.model, self.lost
        ledger, before = image(self.path)
        self.open_records(self.closed_records())
        after = image(self.path)[1]
        self.reopen(ledger, mixed(after[:WAL_HEADER] + before[WAL_HEADER:], after, seed))
        self.take_what_is_there(without, lost)

    @rule(share=st.floats(0, 1))
    def cut_wal(self, share: float) -> None:
        """The WAL was being written from its first byte to its last: the commit is there only if all of it was."""
        without, lost = self.model, self.lost
        ledger, before = image(self.path)
        self.commit()
        after = image(self.path)[1]
        new = next((at for at, (old, new) in enumerate(zip(before, after, strict=False)) if old != new), len(before))
        cut = new + int(share * (len(after) - new))
        self.reopen(ledger, after[:cut] + before[cut:])
        self.take_what_is_there(without, lost)

    @rule(seed=st.integers(0, 999))
    def lose_power_in_checkpoint(self, seed: int) -> None:
        """The WAL was being copied into the ledger: nothing is lost, for the WAL is still there."""
        ledger, _ = image(self.path)
        self.commit()
        after, wal = image(self.path)
        self.reopen(mixed(ledger, after, seed), wal)
        assert held(self.store) == self.model
        self.forget()

    def take_what_is_there(self, without: Model, lost: list[Model]) -> None:
        """The commit that was under way is there, or is not.

        Or an earlier one is that a loss of power had cut off: the next commit is written over what is left of it, and
        the sectors that both share may complete it. Nothing was committed since, so nothing was sent since, and what it
        says did happen.
        """
        found = held(self.store)
        if found == self.model:
            self.lost = []
        elif found == without:
            self.lost = [*lost, self.model]
        else:
            assert found in lost
            self.lost = []
        event("the commit that was under way is there" if found == self.model else "it is not")
        self.model = found
        self.forget()

    @rule()
    def close(self) -> None:
        """An orderly end."""
        self.store.close()
        assert not Path(f"{self.path}-wal").exists()
        self.open(self.path)
        self.forget()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
        shutil.rmtree(self.directory)


class Breakdowns(Books):
    """A database that breaks down under its writer; writers that die, lose a connection, or are taken over."""

    server: Server

    @initialize()
    def create(self) -> None:
        self.ledger = self.server.new_ledger(lease=1)
        self.begin()

    def begin(self) -> None:
        self.hold = hold(self.ledger, 60, create=True)
        self.store = self.hold.open()

    @rule()
    def restart(self) -> None:
        """As after a crash of the database; the writer goes on with what it has at hand."""
        self.server.restart()

    @rule()
    def lose_connection(self) -> None:
        """The writer's session is ended, and it goes on."""
        assert isinstance(self.store, PostgresStore)
        with self.server.connect() as db:
            pid = self.store._session._connected().info.backend_pid
            db.execute("SELECT pg_terminate_backend(%s)", (pid,))

    @rule()
    def die(self) -> None:
        """Killed between two commits: all of them are there, and nothing of what was on its way."""
        self.cut_off()._session.close()
        self.store.close()
        self.begin()
        assert held(self.store) == self.model
        self.forget()

    @rule()
    def be_taken_over(self) -> None:
        """Another writer begins, and the last one's commit is refused: it changes nothing."""
        old, right = self.store, self.cut_off()
        with self.server.connect() as db:
            db.execute("UPDATE ledger SET expires = '-infinity' WHERE name = %s", (Address.read(self.ledger).name,))
        self.begin()
        with pytest.raises(LedgerLost):
            old.commit(self.pending)
        assert held(self.store) == self.model
        old.close()
        right.close()
        self.forget()

    def cut_off(self) -> Lease:
        """The present writer does not renew its lease any more."""
        assert isinstance(self.hold, Lease)
        self.hold._ended.set()
        self.hold._renewing.join()
        return self.hold

    @rule()
    def close(self) -> None:
        """An orderly end."""
        self.end_well()
        self.begin()
        self.forget()

    def end_well(self) -> None:
        self.store.close()
        self.hold.close()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.end_well()


def test_after_any_crash_the_ledger_holds_its_commits() -> None:
    """Every commit that returned is there whole; the one under way is, or is not; every record is in one state."""
    run_state_machine_as_test(Crashes, settings=settings(max_examples=40, stateful_step_count=25, deadline=None))


def test_after_any_breakdown_the_database_holds_its_commits(
    postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same of a ledger in PostgreSQL: what was committed is there, once, whoever or whatever dies."""
    # Leases are short, as some are waited for; a database is not to come back within two of them on any machine.
    monkeypatch.setattr("batcher.flow.ledger.postgresql.finding._PATIENCE", 60.0)
    there = type("BreakdownsThere", (Breakdowns,), {"server": postgresql})
    run_state_machine_as_test(there, settings=settings(max_examples=8, stateful_step_count=20, deadline=None))


def test_a_killed_process_loses_nothing(ledger: str) -> None:
    """SIGKILL in the midst of committing, several times over on one ledger: what was reported durable is there."""
    count = 0
    for told in (1, 40, 7, 150):
        with writer(ledger, count) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(told)]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.readlines()
        count = int(lines[-1]) + 1
        found = held_at(ledger)
        if found != replayed(count):  # the next one was durable already, and had not been reported
            count += 1
        assert found == replayed(count)
