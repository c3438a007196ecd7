"""What a ledger tells and takes, whatever holds it: a file (``sqlite``) or a database that many share (``postgresql``).

One transaction carries all that happened since the last one: what is about to be sent (a *window* of intents), which
intents are settled, the outcomes, and the result lines. So at any instant of a crash the ledger says of each record one
of three things: it has its outcome; it may have been sent; it was certainly not sent.

============  ========================================================================================================
table         holds
============  ========================================================================================================
``meta``      what the ledger is bound to, and the concurrency limit that was found
``record``    a row for each record that has its outcome: its ordinal in the input, its line's hash, the outcome
``reopened``  a row for each record that had its outcome and is to get another one: see ``reopen``
``intent``    a row for each window of records that may have been sent and have no outcome: JSON, ordinal → hash
``lines``     a row for each commit: its result and rejects lines, whose they are, and where they end in their files
``total``     how many records have each outcome: the sum of ``record``, kept in the same transaction
``run``       a row for each run: see ``runs``
``output``    the files that the lines were written to, and how many bytes of each are accounted for
============  ========================================================================================================

Both kinds have these tables, so what is read is read here for both; each has its own way to write. Every method blocks;
the writer calls them on a thread of its own.
"""

from __future__ import annotations

import abc
import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

import orjson

from batcher.core.result import Origin
from batcher.core.verdict import Outcome
from batcher.errors import LedgerRefused
from batcher.flow.ledger.commit import Commit
from batcher.flow.ledger.lines import Lines
from batcher.flow.ledger.rows import Known, OpenAgain, Reopened
from batcher.flow.ledger.runs import Reading, Run


