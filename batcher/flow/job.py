"""A record on its way through the run."""

from __future__ import annotations

from dataclasses import dataclass

from batcher.core.record import Record
from batcher.core.result import Origin
from batcher.core.retry import History
from batcher.core.sessions import Refused
from batcher.flow.source import Line


@dataclass(slots=True, eq=False)
class Job:
    """One valid line until it has its result.

    Attributes:
        ordinal: its number among all records of the run, which line numbers of several inputs are not.
        line: as it was read.
        record: what is to be sent.
        read_at: when it was read.
        history: what it has been through.
        size: bytes that are held for it.
        tried_at: when its last attempt ended, or its first began: a request that began later and was accepted proves
            that the service takes others.
        budgeted: its next attempt is a retry that the retry budget counts; those after throttling, a lost session or no
            connection are none.
        probe: its turn at the gate is that of a probe: the service is taken to be down.
        declared: the ledger holds durably that it may have been sent; with a ledger nothing is sent before.
        origin: what had come of it before, where it is sent once more.
        refused: when it was last refused for want of a session, and in which, or None.
    """

    ordinal: int
    line: Line
    record: Record
    read_at: float
    history: History
    size: int = 0
    tried_at: float = 0.0
    refused: Refused | None = None
    budgeted: bool = False
    probe: bool = False
    declared: bool = False
    origin: Origin | None = None
