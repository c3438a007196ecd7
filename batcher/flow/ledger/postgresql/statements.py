"""A commit as what the database's function ``keep`` takes."""

from __future__ import annotations

import array
from typing import TypeAlias

import orjson

from batcher.flow.ledger.commit import Commit
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
    outcomes: dict[str, dict[int, int]] = {}
    for ordinal, line, outcome in commit.records:
        outcomes.setdefault(outcome.value, {})[ordinal] = line
    return (
        *(_json(part) for part in (windows, settled, outcomes, commit.closed, commit.accounted)),
        None if commit.limit is None else str(commit.limit),
        *(_lines(commit, packer) if commit.results or commit.rejects else _WITHOUT_LINES),
        *(commit.reading or _UNREAD),
        commit.account,
    )


def _lines(commit: Commit, packer: Packer) -> Values:
    results, rejects = b"".join(commit.results), b"".join(commit.rejects)
    of = (packer.pack(array.array("q", ordinals).tobytes()) for ordinals in (commit.results_of, commit.rejects_of))
    return (len(results), len(rejects), *of, packer.pack(results), packer.pack(rejects))


def _json(part: object) -> str | None:
    return orjson.dumps(part, option=orjson.OPT_NON_STR_KEYS).decode() if part else None
