"""What earlier runs on the same ledger have left: which lines are done, and which may have been sent."""

from __future__ import annotations

import asyncio

from batcher.errors import LedgerRefused
from batcher.flow.ledger.store import Known, Store, hash_number
from batcher.flow.source import Line


class Memory:
    """Tells for each line of the input, in its order, what the ledger knows of it.

    Args:
        store: a connection of its own to the ledger: it is read on another thread than the writer's.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._last = store.last()
        self._doubtful = store.doubtful()
        self._known: dict[int, Known] = {}

    async def look_up(self, first: int, count: int) -> None:
        """Fetch what is known of *count* records from ordinal *first* on."""
        self._known = {}
        if first <= self._last:
            self._known = await asyncio.to_thread(self._store.known, first, first + count - 1)

    def recall(self, ordinal: int, line: Line) -> Known | bool:
        """What is known of a record: its outcome; else whether it may have been sent.

        Raises:
            LedgerRefused: at this place the ledger knows another line.
        """
        if ordinal > self._last:
            return False
        known = self._known.get(ordinal)
        expected = self._doubtful.get(ordinal) if known is None else known.hash
        if expected is not None and expected != hash_number(line.hash):
            where = f"line {line.number}" if line.input is None else f"line {line.number} of {line.input}"
            raise LedgerRefused(
                f"{where} is not the one that the ledger knows: this is another input, or it was changed; "
                f"use the input of the first run, or a new ledger"
            )
        return known if known is not None else expected is not None

    def end(self, records: int) -> None:
        """The input has ended after *records*.

        Raises:
            LedgerRefused: the ledger knows of more.
        """
        if records < self._last:
            raise LedgerRefused(
                f"the input ends after {records} records, and the ledger knows of {self._last}: it was cut, "
                f"or is another one"
            )

    def close(self) -> None:
        """Let go of the ledger."""
        self._store.close()
