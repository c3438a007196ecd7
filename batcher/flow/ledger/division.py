"""The proof over all shards of a run: each line of the input is in exactly one of them, and accounted for there.

By key the input is read once, and each line goes to the proof of the shard that its key names. By range each shard's
part is read as its run has read it, and then the whole once more: count and sum of the lines, each with its place, must
be the same, or a line was in no part, or in two.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from hashlib import blake2b

from batcher.core.shard import KeyShard
from batcher.core.verdict import Outcome
from batcher.flow.ledger.proof import SHOWN, Proof
from batcher.flow.ledger.shards import Member, Shards
from batcher.flow.lines import BATCH_LINES, Line
from batcher.flow.source import Source
from batcher.values import Shard


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
        self.records = 0
        self.outcomes: Counter[Outcome] = Counter()
        self.findings: dict[str, tuple[int, list[str]]] = {}

    async def by_key(self, source: Source, keys: KeyShard) -> None:
        """Prove it of the lines of the whole input; any shard of the run's *keys* knows which takes a line."""
        takers = {index: self._taker(Shard(index, self._shards.count)) for index in range(self._shards.count)}
        waiting: defaultdict[int, list[Line]] = defaultdict(list)
        try:
            async for lines in _batches(source):
                for line in lines:
                    whole = line.problem is None
                    index = keys.index_of(line.raw) if whole else keys.index_of_hash(line.hash)
                    # Of what waits no more is kept than the proof looks at.
                    waiting[index].append(line._replace(raw=b""))
                    if len(waiting[index]) == BATCH_LINES:
                        takers[index].hear(waiting.pop(index))
            for index, rest in waiting.items():
                takers[index].hear(rest)
            for taker in takers.values():
                self._take_over(taker)
        finally:
            for taker in takers.values():
                taker.close()
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
                    taker.hear(lines)
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
            if taker.records:
                self._find("records of shards without a ledger", taker.records, [f"shard {taker.shard}"])
            return
        taker.proof.end()
        self.outcomes += taker.proof.outcomes
        for kind, (count, places) in taker.proof.findings.items():
            self._find(kind, count, [f"shard {taker.shard}: {place}" for place in places])

    def _about_shards(self) -> None:
        if self._shards.missing:
            names = [str(shard) for shard in self._shards.missing]
            self._find("shards of which no ledger is given", len(names), names)
        if self._shards.twice:
            self._find("shards with two ledgers", len(self._shards.twice), [str(each) for each in self._shards.twice])

    def _find(self, kind: str, count: int, places: list[str]) -> None:
        before, known = self.findings.get(kind, (0, []))
        self.findings[kind] = (before + count, [*known, *places][:SHOWN])


class _Taker:
    """The records of one shard, in their order; its proof hears of those that are its run's."""

    def __init__(self, shard: Shard, member: Member | None, skip: int, limit: int | None) -> None:
        self.shard = shard
        self.records = 0
        self.proof = None if member is None else Proof(member.store)
        self._skip, self._left = skip, limit

    def hear(self, lines: list[Line]) -> None:
        ours = lines[self._skip :]
        self._skip -= len(lines) - len(ours)
        if self._left is not None:
            ours = ours[: self._left]
            self._left -= len(ours)
        self.records += len(ours)
        if self.proof is not None and ours:
            self.proof.hear(ours)

    def close(self) -> None:
        if self.proof is not None:
            self.proof.close()


async def _batches(source: Source) -> AsyncIterator[list[Line]]:
    """All of *source*, which is let go of behind its end."""
    try:
        while lines := await source.read():
            yield lines
    finally:
        await source.close()
