"""What earlier runs on the same ledger have left: which lines are done, and which may have been sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from batcher.core.result import Origin
from batcher.errors import LedgerRefused
from batcher.flow.ledger.rows import Known, Reopened, mark
from batcher.flow.ledger.store import Store
from batcher.flow.source import Line


class Past(NamedTuple):
    """What there was of a record before this run.

    Attributes:
        ordinal: its number among all records.
        known: its outcome, which it keeps; else None.
        sent: a run was killed that may have sent it.
        origin: what had come of it, where it is open again.
    """

    ordinal: int
    known: Known | None = None
    sent: bool = False
    origin: Origin | None = None


class Recalls(Protocol):
    """Knows the past of each line of an input."""

    async def look_up(self, first: int, lines: Sequence[Line]) -> None:
        """Be ready to tell of the records of *lines*, from the run's number *first* on."""
        ...

    def recall(self, number: int, line: Line) -> Past | None:
        """The past of the run's record *number*; None where nothing is known of it.

        Raises:
            LedgerRefused: at this place the ledger knows another line.
        """
        ...

    def end(self, records: int) -> None:
        """The input has ended after *records*.

        Raises:
            LedgerRefused: the ledger knows of more.
        """
        ...


def another_line(line: Line) -> LedgerRefused:
    """At the place of *line* the ledger knows another one."""
    where = f"line {line.number}" if line.input is None else f"line {line.number} of {line.input}"
    return LedgerRefused(
        f"{where} is not the one that the ledger knows: this is another input, or it was changed, if only by a "
        f"blank line; use the input of the first run, or a new ledger"
    )


class Memory:
    """Tells for each line of the input, in its order, what the ledger knows of it.

    Args:
        store: a connection of its own to the ledger: it is read on another thread than the writer's.
        limit: records that this run takes at most.
    """

    def __init__(self, store: Store, limit: int | None = None) -> None:
        self._store = store
        self._limit = limit
        self._last = store.last()
        self._doubtful = store.doubtful()
        self._known: dict[int, Known] = {}
        self._reopened: dict[int, Reopened] = {}

    async def look_up(self, first: int, lines: Sequence[Line]) -> None:
        """Fetch what is known of the records of *lines*, from ordinal *first* on."""
        self._known, self._reopened = {}, {}
        if first <= self._last:
            self._known, self._reopened = await asyncio.to_thread(self._read, first, first + len(lines) - 1)

    def learn(self, doubtful: Mapping[int, int], last: int) -> None:
        """Records up to ordinal *last* have come to the ledger, and these among them may have been sent."""
        self._doubtful |= doubtful
        self._last = max(self._last, last)

    def recall(self, number: int, line: Line) -> Past | None:
        """What is known of a record: its outcome, or whether it may have been sent, or was opened again.

        Raises:
            LedgerRefused: at this place the ledger knows another line.
        """
        if number > self._last:
            return None
        known, reopened = self._known.get(number), self._reopened.get(number)
        expected = self._doubtful.get(number)
        past = Past(
            number, known, known is None and expected is not None, None if reopened is None else reopened.origin
        )
        for each in (known, reopened):
            expected = expected if each is None else each.hash
        if expected is not None and expected != mark(line.hash, line.number):
            raise another_line(line)
        return past

    def end(self, records: int) -> None:
        """The input has ended after *records*.

        Raises:
            LedgerRefused: the ledger knows of more.
        """
        if records < self._last:
            if records == self._limit:
                raise LedgerRefused(
                    f"--limit {records} ends this run before record {self._last}, which the ledger knows from an "
                    "earlier one: give it at least as many, or leave it out"
                )
            raise LedgerRefused(
                f"the input ends after {records} records, and the ledger knows of {self._last}: it was cut, "
                f"or is another one"
            )

    def _read(self, first: int, last: int) -> tuple[dict[int, Known], dict[int, Reopened]]:
        return self._store.known(first, last), self._store.reopened(first, last)
