"""The proof over all shards of a run: each line of the input is in exactly one of them, and accounted for there.

By key the input is read once, and each line goes to the proof of the shard that its key names. By range each shard's
part is read as its run has read it, and then the whole once more: count and sum of the lines, each with its place, must
be the same, or a line was in no part, or in two. Where a run was divided anew, a record may still be in a ledger of an
earlier division, but in one alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from hashlib import blake2b
from typing import TypeAlias

from batcher.core.shard import KeyShard, number_of_hash
from batcher.core.verdict import Outcome
from batcher.flow.ledger.proof import SHOWN, Place, Proof, Rest, entries_of
from batcher.flow.ledger.shards import Member, Shards
from batcher.flow.lines import BATCH_LINES, Line
from batcher.flow.source import Source
from batcher.values import Shard

_Placed: TypeAlias = tuple[Line, Sequence[Place]]
"""A line, and where in earlier ledgers it may be."""


class Lines:
    """Lines and their places, in no order: equal where they are the same ones, each as often."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def hear(self, lines: list[Line]) -> None:
        """Take in some more."""
        self.count += len(lines)
        for line in lines:
            place = f"{line.offset} {line.hash} {line.input}".encode()
            self._sum += int.from_bytes(blake2b(place, digest_size=16).digest(), "big")

    def same(self, other: Lines) -> bool:
        """Whether they are those of *other*."""
        return (self.count, self._sum) == (other.count, other._sum)


class ShardedProof:
    """What the proofs of all shards come to.

    Args:
        shards: their ledgers, which nobody may write meanwhile.
        skip: so many records at the beginning of each shard are not its run's.
        limit: no more than so many of each are.

    Attributes:
        records: how many were compared.
        outcomes: how many records of the ledgers have each outcome.
        findings: see ``Proof``; places tell the shard too.
    """

    def __init__(self, shards: Shards, skip: int, limit: int | None) -> None:
        self._shards = shards
        self._skip, self._limit = skip, limit
        self._members = {member.shard.index: member for member in shards.members}
        self._without: list[str] = []
        self.records = 0
        self.outcomes: Counter[Outcome] = Counter()
        self.findings: dict[str, tuple[int, list[str]]] = {}

    async def by_key(self, source: Source, keys: KeyShard) -> None:
        """Prove it of the lines of the whole input; any shard of the run's *keys* knows which takes a line."""
        takers = {index: self._taker(Shard(index, self._shards.count)) for index in range(self._shards.count)}
        rests = _Rests(self._shards.earlier, keys)
        waiting: defaultdict[int, list[_Placed]] = defaultdict(list)
        try:
            async for lines in _batches(source):
                for line in lines:
                    whole = line.problem is None
                    number = keys.number_of(line.raw) if whole else number_of_hash(line.hash)
                    index = number % self._shards.count
                    # Of what waits no more is kept than the proof looks at.
                    waiting[index].append((line._replace(raw=b""), rests.places(number)))
                    if len(waiting[index]) == BATCH_LINES:
                        takers[index].hear(waiting.pop(index))
            for index, rest in waiting.items():
                takers[index].hear(rest)
            for taker in takers.values():
                self._take_over(taker)
            for name, remains, count in rests.all():
                self.outcomes += remains.outcomes
                if left := remains.left(count):
                    kind = "known to a ledger of an earlier division, and not in the input"
                    self._find(kind, len(left), [f"shard {name}: {place}" for place in left[:SHOWN]])
        finally:
            for taker in takers.values():
                taker.close()
            rests.close()
        self._about_shards()

    async def by_range(self, part: Callable[[Shard], Source], whole: Source) -> None:
        """Prove it of the lines of each *part*, which are to be those of the *whole*."""
        heard, expected = Lines(), Lines()
        for index in range(self._shards.count):
            shard = Shard(index, self._shards.count)
            taker = self._taker(shard)
            try:
                async for lines in _batches(part(shard)):
                    heard.hear(lines)
                    taker.hear([(line, ()) for line in lines])
                self._take_over(taker)
            finally:
                taker.close()
        async for lines in _batches(whole):
            expected.hear(lines)
        if not heard.same(expected):
            place = f"the shards have {heard.count} lines, and the input has {expected.count}"
            self._find("lines of the input in no shard, or in several", 1, [place])
        self._about_shards()

    def _taker(self, shard: Shard) -> _Taker:
        return _Taker(shard, self._members.get(shard.index), self._skip, self._limit)

    def _take_over(self, taker: _Taker) -> None:
        """Add what a shard's own proof has come to."""
        self.records += taker.records
        if taker.proof is None:
            if taker.missing:
                self._find("records of shards without a ledger", taker.missing, [f"shard {taker.shard}"])
            if taker.missing or not self._shards.earlier:  # else it has yet to take them over
                self._without.append(str(taker.shard))
            return
        taker.proof.end()
        self.outcomes += taker.proof.outcomes
        for kind, (count, places) in taker.proof.findings.items():
            self._find(kind, count, [f"shard {taker.shard}: {place}" for place in places])

    def _about_shards(self) -> None:
        if self._without:
            self._find("shards of which no ledger is given", len(self._without), self._without)
        if self._shards.twice:
            self._find("shards with two ledgers", len(self._shards.twice), [str(each) for each in self._shards.twice])

    def _find(self, kind: str, count: int, places: list[str]) -> None:
        before, known = self.findings.get(kind, (0, []))
        self.findings[kind] = (before + count, [*known, *places][:SHOWN])


