"""What the ledger's rows hold, as values."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from batcher.core.result import Origin
from batcher.core.verdict import Outcome

Kind: TypeAlias = Literal["results", "rejects"]
"""Of lines."""


def hash_number(text: str) -> int:
    """A line's hash, 16 hexadecimal digits, as the signed number of 64 bits that SQLite holds."""
    return int.from_bytes(bytes.fromhex(text), "big", signed=True)


class Known(NamedTuple):
    """A record that has its outcome."""

    hash: int
    outcome: Outcome


class Reopened(NamedTuple):
    """A record that had its outcome and is to get another one."""

    hash: int
    origin: Origin
