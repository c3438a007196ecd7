"""The runs on a ledger: when each began and ended and how, and how far it has read its input."""

from __future__ import annotations

from typing import NamedTuple


class Reading(NamedTuple):
    """How far a run has read its input.

    Attributes:
        updated: seconds since 1970.
        records: read so far, those of earlier runs included.
        bytes: of the inputs as they are stored, that these reach into.
        size: of all inputs as they are stored, or None where one has no known size.
        whole: they were read to their end, or to where ``--limit`` ends them.
    """

    updated: float
    records: int
    bytes: int
    size: int | None
    whole: bool


class Run(NamedTuple):
    """A run on the ledger.

    Attributes:
        started: when it began, in seconds since 1970.
        reading: how far it has read, as of its last commit.
        ended: when it ended; None while it runs, and where it was killed.
        exit_code: what it ended with.
        again: it read records of the ledger that were opened again, and not its input.
        earlier: records that had their outcome when it began.
    """

    started: float
    reading: Reading
    ended: float | None
    exit_code: int | None
    again: bool
    earlier: int
