"""What the ledger's rows hold, as values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import xor
from struct import unpack
from typing import Literal, NamedTuple, TypeAlias

from batcher.core.result import Origin
from batcher.core.verdict import Outcome

Kind: TypeAlias = Literal["results", "rejects"]
"""Of lines."""


def mark(digest: str, line: int) -> int:
    """What a record is known by: its line's hash, 16 hexadecimal digits, and number, as one signed number of 64 bits.

    The number belongs to it because result lines name records by it: where a blank line has come or gone, the same
    records have other names.
    """
    return int.from_bytes(bytes.fromhex(digest), "big", signed=True) ^ line


def marks(digests: Sequence[str], lines: Iterable[int]) -> list[int]:
    """The same of many."""
    return list(map(xor, unpack(f">{len(digests)}q", bytes.fromhex("".join(digests))), lines))


class Known(NamedTuple):
    """A record that has its outcome."""

    hash: int
    outcome: Outcome


class Reopened(NamedTuple):
    """A record that had its outcome and is to get another one."""

    hash: int
    origin: Origin


class OpenAgain(NamedTuple):
    """The same with all that there is of it: what its last result line said, as ``Origin`` writes it, and its line.

    The line is None where the ledger has only its beginning.
    """

    ordinal: int
    hash: int
    origin: str
    raw: bytes | None


class Move(NamedTuple):
    """A record that is to leave the ledger of an earlier division for the one that is written.

    Attributes:
        ledger: number of the ledger where it is.
        was: its ordinal there.
        ordinal: its ordinal here.
        hash: what it is known by.
        sent: it may have been sent and has no outcome.
    """

    ledger: int
    was: int
    ordinal: int
    hash: int
    sent: bool


def place(origin: Origin) -> str:
    """Where a record stood, in words."""
    return f"line {origin.line}" if origin.input is None else f"line {origin.line} of {origin.input}"
