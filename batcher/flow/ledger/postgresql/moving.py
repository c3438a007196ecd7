"""Records out of the ledgers of earlier divisions, with all that belongs to them, within the transaction of a commit.

Rows of records change their ledger; their lines are cut out of the packed ones of the commits that had brought them.
Who moves locks the rows of the earlier ledgers, in the order of their numbers, and takes their epochs: so two shards
that take from one ledger do so one after the other, and a person's word on one of its records is before the move, and
moved, or refused.
"""

from __future__ import annotations

import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import orjson

from batcher.core.verdict import Outcome
from batcher.errors import OutputFailed
from batcher.flow.ledger.commit import Moved
from batcher.flow.ledger.packing import Packer, unpack
from batcher.flow.ledger.postgresql.session import Connection
from batcher.flow.ledger.rows import Move

_LOCK = "SELECT FROM ledger WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
_TAKE = """UPDATE ledger SET epoch = epoch + 1, holder = (SELECT mine.holder FROM ledger AS mine WHERE mine.id = %s)
    WHERE id = ANY(%s)"""
_GIVEN = "unnest(%s::integer[], %s::bigint[], %s::bigint[]) AS given (ledger, was, ordinal)"
_RECORDS, _REOPENED = (
    f"""UPDATE {table} SET ledger = %s, ordinal = given.ordinal FROM {_GIVEN}
        WHERE {table}.ledger = given.ledger AND {table}.ordinal = given.was RETURNING given.ledger, given.was, {told}"""  # noqa: S608 - ours
    for table, told in (("record", "outcome"), ("reopened", "hash"))
)
_NEW_LINES = "SELECT id, results_of, rejects_of FROM lines WHERE ledger = %s AND id > %s ORDER BY id LIMIT 5000"
_LINES = """SELECT id, results_of, rejects_of, results, rejects FROM lines
    WHERE ledger = %s AND id = ANY(%s) ORDER BY id"""
_CUT = """UPDATE lines SET results_of = given.results_of, rejects_of = given.rejects_of,
        results = given.results, rejects = given.rejects
    FROM unnest(%s::bigint[], %s::bytea[], %s::bytea[], %s::bytea[], %s::bytea[])
        AS given (id, results_of, rejects_of, results, rejects)
    WHERE lines.ledger = %s AND lines.id = given.id"""
_DROP = "DELETE FROM lines WHERE ledger = %s AND id = ANY(%s)"
_COUNT = "UPDATE run SET earlier = earlier + %s WHERE ledger = %s AND id = (SELECT max(id) FROM run WHERE ledger = %s)"


class _Commit(NamedTuple):
    """Of which records a commit has lines: from the first to the last of these ordinals."""

    first: int
    last: int
    number: int


class Reaches:
    """Which commits of a ledger may have lines of some records, asked for in the order of the records.

    Records finish about in their order, so these are few at any time.
    """

    def __init__(self) -> None:
        self.seen = 0
        self._coming: list[_Commit] = []
        self._open: list[_Commit] = []

    def learn(self, rows: Iterable[tuple[int, bytes, bytes]]) -> None:
        """Commits that were not known yet: number, and whose results and rejects they have, packed."""
        for number, *packed in rows:
            self.seen = number
            found = [ordinal for each in packed for ordinal in _ordinals(each)]
            if found:
                self._coming.append(_Commit(min(found), max(found), number))
        self._coming.sort(reverse=True)

    def between(self, first: int, last: int) -> list[int]:
        """The numbers of those that may have lines of records from *first* to *last*."""
        while self._coming and self._coming[-1].first <= last:
            self._open.append(self._coming.pop())
        self._open = [each for each in self._open if each.last >= first]
        return [each.number for each in self._open]


