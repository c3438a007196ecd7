"""Which division into shards a run has, how it gets another one, and who is refused then."""

from __future__ import annotations

import contextlib
import threading

import pytest

from batcher.core.verdict import Outcome
from batcher.errors import LedgerInUse, LedgerLost, LedgerRefused
from batcher.flow.ledger.access import hold, members
from batcher.flow.ledger.address import Address
from batcher.flow.ledger.commit import Commit
from batcher.flow.ledger.postgresql.lease import Lease
from batcher.flow.ledger.rows import mark
from batcher.values import Shard
from tests.postgresql.divided import BOUND, Held, OneShard, text_of
from tests.postgresql.server import Server
from tests.postgresql.writers import run_out

RECORDS = 60


def two_shards(ledger: str, text: bytes, sent: int = 0) -> tuple[OneShard, OneShard]:
    """Of a run in its first division, each of which has read a batch, and declared the first records of it."""
    shards = OneShard(ledger, Shard(0, 2), text), OneShard(ledger, Shard(1, 2), text)
    for shard in shards:
        found = shard.step()
        declared = {ordinal: mark(line.hash, line.number) for ordinal, line, _ in found[:sent]}
        shard.declare(declared)
        shard.finish({ordinal: (line, Outcome.REJECTED) for ordinal, line, _ in found[sent:]}, again=False)
    return shards


def test_who_was_divided_away_commits_nothing(postgresql: Server) -> None:
    """One that was cut off and comes back ends with 8; what it had declared, and no more, is in doubt."""
    ledger, text = postgresql.new_ledger(lease=20), text_of(RECORDS)
    cut_off = two_shards(ledger, text, sent=3)
    with pytest.raises(LedgerInUse, match=r"shard=0/3.*or one in whose place it comes"):
        hold(f"{ledger}&shard=0/3", create=True)
    for shard in cut_off:
        shard.cut_off()
    run_out(postgresql, ledger)
    heirs = [OneShard(ledger, Shard(index, 3), text) for index in range(3)]
    for shard in cut_off:
        with pytest.raises(LedgerLost, match="was taken over by another run") as lost:
            shard.declare({9: 9})
        assert lost.value.exit_code == 8
    doubtful = set()
    for heir in heirs:
        doubtful |= {line.number for _, line, past in heir.read_all() if past is not None and past.sent}
    assert doubtful == Held(ledger, text).doubtful
    assert len(doubtful) == 6
    for shard in (*cut_off, *heirs):
        shard.close()


def test_a_shard_of_before_that_is_late_is_refused(postgresql: Server) -> None:
    """Whether it had a ledger or not, and also when no other one is at work; only who asks for it divides so again."""
    ledger, text = postgresql.new_ledger(lease=20), text_of(RECORDS)
    OneShard(ledger, Shard(0, 2), text).close()
    OneShard(ledger, Shard(2, 3), text).close()
    for late in ("shard=0/2", "shard=1/2"):
        with pytest.raises(LedgerRefused, match=r"has 3 shards now.*add division=3") as refused:
            hold(f"{ledger}&{late}", create=True)
        assert refused.value.exit_code == 9
    for division in (1, 2, 4):
        with pytest.raises(LedgerRefused, match="has 3 shards, in division 2"):
            hold(f"{ledger}&shard=0/2&division={division}", create=True)
    with pytest.raises(LedgerRefused, match="is closed: its run was divided anew and has 3 shards now"):
        hold(f"{ledger}&shard=0/2")
    again = f"{ledger}&division=3"
    OneShard(again, Shard(1, 2), text).close()
    OneShard(ledger, Shard(0, 2), text).close()  # it is the present number again
    with pytest.raises(LedgerRefused, match=r"has 2 shards now.*add division=4"):
        hold(f"{ledger}&shard=0/3", create=True)
    OneShard(ledger, Shard(0, 5), text).close()  # which the run has not had yet
    with postgresql.connect() as db:
        query = "SELECT shard, division, closed FROM ledger WHERE name = %s ORDER BY id"
        assert db.execute(query, (Address.read(ledger).name,)).fetchall() == [
            ("0/2", 1, True),
            ("2/3", 2, True),
            ("1/2", 3, True),
            ("0/2", 3, True),
            ("0/5", 4, False),
        ]


