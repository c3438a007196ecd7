"""What one transaction makes durable, and the statements that do it.

Records go in through ``json_each``, one statement for all that have an outcome: a statement a row would give up
Python's interpreter lock once a row, and wait as often to have it back. Windows are few, and need not be looked into.
"""

from __future__ import annotations

import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import orjson

from batcher.core.verdict import Outcome
from batcher.flow.ledger.packing import Packer
from batcher.flow.ledger.rows import Move
from batcher.flow.ledger.runs import Reading

Statement: TypeAlias = tuple[str, tuple[str | int | bytes, ...]]

# WHERE true: else the parser takes ON for a join's. OR REPLACE would delete without a trigger.
_OUTCOMES = """INSERT INTO record SELECT key, value, ? FROM json_each(?) WHERE true
    ON CONFLICT (ordinal) DO UPDATE SET hash = excluded.hash, outcome = excluded.outcome"""
# A trigger takes away what one of them had counted for before; one that counts as well costs almost what the row does.
_TOTAL = """INSERT INTO total VALUES (?, ?)
    ON CONFLICT (outcome) DO UPDATE SET records = records + excluded.records"""
_LINES = """INSERT INTO lines (results_end, rejects_end, results_of, rejects_of, results, rejects) VALUES (
    ? + coalesce((SELECT results_end FROM lines ORDER BY id DESC LIMIT 1), 0),
    ? + coalesce((SELECT rejects_end FROM lines ORDER BY id DESC LIMIT 1), 0),
    ?, ?, ?, ?)"""


class Moved(NamedTuple):
    """What came with records out of the ledgers of earlier divisions.

    Attributes:
        results: their result lines.
        rejects: their rejects lines.
        results_of: whose result lines they are, by ordinal, in their order.
        rejects_of: likewise.
        outcomes: how many of the records have each outcome.
    """

    results: list[bytes]
    rejects: list[bytes]
    results_of: list[int]
    rejects_of: list[int]
    outcomes: Mapping[Outcome, int]


@dataclass(slots=True)
class Commit:
    """What one transaction makes durable.

    Attributes:
        windows: new windows by their number, and old ones whose intents are partly settled: what is in each,
            ordinal → hash; an empty one is forgotten.
        records: those that have their outcome, by that: ordinal → hash; each once.
        results: their result lines.
        rejects: their rejects lines.
        results_of: whose result lines they are, by ordinal, in their order.
        rejects_of: likewise.
        closed: ordinals of records that were open again and have an outcome now.
        accounted: bytes of each output file, by path, that earlier commits' lines have filled.
        limit: the concurrency limit, where it has changed.
        reading: how far the run has read its input.
        account: what the run has to tell of itself.
        moves: records that come out of the ledgers of earlier divisions; their intents are in *windows*.
        moved: what came with them, once it is durable.
    """

    windows: dict[int, dict[int, int]] = field(default_factory=dict)
    records: dict[Outcome, dict[int, int]] = field(default_factory=dict)
    results: list[bytes] = field(default_factory=list)
    rejects: list[bytes] = field(default_factory=list)
    results_of: list[int] = field(default_factory=list)
    rejects_of: list[int] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)
    accounted: dict[str, int] = field(default_factory=dict)
    limit: int | None = None
    reading: Reading | None = None
    account: bytes | None = None
    moves: list[Move] = field(default_factory=list)
    moved: Moved | None = None

    def statements(self, packer: Packer) -> Iterator[Statement]:
        """What is to be executed for it, but for what ``runs`` keeps."""
        for number, window in self.windows.items():
            if window:
                yield "INSERT OR REPLACE INTO intent VALUES (?, ?)", (number, as_json(window))
            else:
                yield "DELETE FROM intent WHERE id = ?", (number,)
        for outcome, records in self.records.items():
            yield _OUTCOMES, (outcome.value, as_json(records))
            yield _TOTAL, (outcome.value, len(records))
        if self.closed:
            yield "DELETE FROM reopened WHERE ordinal IN (SELECT value FROM json_each(?))", (as_json(self.closed),)
        if self.results or self.rejects:
            yield _LINES, self.lines(packer)
        if self.accounted:
            yield "INSERT OR REPLACE INTO output SELECT key, value FROM json_each(?)", (as_json(self.accounted),)
        if self.limit is not None:
            yield "INSERT OR REPLACE INTO meta VALUES ('limit', ?)", (self.limit,)

    def lines(self, packer: Packer) -> tuple[int, int, bytes, bytes, bytes, bytes]:
        """Bytes of the result and of the rejects lines; whose both are, packed; and the lines themselves, packed."""
        results, rejects = b"".join(self.results), b"".join(self.rejects)
        results_of, rejects_of = (
            packer.pack(array.array("q", ordinals).tobytes()) for ordinals in (self.results_of, self.rejects_of)
        )
        return len(results), len(rejects), results_of, rejects_of, packer.pack(results), packer.pack(rejects)


def as_json(value: object) -> str:
    """Rows as JSON, in which form databases take any number of them at once."""
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
