"""A run that goes on with another number of shards: its records move, and none is lost or doubled, whoever dies."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg
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

from batcher.core.verdict import Outcome
from batcher.flow.ledger.access import members
from batcher.flow.ledger.commit import Moved
from batcher.flow.ledger.memory import Past
from batcher.flow.ledger.postgresql import store as store_module
from batcher.flow.ledger.postgresql.moving import take
from batcher.flow.ledger.postgresql.store import PostgresStore
from batcher.flow.ledger.rows import mark
from batcher.flow.lines import Line
from batcher.values import Shard
from tests.postgresql.divided import FINAL, Held, OneShard, all_lines, open_again, text_of, told
from tests.postgresql.server import Server

RECORDS = 60


class Divisions(RuleBasedStateMachine):
    """A run whose shards begin, read, declare, end records and die, and that is divided anew at any time."""

    server: Server

    def __init__(self) -> None:
        super().__init__()
        self.text = text_of(RECORDS)
        self.shards: dict[int, OneShard] = {}
        self.count, self.division = 2, 1
        self.outcomes: dict[int, Outcome] = {}
        self.reopened: set[int] = set()
        self.sent: set[int] = set()
        self.results: Counter[bytes] = Counter()
        self.rejects: Counter[bytes] = Counter()

    @initialize()
    def create(self) -> None:
        self.ledger = self.server.new_ledger(lease=5)  # the database has twice that to come back in
        self.shard(0)

    @property
    def address(self) -> str:
        return f"{self.ledger}&division={self.division}"

    def shard(self, index: int) -> OneShard:
        index %= self.count
        if index not in self.shards:
            self.shards[index] = OneShard(self.address, Shard(index, self.count), self.text)
        return self.shards[index]

    @rule(index=st.integers(0, 3), drawn=st.integers(0, 999), share=st.floats(0, 1))
    def work(self, index: int, drawn: int, share: float) -> None:
        """A shard reads a batch, declares what may be sent, and brings some of that to its end."""
        shard = self.shard(index)
        if shard.is_done:
            return
        fresh = {ordinal: line for ordinal, line, past in shard.step() if self.is_fresh(line.number, past)}
        new = {ordinal: line for ordinal, line in fresh.items() if line.number not in self.sent}
        if new:
            shard.declare({ordinal: mark(line.hash, line.number) for ordinal, line in new.items()})
            self.sent |= {line.number for line in new.values()}
        rnd = random.Random(drawn)
        some = rnd.sample(sorted(fresh), int(share * len(fresh)))
        for again in (False, True):
            ended = {
                ordinal: (fresh[ordinal], rnd.choice(FINAL))
                for ordinal in some
                if (fresh[ordinal].number in self.reopened) == again
            }
            shard.finish(ended, again=again)
            for line, outcome in ended.values():
                self.end(line, outcome)

    def is_fresh(self, number: int, past: Past | None) -> bool:
        """Whether a line has no outcome yet; what is known of it is what has happened."""
        if number in self.outcomes:
            assert past is not None
            assert past.known is not None
            assert past.known.outcome is self.outcomes[number]
            return False
        assert past is None or past.known is None
        assert (past is not None and past.sent) == (number in self.sent), "what was declared is in doubt to an heir"
        assert (past is not None and past.origin is not None) == (number in self.reopened)
        return True

    def end(self, line: Line, outcome: Outcome) -> None:
        self.outcomes[line.number] = outcome
        self.sent.discard(line.number)
        self.reopened.discard(line.number)
        self.results[told(line, outcome)] += 1
        if outcome is not Outcome.DELIVERED:
            self.rejects[told(line, outcome)] += 1

    @rule(index=st.integers(0, 4))
    def die(self, index: int) -> None:
        if (shard := self.shards.pop(index % self.count, None)) is not None:
            shard.die()

    @rule(index=st.integers(0, 4))
    def stop(self, index: int) -> None:
        if (shard := self.shards.pop(index % self.count, None)) is not None:
            shard.close()

    @rule(count=st.integers(1, 4), clean=st.booleans())
    def divide(self, count: int, clean: bool) -> None:  # noqa: FBT001 - drawn
        """All shards end, and the first one of another division begins."""
        if count == self.count:
            return
        for shard in self.shards.values():
            if clean:
                shard.close()
            else:
                shard.die()
        self.shards = {}
        self.count, self.division = count, self.division + 1
        self.shard(count - 1)

    @rule(index=st.integers(0, 3))
    def die_in_a_move(self, index: int) -> None:
        """Whatever happens before its transaction ends, nothing of it has happened."""
        shard = self.shard(index)
        if shard.is_done:
            return
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store_module, "take", taken_and_broken_off)
            with contextlib.suppress(BrokenOffError):
                shard.step()
        self.shards.pop(index % self.count).die()

    @rule()
    def lose_connections(self) -> None:
        """All sessions are ended, and the shards go on."""
        with self.server.connect() as db:
            db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND application_name = 'veetro-batch'"
            )

    @rule(index=st.integers(0, 3))
    def lose_the_answer_to_a_move(self, index: int) -> None:
        """The connection is lost when the transaction has ended, and nobody heard so: it is found to be there."""
        shard = self.shard(index)
        if shard.is_done:
            return
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PostgresStore, "_move", moved_and_lost(PostgresStore._move))
            found = shard.step()
        for _, line, past in found:
            self.is_fresh(line.number, past)

    @rule()
    def restart(self) -> None:
        self.server.restart()

    @precondition(lambda self: any(outcome is not Outcome.DELIVERED for outcome in self.outcomes.values()))
    @rule(data=st.data())
    def say_that_it_was_not_applied(self, data: st.DataObject) -> None:
        """A person's word on a record, in whatever ledger it is; shards that were at work have ended."""
        self.stop_all()
        undelivered = sorted(each for each, known in self.outcomes.items() if known is not Outcome.DELIVERED)
        number = data.draw(st.sampled_from(undelivered))
        place, ordinal = Held(self.ledger, self.text).where[number]
        event("a word in an earlier ledger" if "division=" in place else "a word in a present one")
        open_again(place, ordinal, all_lines(self.text)[number], self.outcomes.pop(number))
        self.reopened.add(number)

    def stop_all(self) -> None:
        for shard in self.shards.values():
            shard.close()
        self.shards = {}

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "ledger"):
            return
        held = Held(self.ledger, self.text)
        assert held.known == self.outcomes
        assert held.reopened == self.reopened
        assert held.doubtful == self.sent
        assert held.results == self.results
        assert held.rejects == self.rejects

    def teardown(self) -> None:
        """Once all shards have read the input nothing is left in the ledgers before them."""
        if not hasattr(self, "ledger"):
            return
        self.stop_all()
        for index in range(self.count):
            self.shard(index).read_all()
        self.agrees()
        self.stop_all()
        assert not [place for place in members(self.ledger) if "division=" in place]


class BrokenOffError(Exception):
    """The process dies here."""


def taken_and_broken_off(*arguments: Any) -> Moved:
    take(*arguments)
    raise BrokenOffError


def moved_and_lost(move: Callable[..., None]) -> Callable[..., None]:
    """It is done, and its answer is lost, the first time."""
    lost: list[object] = []

    def _move(store: PostgresStore, db: psycopg.Connection, *arguments: Any) -> None:
        move(store, db, *arguments)
        if not lost:
            lost.append(db)
            db.close()
            raise psycopg.OperationalError("the connection is lost")

    return _move


def test_whoever_dies_when_every_record_is_in_one_ledger(postgresql: Server) -> None:
    """However often the run is divided anew: each has its outcome once, with its lines, or is in doubt, or unknown."""
    there = type("DivisionsThere", (Divisions,), {"server": postgresql})
    run_state_machine_as_test(there, settings=settings(max_examples=6, stateful_step_count=20, deadline=None))
