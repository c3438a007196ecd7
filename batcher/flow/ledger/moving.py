"""Records that move: out of the ledgers of a run's earlier divisions into that of the shard which reads them now.

A run whose ledgers are in a database may go on with another number of shards. Each shard by key reads the whole input,
so it can number the lines as the shards of any other division have (``core.shard``), and knows of each of its own lines
in which earlier ledger it would be, and where. What is found there is compared with the line, as ever, and moved by one
transaction together with all that belongs to it. So a record is in one ledger at any time, and once every shard has
read its input to the end nothing is left in the earlier ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from batcher.core.shard import KeyShard, Places
from batcher.core.verdict import Outcome
from batcher.errors import LedgerRefused
from batcher.flow.ledger.commit import Moved
from batcher.flow.ledger.memory import Memory, Past, another_line
from batcher.flow.ledger.rows import Move, mark
from batcher.flow.source import Line


class EarlierLedger(NamedTuple):
    """A ledger of an earlier division.

    Attributes:
        number: of the ledger.
        shard: ``I/N``, or nothing for a whole run.
        last: the ordinal of the last record of which it knows anything.
        doubtful: records, ordinal → hash, that may have been sent and have no outcome.
    """

    number: int
    shard: str
    last: int
    doubtful: Mapping[int, int]


class Earlier(Protocol):
    """The ledgers of earlier divisions that hold something.

    Attributes:
        divisions: of how many shards each is.
        ledgers: by division, as it stands there, and shard.
    """

    divisions: tuple[int, ...]
    ledgers: dict[tuple[int, int], EarlierLedger]

    def hashes(self, ledgers: Sequence[int], ordinals: Sequence[int]) -> dict[tuple[int, int], int]:
        """By what those of these records are known that have their outcome or are open again, by ledger and ordinal."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Mover(Protocol):
    """Moves records."""

    async def move(self, moves: Sequence[Move]) -> Moved:
        """Take records over from the ledgers of earlier divisions; what came with them, once that is durable.

        Raises:
            OutputFailed: it cannot be written.
        """
        ...


class Moving:
    """Knows the past of each line of an input, and has it moved first where it is in an earlier ledger.

    Args:
        memory: of the ledger that is written.
        earlier: the other ones; let go of with this.
        keys: numbers the lines, and takes those of this shard.
        writer: moves them.
        ended: records by outcome that earlier runs have brought to their end; those that come are added.

    Attributes:
        keys: by which the input is to be read.
    """

    def __init__(
        self, memory: Memory, earlier: Earlier, keys: KeyShard, writer: Mover, ended: dict[Outcome, int]
    ) -> None:
        self._memory = memory
        self._earlier = earlier
        self._writer = writer
        self._ended = ended
        self._others: set[int] = set()
        self.keys = keys
        keys.number_by(earlier.divisions)

    async def look_up(self, first: int, lines: Sequence[Line]) -> None:
        """Let what earlier ledgers have of the records of *lines* be moved, and fetch what is known of them.

        Raises:
            OutputFailed: the ledgers cannot be read or written.
        """
        places = [self.keys.places.popleft() for _ in lines]
        moves = await asyncio.to_thread(self._find, first, lines, places)
        if moves:
            moved = await self._writer.move(moves)
            for outcome, count in moved.outcomes.items():
                self._ended[outcome] += count
            self._memory.learn({move.ordinal: move.hash for move in moves if move.sent}, moves[-1].ordinal)
        await self._memory.look_up(first, lines)

    def recall(self, number: int, line: Line) -> Past | None:
        """The past of the run's record *number*; None where nothing is known of it.

        Raises:
            LedgerRefused: at this place an earlier ledger, or the present one, knows another line.
        """
        if number in self._others:
            raise another_line(line)
        return self._memory.recall(number, line)

    def end(self, records: int) -> None:
        """The input has ended after *records*.

        Raises:
            LedgerRefused: one of the ledgers knows of more.
        """
        self._memory.end(records)
        for (division, index), ledger in self._earlier.ledgers.items():
            count = self.keys.counts[division][index]
            if count < ledger.last:
                whose = f" of shard {ledger.shard}" if ledger.shard else ""
                raise LedgerRefused(
                    f"the input ends after {count} records{whose}, and its ledger knows of {ledger.last}: it was cut, "
                    "or is another one"
                )

    def close(self) -> None:
        """Let go of the earlier ledgers."""
        self._earlier.close()

    def _find(self, first: int, lines: Sequence[Line], places: Sequence[Places]) -> list[Move]:
        """What is to be moved, up to the first line that is not the one of its place."""
        asked = [
            (ledger, was, ordinal, line)
            for ordinal, (line, place) in enumerate(zip(lines, places, strict=True), first)
            for division, (index, was) in enumerate(place)
            if (ledger := self._earlier.ledgers.get((division, index))) is not None and was <= ledger.last
        ]
        if not asked:
            return []
        known = self._earlier.hashes([ledger.number for ledger, *_ in asked], [was for _, was, *_ in asked])
        moves = []
        for ledger, was, ordinal, line in asked:
            sent = ledger.doubtful.get(was)
            hashes = {known.get((ledger.number, was)), sent} - {None}
            if not hashes:
                continue
            digest = mark(line.hash, line.number)
            if hashes != {digest}:
                self._others.add(ordinal)
                break
            moves.append(Move(ledger.number, was, ordinal, digest, sent is not None))
        return moves
