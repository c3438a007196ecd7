"""Which shard takes a line, by its key or by where it begins: each line has exactly one, whatever is in it.

By key: the hash of the order key's text, made as result lines make that of a line, modulo the number of shards; so
records of a key meet in one shard, and their order holds. A line without a key goes by its own hash. (CRC-32 would cost
less, but where keys count in steps of 256 it gives some of 16 shards twice as much as others.) By range: a file is cut
into equal numbers of bytes, and a line belongs to the shard in whose part its first byte lies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple, TypeAlias

from batcher.core.record import Scalar
from batcher.values import Shard

_OPENINGS = frozenset({b':"', b': "'})
"""How programs write the colon between a name and a text."""


Places: TypeAlias = tuple[tuple[int, int], ...]
"""Where a line stands in other divisions of the same input: for each its shard there, and its number within that."""


class Part(NamedTuple):
    """Bytes of a file, from *begin* to before *end*; its lines are those that begin there."""

    begin: int
    end: int


class RangeShard:
    """Takes the lines that begin in its part of each file."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard

    def part(self, size: int) -> Part:
        """The part of a file of *size* bytes: those of all shards follow each other, none of them a byte larger."""
        index, count = self.shard.index, self.shard.count
        return Part(size * index // count, size * (index + 1) // count)


class KeyShard:
    """Takes the lines of its keys.

    Args:
        shard: which.
        order_by: the fields of the order key; none for no order.
        key_of: the order key of a line, as far as it can be read; a value that is none is None.

    Attributes:
        places: of each line that was taken, in their order, where ``number_by`` was asked for; to be popped.
        counts: for each of those divisions how many lines each of its shards has so far.
    """

    def __init__(self, shard: Shard, order_by: Sequence[str], key_of: Callable[[bytes], tuple[Scalar, ...]]) -> None:
        self.shard = shard
        self._index, self._count = shard.index, shard.count
        self._key_of = key_of
        self._keyed = bool(order_by)
        self._name = f'"{order_by[0]}"'.encode() if len(order_by) == 1 else b""
        self.places: deque[Places] = deque()
        self.counts: list[list[int]] = []

    def number_by(self, divisions: Sequence[int]) -> None:
        """From now on number all lines of the input as the shards of other *divisions* do, of so many shards each."""
        self.counts = [[0] * count for count in divisions]

    def place(self, number: int) -> Places:
        """Count a line of this *number*; where it stands in each of those divisions."""
        places = []
        for counts in self.counts:
            index = number % len(counts)
            counts[index] += 1
            places.append((index, counts[index]))
        return tuple(places)

    def takes(self, raw: bytes) -> bool:
        """Whether the whole line *raw*, given without its line end, is its own.

        Asked of every line of the input, and true of few: most keys are found without reading the rest of the record.
        """
        number = self.number_of(raw)
        return number % self._count == self._index if not self.counts else self._take(number)

    def takes_hash(self, digest: str) -> bool:
        """Whether a line of which no more than the hash, *digest*, can tell is its own."""
        number = number_of_hash(digest)
        return number % self._count == self._index if not self.counts else self._take(number)

    def number_of(self, raw: bytes) -> int:
        """What decides which shard takes the whole line *raw*, however many there are: the remainder is its index."""
        text = self._find(raw) or (self._read(raw) if self._keyed else b"") or raw
        return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")

    def _take(self, number: int) -> bool:
        taken = number % self._count == self._index
        place = self.place(number)
        if taken:
            self.places.append(place)
        return taken

    def _find(self, raw: bytes) -> bytes:
        """The key, where it is plain to see; else nothing. Of any JSON it finds what reading it gives.

        Without a backslash each quote begins or ends a text, and with one brace there is one object: so where the name
        stands in quotes before a colon, it is a member of the record, and the last one of that name counts.
        """
        if not self._name or b"\\" in raw or raw.count(b"{") != 1:
            return b""
        at = raw.rfind(self._name)
        if at < 0:
            return b""
        at += len(self._name)
        begin = at + 2 if raw[at + 1 : at + 2] == b'"' else at + 3
        if raw[at:begin] not in _OPENINGS:
            return b""
        return raw[begin : raw.find(b'"', begin)]

    def _read(self, raw: bytes) -> bytes:
        key = self._key_of(raw)
        return "\n".join("" if value is None else str(value) for value in key).encode() if any(key) else b""


def number_of_hash(digest: str) -> int:
    """What decides it for a line of which no more than the hash can tell."""
    return int(digest, 16)


LineShard: TypeAlias = KeyShard | RangeShard