class Store(Lines, abc.ABC):
    """An open ledger.

    For reading it needs no leave to write, and may be open in any number of processes while one writes: no method
    holds on to what it read.

    Args:
        name: by which people know it.
        mine: what narrows a query to the rows of this ledger.
        listed: what stands for the members of a JSON array that is a parameter.

    Attributes:
        name: by which people know it.
        division: which of its run's divisions into shards it belongs to, the first one is 1.
        divided: that is not its only one.
    """

    division, divided = 1, False

    def __init__(self, name: str, mine: str, listed: str) -> None:
        self.name = name
        self._mine = mine
        self._listed = listed
        self._used = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What each kind does in its own way

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of it, once a thread that still reads it is done."""

    @abc.abstractmethod
    def snapshot(self) -> AbstractContextManager[None]:
        """What a reader reads within is of one instant. To be left soon."""

    @abc.abstractmethod
    def bind(self, identity: Mapping[str, str]) -> None:
        """Bind a new ledger to *identity*.

        Raises:
            LedgerRefused: it is bound to another one; the first difference is named.
            OutputFailed: it cannot be written.
        """

    @abc.abstractmethod
    def commit(self, commit: Commit) -> None:
        """Make *commit* durable: all of it, or nothing.

        Raises:
            OutputFailed: it cannot be written; what was committed before is whole. After a crash that follows, this
                commit may be found to be there all the same: it was not confirmed, which is not to say that it was
                not taken.
        """

    @abc.abstractmethod
    def open_again(self, records: Iterable[OpenAgain], stale: Iterable[int] | None = None) -> None:
        """Open *records* again that have their outcome or are open again already, all or none.

        Args:
            records: which.
            stale: all that are not to be sent although they are open, by ordinal; None changes nothing of that.

        Raises:
            LedgerRefused: one is not the record that the ledger has.
            OutputFailed: it cannot be written.
        """

    @abc.abstractmethod
    def begin_run(self, now: float, earlier: int, *, again: bool) -> None:
        """A run begins *now*, with *earlier* records that have their outcome; see ``Run`` for *again*."""

    @abc.abstractmethod
    def end_run(self, now: float, exit_code: int, account: bytes) -> None:
        """The last run has ended *now*, and has *account* to tell of itself."""

    @abc.abstractmethod
    def _rows(self, query: str, *values: str | int) -> list[Any]:
        """What *query* finds; ``?`` stands for each of *values*."""

    # What is read

    def value(self, name: str) -> str | int | None:
        """What ``meta`` holds under *name*."""
        rows = self._select("value", "meta", "name = ?", name)
        return rows[0][0] if rows else None

    def counts(self) -> dict[Outcome, int]:
        """How many records have each outcome."""
        counts = dict.fromkeys(Outcome, 0)
        rows = self._select("outcome, records", "total")
        with self._damaged("totals"):
            return counts | {Outcome(outcome): int(count) for outcome, count in rows}

    def last(self) -> int:
        """The ordinal of the last record that the ledger knows anything of; 0 for none."""
        lasts = [self._select("max(ordinal)", table)[0][0] for table in ("record", "reopened")]
        return max([*(last or 0 for last in lasts), *self.doubtful()])

    def known(self, first: int, last: int) -> dict[int, Known]:
        """The records from ordinal *first* to *last* that have their outcome."""
        return self._known("ordinal BETWEEN ? AND ?", first, last)

    def outcomes(self, ordinals: Iterable[int]) -> dict[int, Known]:
        """Those of these records that have their outcome."""
        return self._known(f"ordinal IN {self._listed}", orjson.dumps(list(ordinals)).decode())

    def first(self, outcome: Outcome, most: int) -> list[int]:
        """The ordinals of the first records of an outcome, *most* of them."""
        rows = self._select("ordinal", "record", "outcome = ? ORDER BY ordinal LIMIT ?", outcome.value, most)
        return [ordinal for (ordinal,) in rows]

    def reopened(self, first: int, last: int) -> dict[int, Reopened]:
        """The records from ordinal *first* to *last* that are open again."""
        rows = self._select("ordinal, hash, origin", "reopened", "ordinal BETWEEN ? AND ?", first, last)
        with self._damaged("reopened records"):
            return {ordinal: Reopened(line, Origin.read(origin)) for ordinal, line, origin in rows}

    def count_reopened(self) -> int:
        """How many records are open again."""
        [(count,)] = self._select("count(*)", "reopened")
        return int(count)

    def all_reopened(self, after: int, most: int) -> list[OpenAgain]:
        """The next records behind ordinal *after* that are open again, whether they are sent or not."""
        which = "ordinal > ? ORDER BY ordinal LIMIT ?"
        return [OpenAgain(*row) for row in self._select("ordinal, hash, origin, raw", "reopened", which, after, most)]

    def chosen(self, after: int, most: int) -> list[tuple[int, str, bytes]]:
        """The next records behind ordinal *after* that are open again and are to be sent: ordinal, origin, line."""
        which = "raw IS NOT NULL AND NOT stale AND ordinal > ? ORDER BY ordinal LIMIT ?"
        return self._select("ordinal, origin, raw", "reopened", which, after, most)

    def chosen_bytes(self) -> int:
        """The sum of their lines' sizes."""
        [(size,)] = self._select("coalesce(sum(length(raw)), 0)", "reopened", "raw IS NOT NULL AND NOT stale")
        return int(size)

    def windows(self) -> dict[int, dict[int, int]]:
        """By window: the records, ordinal → hash, that may have been sent and have no outcome."""
        rows = self._select("id, records", "intent")
        with self._damaged("intents"):
            return {
                number: {int(ordinal): line for ordinal, line in orjson.loads(records).items()}
                for number, records in rows
            }

    def doubtful(self) -> dict[int, int]:
        """All records, ordinal → hash, that may have been sent and have no outcome."""
        return {ordinal: line for window in self.windows().values() for ordinal, line in window.items()}

    def accounted(self, path: str) -> int | None:
        """Bytes of the output file *path* that are accounted for; None for a file that the ledger does not know."""
        rows = self._select("accounted", "output", "path = ?", path)
        return rows[0][0] if rows else None

    def accounts(self) -> list[tuple[float, float | None, int | None, bytes]]:
        """Of each run, the first one first: when it began, when it ended and its exit code, if so, and its account."""
        rows = self._select("started, ended, exit_code, account", "run", "true ORDER BY id")
        return [(started, ended, code, account or b"") for started, ended, code, account in rows]

    def last_run(self) -> Run | None:
        """The last run; None where there was none."""
        what = "started, updated, records, bytes, size, whole, ended, exit_code, again, earlier"
        rows = self._select(what, "run", "true ORDER BY id DESC LIMIT 1")
        if not rows:
            return None
        started, updated, records, read, size, whole, ended, exit_code, again, earlier = rows[0]
        reading = Reading(updated, records, read, size, bool(whole))
        return Run(started, reading, ended, exit_code, bool(again), earlier)

    def _select(self, what: str, table: str, which: str = "true", *values: str | int) -> list[Any]:
        return self._rows(f"SELECT {what} FROM {table} WHERE {self._mine} AND {which}", *values)  # noqa: S608 - ours

    def _known(self, which: str, *values: str | int) -> dict[int, Known]:
        rows = self._select("ordinal, hash, outcome", "record", which, *values)
        with self._damaged("outcomes"):
            return {ordinal: Known(line, Outcome(outcome)) for ordinal, line, outcome in rows}

    @contextlib.contextmanager
    def _damaged(self, what: str) -> Iterator[None]:
        """What was read, *what*, is made sense of within."""
        try:
            yield
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LedgerRefused(f"the ledger {self.name} is damaged: {what} cannot be read: {error}") from error