def test_of_two_divisions_at_once_one_begins(postgresql: Server) -> None:
    """The other one finds it at work, or is told that it is late."""
    ledger, text = postgresql.new_ledger(lease=20), text_of(RECORDS)
    OneShard(ledger, Shard(0, 2), text).close()
    begun: list[object] = []

    def begin(count: int) -> None:
        try:
            begun.append(hold(f"{ledger}&shard=0/{count}", create=True))
        except LedgerInUse as error:
            begun.append(error)

    threads = [threading.Thread(target=begin, args=(count,)) for count in (3, 4, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(each).__name__ for each in begun) == ["Lease", "LedgerInUse", "LedgerInUse"]
    [lease] = [each for each in begun if isinstance(each, Lease)]
    with postgresql.connect() as db:
        query = "SELECT count(*) FROM ledger WHERE name = %s AND NOT closed"
        assert db.execute(query, (lease._address.name,)).fetchall() == [(1,)]
    lease.close()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"endpoint": "y"}, "bound to endpoint x, and this run has y"),
        ({"skip": "1"}, "a run with --skip keeps its shards"),
        ({"max-line-bytes": "7"}, "bound to max-line-bytes 9, and this run has 7"),
        ({"shard": "0/3 by range"}, "shards by range keep their number"),
    ],
)
def test_another_run_closes_nothing(postgresql: Server, changed: dict[str, str], reason: str) -> None:
    """It is refused, and the run goes on as it was."""
    ledger, text = postgresql.new_ledger(lease=20), text_of(RECORDS)
    bound = BOUND | {"max-line-bytes": "9"}
    OneShard(ledger, Shard(0, 2), text, bound).close()
    with pytest.raises(LedgerRefused, match=reason) as refused:
        hold(f"{ledger}&shard=0/3", create=True, bound=bound | {"shard": "0/3 by key"} | changed)
    assert refused.value.exit_code == 9
    OneShard(ledger, Shard(0, 2), text, bound).close()


def test_a_run_by_ranges_keeps_its_shards(postgresql: Server) -> None:
    """Its records are counted from where each range begins: no other division finds them."""
    ledger = postgresql.new_ledger()
    with hold(f"{ledger}&shard=0/2", create=True) as right, contextlib.closing(right.open()) as store:
        store.bind(BOUND | {"shard": "0/2 by range"})
    for shard, by in (("shard=0/3", "0/3 by key"), ("shard=0/3", "0/3 by range"), ("lease=9", "none")):
        with pytest.raises(LedgerRefused, match=r"shards by range keep their number.*go on with as many as before"):
            hold(f"{ledger}&{shard}", create=True, bound=BOUND | {"shard": by})


def test_another_input_is_refused_where_it_differs(postgresql: Server) -> None:
    """Nothing moves from the changed line on, so the right input goes on; a cut one is refused at its end."""
    ledger, text = postgresql.new_ledger(lease=20), text_of(RECORDS)
    for shard in two_shards(ledger, text):
        shard.close()
    before = Held(ledger, text)
    known = sorted(before.known)
    changed = text.splitlines(keepends=True)
    changed[known[3] - 1] = changed[known[3] - 1].replace(b"Contact", b"Company")
    for index in range(3):
        shard = OneShard(ledger, Shard(index, 3), b"".join(changed))
        if line_index := [line.number for line in shard.lines].count(known[3]):
            assert line_index == 1
            with pytest.raises(LedgerRefused, match=f"line {known[3]} is not the one that the ledger knows"):
                shard.read_all()
        shard.close()
    cut = b"".join(text.splitlines(keepends=True)[: known[-1] - 1])
    shard = OneShard(ledger, Shard(0, 3), cut)
    with pytest.raises(LedgerRefused, match=r"the input ends after .* records of shard ./2, and its ledger knows of"):
        shard.read_all()
    shard.close()
    after = Held(ledger, text)
    assert (after.known, after.results, after.rejects) == (before.known, before.results, before.rejects)
    grown = text + text_of(RECORDS // 2)
    for index in range(3):
        shard = OneShard(ledger, Shard(index, 3), grown)
        shard.read_all()
        shard.close()
    assert not [place for place in members(ledger) if "division=" in place]
    assert Held(ledger, text).known == before.known


def test_a_word_on_a_record_that_has_moved_is_refused(postgresql: Server) -> None:
    """Who had found it in its old ledger is told that this was taken over, and changes nothing."""
    ledger, text = postgresql.new_ledger(lease=20), text_of(RECORDS)
    for shard in two_shards(ledger, text):
        shard.close()
    heirs = [OneShard(ledger, Shard(index, 3), text) for index in range(3)]
    number, (place, ordinal) = next(iter(sorted(Held(ledger, text).where.items())))
    assert "division=1" in place
    with hold(place, closed=True) as right, contextlib.closing(right.open()) as store:
        for heir in heirs:
            heir.read_all()
        moved = Held(ledger, text)
        assert "division=1" not in moved.where[number][0]
        with pytest.raises(LedgerLost):
            store.commit(Commit(records={Outcome.DELIVERED: {ordinal: 1}}))
    assert Held(ledger, text).known == moved.known
    for heir in heirs:
        heir.close()
