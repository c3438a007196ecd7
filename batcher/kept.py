"""The ledger of a run: what it is put together from, and what is written down at the run's end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import NamedTuple

from batcher.core.verdict import Outcome
from batcher.errors import OutputFailed
from batcher.flow.ledger.access import Hold
from batcher.flow.ledger.memory import Memory
from batcher.flow.ledger.moving import Moving
from batcher.flow.ledger.reopened import Reopened
from batcher.flow.ledger.selection import Left
from batcher.flow.ledger.store import Store
from batcher.flow.ledger.writer import LedgerWriter


class Kept(NamedTuple):
    """An open ledger.

    Attributes:
        hold: the right to write it, until the run has ended.
        writer: keeps it; the run's sink.
        memory: what earlier runs have left; the run's source as well, where the ledger's records are submitted again.
        reading: the memory's connection.
        earlier: records by outcome that earlier runs have brought to their end.
        left: what of it is not submitted again.
    """

    hold: Hold
    writer: LedgerWriter
    memory: Memory | Reopened | Moving
    reading: Store
    earlier: Mapping[Outcome, int]
    left: Left

    @property
    def accounts(self) -> list[bytes]:
        """What the runs before this one have told of themselves."""
        return [account for *_, account in self.reading.accounts()[:-1]]

    def end(self, exit_code: int, account: bytes) -> None:
        """Write down how the run has ended and what it has to tell of itself, once the writer has ended."""
        # A ledger that cannot be written is why such a run ends.
        with contextlib.suppress(OutputFailed), contextlib.closing(self.hold.open()) as store:
            store.end_run(time.time(), exit_code, account)

    def close(self) -> None:
        """Let go of it, once the writer has ended."""
        if isinstance(self.memory, Moving):
            self.memory.close()
        self.reading.close()
        self.hold.close()