class _Taker:
    """The records of one shard, in their order; its proof hears of those that are its run's.

    Attributes:
        missing: of a shard that has no ledger, the records that are not done in one of an earlier division.
    """

    def __init__(self, shard: Shard, member: Member | None, skip: int, limit: int | None) -> None:
        self.shard = shard
        self.records = self.missing = 0
        self.proof = None if member is None else Proof(member.store)
        self._skip, self._left = skip, limit

    def hear(self, lines: list[_Placed]) -> None:
        ours = lines[self._skip :]
        self._skip -= len(lines) - len(ours)
        if self._left is not None:
            ours = ours[: self._left]
            self._left -= len(ours)
        self.records += len(ours)
        if self.proof is not None and ours:
            self.proof.hear([line for line, _ in ours], [places for _, places in ours])
        elif ours:
            found = entries_of([places for _, places in ours])
            self.missing += sum(
                len(entries) != 1 or entries[0].finding(line) is not None
                for (line, _), entries in zip(ours, found, strict=True)
            )

    def close(self) -> None:
        if self.proof is not None:
            self.proof.close()


class _Rests:
    """What the ledgers of earlier divisions still have; *keys* number the lines as these divisions have done."""

    def __init__(self, earlier: Sequence[Member], keys: KeyShard) -> None:
        divisions = sorted({member.store.division for member in earlier})
        self._keys = keys
        self._rests = {
            (divisions.index(member.store.division), member.shard.index): (str(member.shard), Rest(member.store))
            for member in earlier
        }
        counts = {member.store.division: member.shard.count for member in earlier}
        keys.number_by([counts[division] for division in divisions])

    def places(self, number: int) -> Sequence[Place]:
        """Where the next line of the input, of this *number*, may be."""
        if not self._rests:
            return ()
        places = enumerate(self._keys.place(number))
        found = ((self._rests.get((division, index)), ordinal) for division, (index, ordinal) in places)
        return [(known[1], ordinal) for known, ordinal in found if known is not None]

    def all(self) -> list[tuple[str, Rest, int]]:
        """Each with its shard, and how many lines of that the input had."""
        counts = self._keys.counts
        return [(name, rest, counts[where[0]][where[1]]) for where, (name, rest) in self._rests.items()]

    def close(self) -> None:
        for _, rest in self._rests.values():
            rest.close()


async def _batches(source: Source) -> AsyncIterator[list[Line]]:
    """All of *source*, which is let go of behind its end."""
    try:
        while lines := await source.read():
            yield lines
    finally:
        await source.close()
