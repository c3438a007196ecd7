"""The proof that a ledger accounts for its input: every record one outcome, and every outcome one result line.

The result lines stand in the order in which the records finished, so they wait in a temporary file to be compared:
memory does not depend on how many there are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import orjson

from batcher.core.verdict import Outcome
from batcher.errors import LedgerRefused
from batcher.flow.ledger.rows import Known, Reopened, mark
from batcher.flow.ledger.store import Store
from batcher.flow.ledger.temporary import open_temporary, writing_temporarily
from batcher.flow.lines import BATCH_LINES, Line

_OPEN_AGAIN = "no outcome, and opened again"
_DOUBLED = "more than one result line, and the later ones do not say why"
_TWICE = "in the ledgers of two divisions at once"
SHOWN = 5
"""Places that are named of each kind of finding."""


class Proof:
    """Compares the records of the input, in their order, with what the ledger knows.

    Args:
        store: the ledger, which nobody may write meanwhile.

    Attributes:
        records: how many were compared.
        outcomes: how many records of the ledger have each outcome, counted one by one.
        findings: what is not so, in words → how often, and where first.

    Raises:
        LedgerRefused: it holds what is no result line, or no outcome.
        OutputFailed: the temporary file cannot be written.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._told = _Lines(store)
        self._doubtful = store.doubtful()
        self.records = 0
        self.outcomes: Counter[Outcome] = Counter()
        self.findings: dict[str, tuple[int, list[str]]] = {}

    def hear(self, lines: list[Line], elsewhere: Sequence[Sequence[Place]] = ()) -> None:
        """Compare the next records, of which each may be in an earlier ledger instead, *elsewhere*."""
        first, last = self.records + 1, self.records + len(lines)
        known, reopened = self._known(first, last), self._store.reopened(first, last)
        told = self._told.between(first, last)
        accounted = []
        rests = entries_of(elsewhere)
        for ordinal, line in enumerate(lines, first):
            entry = Entry(known.get(ordinal), reopened.get(ordinal), self._doubtful.get(ordinal), told.get(ordinal))
            others = rests[ordinal - first] if rests else []
            if others and not any(part is not None for part in entry):
                entry, others = others[0], others[1:]
            finding = entry.finding(line) if not others else _TWICE
            if finding is not None:
                self._find(
                    finding, f"line {line.number}" if line.input is None else f"line {line.number} of {line.input}"
                )
            if finding in (None, _OPEN_AGAIN, _DOUBLED):
                accounted.append(ordinal)
        self._told.strike(accounted)
        self.records = last

    def end(self) -> None:
        """The input has ended: nothing may be left over in the ledger."""
        last = self._store.last()
        for first in range(self.records + 1, last + 1, BATCH_LINES):
            batch = first, first + BATCH_LINES - 1
            beyond = self._known(*batch).keys() | self._store.reopened(*batch).keys()
            for ordinal in sorted(beyond | {each for each in self._doubtful if first <= each < first + BATCH_LINES}):
                self._find("known to the ledger, and behind the end of the input", f"record {ordinal}")
        for line in self._told.left():
            self._find("result lines that belong to none of these records", f"line {line}")
        for outcome, total in self._store.counts().items():
            if total != self.outcomes[outcome]:
                place = f"{outcome.value}: {total} instead of {self.outcomes[outcome]}"
                self._find("the ledger's own totals are not what was counted", place)

    def close(self) -> None:
        """Let go of the temporary file."""
        self._told.close()

    def _known(self, first: int, last: int) -> dict[int, Known]:
        known = self._store.known(first, last)
        self.outcomes.update(each.outcome for each in known.values())
        return known

    def _find(self, kind: str, place: str) -> None:
        count, places = self.findings.get(kind, (0, []))
        if len(places) < SHOWN:
            places.append(place)
        self.findings[kind] = (count + 1, places)