def take(
    db: Connection, ledger: int, moves: Sequence[Move], reaches: defaultdict[int, Reaches], packer: Packer
) -> Moved:
    """Move records to the *ledger* of this number, all but their lines and intents, which are given back.

    Args:
        db: within the transaction.
        ledger: where they go.
        moves: which, in the order of the input.
        reaches: of each ledger where they are, as far as they are known.
        packer: for what is left of commits.

    Raises:
        OutputFailed: one is not where it was found, or its lines are damaged.
    """
    by_ledger: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for move in moves:
        by_ledger[move.ledger][move.was] = move.ordinal
    ledgers = sorted(by_ledger)
    db.execute(_LOCK, (ledgers,))
    db.execute(_TAKE, (ledger, ledgers))
    given = (ledger, [move.ledger for move in moves], [move.was for move in moves], [move.ordinal for move in moves])
    records = db.execute(_RECORDS.encode(), given).fetchall()
    reopened = db.execute(_REOPENED.encode(), given).fetchall()
    sent = _take_intents(db, [move for move in moves if move.sent])
    found = {(each, was) for each, was, *_ in (*records, *reopened)}
    if found | sent != {(move.ledger, move.was) for move in moves}:
        raise OutputFailed("the ledger cannot be written: records that were to move to it are not where they were")
    moved = Moved([], [], [], [], Counter(Outcome(outcome) for *_, outcome in records))
    for each in ledgers:
        wanted = {was: ordinal for was, ordinal in by_ledger[each].items() if (each, was) in found}
        if wanted:
            _take_lines(db, each, wanted, reaches[each], packer, moved)
    db.execute(_COUNT, (len(records), ledger, ledger))
    return moved


def _take_intents(db: Connection, moves: Sequence[Move]) -> set[tuple[int, int]]:
    """Take these out of the windows where they are; those that were there."""
    wanted = {(move.ledger, move.was) for move in moves}
    taken: set[tuple[int, int]] = set()
    query = "SELECT ledger, id, records FROM intent WHERE ledger = ANY(%s)"
    for ledger, number, text in db.execute(query, (sorted({each for each, _ in wanted}),)).fetchall():
        window = orjson.loads(text)
        here = {(ledger, int(ordinal)) for ordinal in window} & wanted
        left = {ordinal: line for ordinal, line in window.items() if (ledger, int(ordinal)) not in here}
        if here and left:
            kept = orjson.dumps(left).decode()
            db.execute("UPDATE intent SET records = %s WHERE ledger = %s AND id = %s", (kept, ledger, number))
        elif here:
            db.execute("DELETE FROM intent WHERE ledger = %s AND id = %s", (ledger, number))
        taken |= here
    return taken


def _take_lines(
    db: Connection, ledger: int, wanted: Mapping[int, int], reaches: Reaches, packer: Packer, moved: Moved
) -> None:
    """Cut the lines of records, ordinal → ordinal to come, out of a *ledger*, and add them to *moved*."""
    while rows := db.execute(_NEW_LINES, (ledger, reaches.seen)).fetchall():
        reaches.learn(rows)
    numbers = reaches.between(min(wanted), max(wanted))
    cut, empty = [], []
    for number, results_of, rejects_of, results, rejects in db.execute(_LINES, (ledger, numbers)).fetchall():
        try:
            rest_results, left_results = _cut(results_of, results, wanted, moved.results_of, moved.results, packer)
            rest_rejects, left_rejects = _cut(rejects_of, rejects, wanted, moved.rejects_of, moved.rejects, packer)
        except ValueError as error:
            raise OutputFailed(
                f"the ledger cannot be written: lines that were to move to it are damaged: {error}"
            ) from error
        if not (rest_results or rest_rejects):
            empty.append(number)
        elif (rest_results, rest_rejects) != (results_of, rejects_of):
            cut.append((number, rest_results, rest_rejects, left_results, left_rejects))
    if cut:
        db.execute(_CUT, (*map(list, zip(*cut, strict=True)), ledger))
    if empty:
        db.execute(_DROP, (ledger, empty))


def _cut(
    of: bytes, packed: bytes, wanted: Mapping[int, int], moved_of: list[int], moved: list[bytes], packer: Packer
) -> tuple[bytes, bytes]:
    """Whose lines are left of a commit, and those lines, packed; the *wanted* ones are added to what has *moved*."""
    ordinals = _ordinals(of)
    if not any(ordinal in wanted for ordinal in ordinals):
        return of, packed
    left_of, left = array.array("q"), []
    for ordinal, line in zip(ordinals, unpack(packed).split(b"\n")[:-1], strict=True):
        if ordinal in wanted:
            moved_of.append(wanted[ordinal])
            moved.append(line + b"\n")
        else:
            left_of.append(ordinal)
            left.append(line + b"\n")
    return packer.pack(left_of.tobytes()), packer.pack(b"".join(left))


def _ordinals(packed: bytes) -> array.array[int]:
    return array.array("q", unpack(packed))
