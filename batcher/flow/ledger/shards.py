"""The ledgers of a run's shards, read together: that they are of one run, and which are missing or there twice."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from batcher.errors import LedgerRefused
from batcher.flow.ledger.access import open_to_read
from batcher.flow.ledger.store import Store
from batcher.values import Shard

_BOUND = ("endpoint", "operation", "defaults", "order", "skip", "input", "max-line-bytes", "input sizes")
"""What the ledgers of one run are all bound to, beside number and way of its shards."""


class Member(NamedTuple):
    """One of the ledgers, at *path*, or at this address."""

    path: str
    store: Store
    shard: Shard


class Twice(NamedTuple):
    """Two ledgers of one shard; they may be the same file."""

    shard: Shard
    paths: tuple[str, str]

    def __str__(self) -> str:
        return f"{self.shard}: {' and '.join(self.paths)}"


@dataclass(frozen=True, slots=True)
class Shards:
    """Ledgers of one run.

    Attributes:
        count: how many shards the run has.
        by: how it is divided, ``key`` or ``range``.
        members: a ledger of each shard that has one, in the order of the shards.
        missing: shards without a ledger.
        twice: ledgers of shards that have one among the members already.
    """

    count: int
    by: str
    members: tuple[Member, ...]
    missing: tuple[Shard, ...]
    twice: tuple[Twice, ...]

    def refuse_twice(self) -> None:
        """Raise ``LedgerRefused`` where a shard would be counted twice."""
        if self.twice:
            raise LedgerRefused(f"two ledgers are given of shard {self.twice[0]}; name one of each shard")


@contextlib.contextmanager
def open_shards(paths: Sequence[str]) -> Iterator[Shards]:
    """The ledgers at *paths*, open for reading.

    Raises:
        LedgerRefused: one is no ledger or a damaged one, or they are not of one run; the first difference is named.
        OutputFailed: one cannot be read.
    """
    with contextlib.ExitStack() as stack:
        found: dict[int, Member] = {}
        twice = []
        first, count, by = None, 0, ""
        for path in paths:
            store = stack.enter_context(contextlib.closing(open_to_read(path)))
            told = shard_of(store)
            if told is None:
                raise LedgerRefused(
                    f"the ledger {store.name} is of a whole run: only shards of one run are told together"
                )
            shard, way = told
            if first is None:
                first, count, by = store, shard.count, way
            _compare(first, store)
            if (shard.count, way) != (count, by):
                raise _differ(store, f"{shard.count} shards by {way}", first, f"{count} by {by}")
            if (other := found.get(shard.index)) is not None:
                twice.append(Twice(shard, (other.store.name, store.name)))
            found.setdefault(shard.index, Member(path, store, shard))
        missing = tuple(Shard(index, count) for index in range(count) if index not in found)
        yield Shards(count, by, tuple(found[index] for index in sorted(found)), missing, tuple(twice))


def shard_of(store: Store) -> tuple[Shard, str] | None:
    """The shard to which the ledger *store* is bound, and whether by ``key`` or ``range``; None for none.

    Raises:
        LedgerRefused: there can be no such shard.
    """
    shard, _, by = str(store.value("shard") or "none").partition(" by ")
    if shard == "none":
        return None
    try:
        index, count = map(int, shard.split("/"))
    except ValueError as error:
        raise damaged(store) from error
    if not 0 <= index < count or by not in ("key", "range"):
        raise damaged(store)
    return Shard(index, count), by


def damaged(store: Store) -> LedgerRefused:
    """The ledger *store* is bound to what makes no shard."""
    return LedgerRefused(f"the ledger {store.name} is damaged: it belongs to no shard that there can be")


def _compare(first: Store, store: Store) -> None:
    for name in _BOUND:
        theirs, ours = store.value(name), first.value(name)
        if theirs != ours:
            raise _differ(store, f"{name} {theirs}", first, str(ours))


def _differ(store: Store, theirs: str, first: Store, ours: str) -> LedgerRefused:
    return LedgerRefused(f"not of one run: the ledger {store.name} belongs to {theirs}, and {first.name} to {ours}")