class Rest:
    """What a ledger of an earlier division still has, beside a run that goes on in other ones.

    Args:
        store: the ledger, which nobody may write meanwhile.

    Attributes:
        outcomes: how many of the records that were asked for have each outcome.

    Raises:
        LedgerRefused: it holds what is no result line, or no outcome.
        OutputFailed: the temporary file cannot be written.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._told = _Lines(store)
        self._doubtful = store.doubtful()
        self._last = store.last()
        self.outcomes: Counter[Outcome] = Counter()

    def entries(self, ordinals: Collection[int]) -> dict[int, Entry]:
        """All that is there of those of these records of which something is; each is asked for once."""
        first, last = min(ordinals), max(ordinals)
        if first > self._last:
            return {}
        known, reopened = self._store.known(first, last), self._store.reopened(first, last)
        told = self._told.between(first, last)
        every = {
            each: Entry(known.get(each), reopened.get(each), self._doubtful.get(each), told.get(each))
            for each in ordinals
        }
        found = {each: entry for each, entry in every.items() if any(part is not None for part in entry)}
        self.outcomes.update(entry.known.outcome for entry in found.values() if entry.known is not None)
        self._told.strike(found)
        return found

    def left(self, count: int) -> list[str]:
        """What was not asked for, in words, once the input has ended with *count* lines of this shard."""
        found = [f"line {line}" for line in self._told.left()]
        if self._last > count:
            found.append(f"record {self._last}")
        if not found and self._store.counts() != {outcome: self.outcomes[outcome] for outcome in Outcome}:
            found.append("its totals")
        return found

    def close(self) -> None:
        """Let go of the temporary file."""
        self._told.close()


Place: TypeAlias = tuple[Rest, int]
"""Where a record may be: which ledger of an earlier division, and its ordinal there."""


def entries_of(elsewhere: Sequence[Sequence[Place]]) -> list[list[Entry]]:
    """For each record what there is of it elsewhere."""
    asked: defaultdict[Rest, list[int]] = defaultdict(list)
    for places in elsewhere:
        for rest, ordinal in places:
            asked[rest].append(ordinal)
    found = {rest: rest.entries(ordinals) for rest, ordinals in asked.items()}
    return [[found[rest][ordinal] for rest, ordinal in places if ordinal in found[rest]] for places in elsewhere]


class _Last(NamedTuple):
    """What the last result line of a record says, and how many of its lines are one too many."""

    line: int
    hash: int
    outcome: str
    doubled: int


class Entry(NamedTuple):
    """All that a ledger holds of one record."""

    known: Known | None
    reopened: Reopened | None
    intent: int | None
    told: _Last | None

    def finding(self, line: Line) -> str | None:
        """What is not so where *line* is the record's: None for one outcome, and the line that says it."""
        digest = mark(line.hash, line.number)
        hashes = {self.intent, *(each.hash for each in (self.known, self.reopened) if each is not None)}
        if hashes - {None, digest}:
            return "not the line that the ledger knows at this place"
        if self.known is None:
            if self.reopened is not None:
                return _OPEN_AGAIN
            return "no outcome, and never sent" if self.intent is None else "no outcome, and perhaps sent"
        if self.reopened is not None:
            return "an outcome, and open again"
        if self.intent is not None:
            return "an outcome, and still an intent to send"
        if self.told is None or self.told[:3] != (line.number, digest, self.known.outcome.value):
            return "no result line that says the outcome"
        return _DOUBLED if self.told.doubled else None


class _Lines:
    """The result lines of a ledger, by record, in a temporary file that is gone with the process.

    Of several lines of one record the last is final; each but the first must say what came before it.

    Args:
        store: the ledger.

    Raises:
        LedgerRefused: they are no result lines.
        OutputFailed: the temporary file cannot be written.
    """

    def __init__(self, store: Store) -> None:
        self._db = open_temporary()
        try:
            self._fill(store)
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            self._db.close()
            raise LedgerRefused(f"the ledger {store.name} is damaged: it holds what is no result line") from error
        except BaseException:
            self._db.close()
            raise

    def _fill(self, store: Store) -> None:
        with writing_temporarily():
            self._db.execute(
                "CREATE TABLE told (ordinal INTEGER PRIMARY KEY, line INTEGER, hash INTEGER, outcome TEXT,"
                " doubled INTEGER)"
            )
        for told in store.told("results"):
            rows = [(ordinal, *_said(orjson.loads(line))) for ordinal, line in told]
            with writing_temporarily():
                self._db.executemany(
                    "INSERT INTO told VALUES (?1, ?2, ?3, ?4, 0) ON CONFLICT DO UPDATE SET"
                    " line = ?2, hash = ?3, outcome = ?4, doubled = doubled + ?5",
                    rows,
                )

    def between(self, first: int, last: int) -> dict[int, _Last]:
        """Those of the records from ordinal *first* to *last*."""
        with writing_temporarily():
            rows = self._db.execute("SELECT * FROM told WHERE ordinal BETWEEN ? AND ?", (first, last))
            return {ordinal: _Last(*said) for ordinal, *said in rows}

    def strike(self, ordinals: Iterable[int]) -> None:
        """Take away those of some records, which are accounted for."""
        with writing_temporarily():
            self._db.executemany("DELETE FROM told WHERE ordinal = ?", ((ordinal,) for ordinal in ordinals))

    def left(self) -> Iterator[int]:
        """The line number of each that was not taken away."""
        with writing_temporarily():
            for (line,) in self._db.execute("SELECT line FROM told ORDER BY ordinal"):
                yield line

    def close(self) -> None:
        self._db.close()


def _said(members: dict[str, Any]) -> tuple[int, int, str, bool]:
    """Line, hash and outcome of a result line, and whether it would be one too many behind another of its record."""
    same_again = "origin" not in members and "settled" not in members
    return int(members["line"]), mark(members["hash"], int(members["line"])), str(members["outcome"]), same_again
