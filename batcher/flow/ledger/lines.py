"""Result and rejects lines as a ledger has them: packed, a blob of each kind for each commit, and whose they are."""

from __future__ import annotations

import abc
import array
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from batcher.errors import LedgerRefused
from batcher.flow.ledger.packing import unpack
from batcher.flow.ledger.rows import Kind

_AT_ONCE = 256
"""Commits that are asked for together at most."""
_PIECES = 128 << 10
"""Bytes of packed lines that are asked for together, about."""


class Lines(abc.ABC):
    """The lines of a ledger.

    Attributes:
        name: of the ledger, for people.
    """

    name: str

    @abc.abstractmethod
    def _select(self, what: str, table: str, which: str = "true", *values: str | int) -> list[Any]:
        """The rows of a table *which* are this ledger's."""

    def lines(self, kind: Kind, skip: int = 0) -> Iterator[bytes]:
        """All lines of a kind in the order of their commits, a piece a commit, read as they are asked for.

        Args:
            kind: which.
            skip: leave out so many bytes at the beginning; the first piece may begin within a line then.
        """
        for number, end, packed in self._pieces(f"id, {kind}_end, {kind}", f"{kind}_end > ?", skip):
            yield self._unpack(packed, kind, number)[skip - end :]
            skip = end

    def told(self, kind: Kind) -> Iterator[list[tuple[int, bytes]]]:
        """All lines of a kind with their records' ordinals, in the order of their commits, a list a commit.

        Raises:
            LedgerRefused: it is not told whose each line is.
        """
        for number, of, packed in self._pieces(f"id, {kind}_of, {kind}", f"length({kind}) > 0"):
            yield self._told(kind, number, of, packed)

    def latest(self, kind: Kind, ordinals: Collection[int]) -> dict[int, bytes]:
        """The last line of a kind of each of these records, by ordinal; only commits that have one are unpacked.

        Raises:
            LedgerRefused: it is not told whose each line is.
        """
        which = f"id < ? AND length({kind}_of) > 0 ORDER BY id DESC LIMIT ?"
        found: dict[int, bytes] = {}
        missing, number = set(ordinals), 2**63 - 1
        while missing and (rows := self._select(f"id, {kind}_of", "lines", which, number, _AT_ONCE)):
            for number, of in rows:
                if missing.isdisjoint(self._ordinals(of, kind, number)):
                    continue
                [(packed,)] = self._select(kind, "lines", "id = ?", number)
                told = dict(self._told(kind, number, of, packed))
                found |= {ordinal: told[ordinal] for ordinal in missing & told.keys()}
                missing -= told.keys()
        return found

    def _pieces(self, what: str, which: str, *values: int) -> Iterator[Any]:
        """Rows of ``lines`` in their order, the number first and a blob last; as many at once as are small together."""
        number, most = 0, 1
        while rows := self._select(what, "lines", f"{which} AND id > ? ORDER BY id LIMIT ?", *values, number, most):
            yield from rows
            number, longest = rows[-1][0], max(1, *(len(row[-1]) for row in rows))
            most = max(1, min(_AT_ONCE, _PIECES // longest))

    def _told(self, kind: Kind, number: int, of: bytes, packed: bytes) -> list[tuple[int, bytes]]:
        lines = self._unpack(packed, kind, number).split(b"\n")[:-1]
        ordinals = self._ordinals(of, kind, number)
        if len(ordinals) != len(lines):
            raise LedgerRefused(f"the ledger {self.name} is damaged: {kind} of commit {number} belong to no records")
        return list(zip(ordinals, lines, strict=True))

    def _unpack(self, packed: bytes, kind: Kind, number: int) -> bytes:
        try:
            return unpack(packed)
        except ValueError as error:
            raise LedgerRefused(f"the ledger {self.name} is damaged: {kind} of commit {number}: {error}") from error

    def _ordinals(self, packed: bytes, kind: Kind, number: int) -> Sequence[int]:
        return array.array("q", self._unpack(packed, kind, number))
