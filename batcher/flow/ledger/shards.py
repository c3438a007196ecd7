"""The ledgers of a run's shards, read together: that they are of one run, and which are missing or there twice."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from batcher.errors import LedgerRefused
from batcher.flow.ledger.access import open_together
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

    Where a run was divided anew, its shards take over what the ledgers before them have: until each has read its input
    to the end some records are still in these.

    Attributes:
        count: how many shards the run has.
        by: how it is divided, ``key`` or ``range``.
        members: a ledger of each shard that has one, in the order of the shards.
        missing: shards without a ledger.
        twice: ledgers of shards that have one among the members already.
        earlier: ledgers of earlier divisions of the run.
    """

    count: int
    by: str
    members: tuple[Member, ...]
    missing: tuple[Shard, ...]
    twice: tuple[Twice, ...]
    earlier: tuple[Member, ...] = ()

    @property
    def all(self) -> tuple[Member, ...]:
        """Those of earlier divisions too."""
        return (*self.members, *self.earlier)

    def refuse_twice(self) -> None:
        """Raise ``LedgerRefused`` where a shard would be counted twice."""
        if self.twice:
            raise LedgerRefused(f"two ledgers are given of shard {self.twice[0]}; name one of each shard")


@contextlib.contextmanager
def open_shards(paths: Sequence[str], *, empty: bool = False) -> Iterator[Shards]:
    """The ledgers at *paths*, or of all shards of the runs at these addresses, open for reading.

    With *empty* also those of earlier divisions that hold nothing any more.

    Raises:
        LedgerRefused: one is no ledger or a damaged one, or they are not of one run; the first difference is named.
        OutputFailed: one cannot be read.
    """
    with open_together(paths, empty=empty) as opened:
        present = max((store.division for _, store in opened), default=1)
        yield _together(
            [each for each in opened if each[1].division == present],
            [each for each in opened if each[1].division < present],
        )


def _together(opened: Sequence[tuple[str, Store]], before: Sequence[tuple[str, Store]]) -> Shards:
    """The ledgers of one division, and those of the ones *before* it."""
    found: dict[int, Member] = {}
    twice = []
    first, count, by = None, 0, ""
    for path, store in opened:
        shard, way = _shard_of_some(store)
        if first is None:
            first, count, by = store, shard.count, way
        _compare(first, store)
        if (shard.count, way) != (count, by):
            raise _differ(store, f"{shard.count} shards by {way}", first, f"{count} by {by}")
        if (other := found.get(shard.index)) is not None:
            twice.append(Twice(shard, (other.store.name, store.name)))
        found.setdefault(shard.index, Member(path, store, shard))
    missing = tuple(Shard(index, count) for index in range(count) if index not in found)
    earlier = tuple(Member(path, store, _shard_of_some(store)[0]) for path, store in before)
    return Shards(count, by, tuple(found[index] for index in sorted(found)), missing, tuple(twice), earlier)


def _shard_of_some(store: Store) -> tuple[Shard, str]:
    """The shard of *store*, one of several ledgers; a whole run is one of them only where it was divided anew."""
    told = shard_of(store)
    if told is not None:
        return told
    if not store.divided:
        raise LedgerRefused(f"the ledger {store.name} is of a whole run: only shards of one run are told together")
    return Shard(0, 1), "key"


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
