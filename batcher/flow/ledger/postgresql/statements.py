"""A commit as what the database's function ``keep`` takes."""

from __future__ import annotations

from typing import TypeAlias

from batcher.flow.ledger.commit import Commit, as_json
from batcher.flow.ledger.packing import Packer

Values: TypeAlias = tuple[str | int | float | bytes | bool | None, ...]

_WITHOUT_LINES: Values = (None,) * 6
_UNREAD: Values = (None,) * 5
KEEP = f"SELECT keep({', '.join(['%s'] * 23)})".encode()
"""Five values for the fence, and those of ``values_of``."""


def values_of(commit: Commit, packer: Packer) -> Values:
    """What is to be kept of *commit*; None for what it has not."""
    windows = {number: window for number, window in commit.windows.items() if window}
    settled = [number for number, window in commit.windows.items() if not window]
    records = {outcome.value: records for outcome, records in commit.records.items()}
    return (
        *(_json(part) for part in (windows, settled, records, commit.closed, commit.accounted)),
        None if commit.limit is None else str(commit.limit),
        *(commit.lines(packer) if commit.results or commit.rejects else _WITHOUT_LINES),
        *(commit.reading or _UNREAD),
        commit.account,
    )


def _json(part: object) -> str | None:
    return as_json(part) if part else None
