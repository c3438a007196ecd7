"""A run over a small input, divided into shards, by hand: one step of one shard at a time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from itertools import chain

from batcher.core.result import Origin
from batcher.core.shard import KeyShard
from batcher.core.verdict import Outcome
from batcher.flow.ledger.access import hold, open_together
from batcher.flow.ledger.address import of_shard
from batcher.flow.ledger.commit import Commit, Moved
from batcher.flow.ledger.memory import Memory, Past
from batcher.flow.ledger.moving import Moving
from batcher.flow.ledger.postgresql.lease import Lease
from batcher.flow.ledger.rows import Kind, Known, Move, OpenAgain, mark
from batcher.flow.ledger.store import Store
from batcher.flow.lines import Line, Splitter
from batcher.values import Shard
from tests.flow.runs import line_of, record

BATCH = 7
BOUND = {"endpoint": "x", "skip": "0"}
FINAL = (Outcome.DELIVERED, Outcome.REJECTED, Outcome.IN_DOUBT)


def keys(shard: Shard) -> KeyShard:
    return KeyShard(shard, ("SourceID",), lambda _raw: ())


def text_of(count: int) -> bytes:
    """Lines of an input; several have the same key."""
    rnd = random.Random(count)
    found = (line_of(record(number, key=f"K-{rnd.randrange(count // 2)}")) for number in range(1, count + 1))
    return b"".join(found)


def all_lines(text: bytes) -> dict[int, Line]:
    """By their numbers."""
    return {line.number: line for line in chain.from_iterable(Splitter(None, 1 << 20).feed(text))}


class OneShard:
    """A run of one shard: begins, reads batch after batch, and may die at any point."""

    def __init__(self, ledger: str, shard: Shard, text: bytes, bound: dict[str, str] | None = None) -> None:
        whole = str(shard) if shard.count > 1 else None
        by = f"{shard} by key" if whole else "none"
        bound = {**(bound or BOUND), "shard": by}
        right = hold(of_shard(ledger, whole), 300, create=True, bound=bound)
        assert isinstance(right, Lease)
        self.right = right
        self.store = self.right.open()
        self.store.bind(bound)
        self.windows = self.store.windows()
        self.next_window = max(self.windows, default=0) + 1
        self.reading = self.right.read()
        self.keys = keys(shard)
        earlier = self.right.earlier()
        self.ended = dict.fromkeys(Outcome, 0)
        self.memory: Memory | Moving = Memory(self.reading)
        if earlier is not None:
            self.memory = Moving(self.memory, earlier, self.keys, self, self.ended)
        self.lines = list(chain.from_iterable(Splitter(None, 1 << 20, self.keys).feed(text)))
        self.read = 0

    async def move(self, moves: Sequence[Move]) -> Moved:
        """As the writer does it."""
        sent = {move.ordinal: move.hash for move in moves if move.sent}
        commit = Commit(moves=list(moves))
        if sent:
            commit.windows = {self.next_window: sent}
            self.windows[self.next_window] = sent
            self.next_window += 1
        await asyncio.to_thread(self.store.commit, commit)
        assert commit.moved is not None
        return commit.moved

    @property
    def is_done(self) -> bool:
        return self.read == len(self.lines)

    def step(self) -> list[tuple[int, Line, Past | None]]:
        """The next batch: of each line its ordinal, and what is known of it."""
        batch = self.lines[self.read : self.read + BATCH]
        asyncio.run(self.memory.look_up(self.read + 1, batch))
        found = []
        for line in batch:
            self.read += 1
            found.append((self.read, line, self.memory.recall(self.read, line)))
        if self.is_done:
            self.memory.end(self.read)
        return found

    def read_all(self) -> list[tuple[int, Line, Past | None]]:
        """The same of all batches that are left."""
        found = []
        while not self.is_done:
            found += self.step()
        return found

    def declare(self, records: dict[int, int]) -> None:
        """These may be sent from now on."""
        self.windows[self.next_window] = records
        self.store.commit(Commit(windows={self.next_window: records}))
        self.next_window += 1

    def finish(self, records: dict[int, tuple[Line, Outcome]], *, again: bool) -> None:
        """These have their outcome; *again* for those that were open again."""
        commit = Commit()
        for ordinal, (line, outcome) in records.items():
            commit.records.setdefault(outcome, {})[ordinal] = mark(line.hash, line.number)
            commit.results.append(told(line, outcome))
            commit.results_of.append(ordinal)
            if outcome is not Outcome.DELIVERED:
                commit.rejects.append(told(line, outcome))
                commit.rejects_of.append(ordinal)
            if again:
                commit.closed.append(ordinal)
        for number, window in self.windows.items():
            left = {ordinal: digest for ordinal, digest in window.items() if ordinal not in records}
            if left != window:
                self.windows[number] = commit.windows[number] = left
        self.windows = {number: window for number, window in self.windows.items() if window}
        self.store.commit(commit)

    def cut_off(self) -> None:
        """It does not renew its lease any more."""
        self.right._ended.set()
        self.right._renewing.join()

    def die(self) -> None:
        """Killed: its sessions are gone, and it lets go of nothing."""
        self.cut_off()
        if isinstance(self.memory, Moving):
            self.memory.close()
        for store in (self.store, self.reading):
            store.close()
        self.right._session.close()

    def close(self) -> None:
        """An orderly end."""
        if isinstance(self.memory, Moving):
            self.memory.close()
        for store in (self.store, self.reading):
            store.close()
        self.right.close()


def told(line: Line, outcome: Outcome) -> bytes:
    return b'{"line":%d,"outcome":"%s"}\n' % (line.number, outcome.value.encode())


def open_again(ledger: str, ordinal: int, line: Line, outcome: Outcome) -> None:
    """A person says that a record was not applied."""
    with hold(ledger, 300, closed=True) as right, closing(right.open()) as store:
        origin = Origin(line.number, outcome, "timeout", "none", 1).write()
        store.open_again([OpenAgain(ordinal, mark(line.hash, line.number), origin, line.raw)])


class Held:
    """All that the ledgers of a run hold at one instant, by the lines of the input; each is to be in one alone."""

    def __init__(self, ledger: str, text: bytes) -> None:
        number_of = {mark(line.hash, number): number for number, line in all_lines(text).items()}
        self.known: dict[int, Outcome] = {}
        self.reopened: set[int] = set()
        self.doubtful: set[int] = set()
        self.where: dict[int, tuple[str, int]] = {}
        self.results: Counter[bytes] = Counter()
        self.rejects: Counter[bytes] = Counter()
        places: list[tuple[int, str]] = []
        with open_together([ledger]) as opened:
            for place, store in opened:
                known: dict[int, Known] = store.known(1, 10**6)
                reopened, doubtful = store.reopened(1, 10**6), store.doubtful()
                for ordinal, each in known.items():
                    self.where[number_of[each.hash]] = place, ordinal
                self.known |= {number_of[each.hash]: each.outcome for each in known.values()}
                self.reopened |= {number_of[each.hash] for each in reopened.values()}
                self.doubtful |= {number_of[digest] for digest in doubtful.values()}
                here = {each.hash for each in known.values()} | {each.hash for each in reopened.values()}
                here |= set(doubtful.values())
                places += [(number_of[digest], place) for digest in here]
                counted = Counter(each.outcome for each in known.values())
                assert store.counts() == {outcome: counted[outcome] for outcome in Outcome}
                self._hear(store, "results", self.results)
                self._hear(store, "rejects", self.rejects)
        assert len({number for number, _ in places}) == len(places), "a record is in two ledgers"

    def _hear(self, store: Store, kind: Kind, found: Counter[bytes]) -> None:
        """Lines belong to records that the same ledger has."""
        ordinals = {*store.known(1, 10**6), *store.reopened(1, 10**6)}
        here: list[bytes] = []
        for commit in store.told(kind):
            assert {ordinal for ordinal, _ in commit} <= ordinals
            here += [line + b"\n" for _, line in commit]
        assert b"".join(store.lines(kind)) == b"".join(here)
        found.update(here)
