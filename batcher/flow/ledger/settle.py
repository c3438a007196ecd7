"""A person's word on records in doubt: it was applied, or it was not.

Applied means delivered, and a result line says whose word that is. Not applied means open again without doubt: no line
is written, because the record has no outcome then.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from batcher.core.result import Origin, Result
from batcher.core.verdict import Outcome
from batcher.errors import LedgerRefused, SettingsError
from batcher.flow.ledger.commit import Commit
from batcher.flow.ledger.reopen import open_again, rejects
from batcher.flow.ledger.rows import mark
from batcher.flow.ledger.store import Store

_HEAD = b'{"line":'
NOT_APPLIED, APPLIED = "not_applied", "applied"


class Doubtful(NamedTuple):
    """A record in doubt.

    Attributes:
        ordinal: its number among all records.
        told: the members of its last result line.
    """

    ordinal: int
    told: dict[str, Any]

    @property
    def origin(self) -> Origin:
        """What its last result line said."""
        return Origin.of(self.told)


def find(store: Store, lines: Iterable[int], name: str | None) -> list[Doubtful]:
    """The records in doubt that stand at *lines* of their input, in this order.

    Args:
        store: the ledger.
        lines: physical lines within the input, from 1.
        name: of the input, where there are several.

    Raises:
        SettingsError: a line is unknown, belongs to several inputs, or is not in doubt.
        LedgerRefused: the ledger is damaged.
    """
    wanted = dict.fromkeys(lines)
    told = _told(store, {b"%d" % line for line in wanted})
    return [_pick(store, line, told.get(line, {}), name) for line in wanted]


def settle(store: Store, records: list[Doubtful], *, applied: bool) -> None:
    """Give *records* a person's word, all of them or none.

    Raises:
        LedgerRefused: the ledger is damaged.
        OutputFailed: it cannot be written.
    """
    if not applied:
        origins = {each.ordinal: dataclasses.replace(each.origin, settled=NOT_APPLIED) for each in records}
        last = dict(rejects(store, set(origins)))
        if last.keys() != origins.keys():
            raise LedgerRefused(f"the ledger {store.name} is damaged: it lacks a rejects line")
        open_again(store, ((ordinal, last[ordinal], origin) for ordinal, origin in origins.items()))
        return
    commit = Commit()
    hashes = commit.records[Outcome.DELIVERED] = {}
    for ordinal, told in records:
        result = Result(
            line=told["line"],
            outcome=Outcome.DELIVERED,
            key=told["key"],
            attempts=told["attempts"],
            seconds=0.0,
            hash=told["hash"],
            input=told.get("input"),
            offset=told.get("offset"),
            origin=Origin.of(told),
            settled=APPLIED,
            ordinal=ordinal,
        )
        hashes[ordinal] = mark(result.hash, result.line)
        commit.results.append(result.to_json())
        commit.results_of.append(ordinal)
        commit.closed.append(ordinal)
    store.commit(commit)


def _told(store: Store, wanted: set[bytes]) -> dict[int, dict[int, dict[str, Any]]]:
    """By line: the last result line of each record that stands there, by its ordinal."""
    found: dict[int, dict[int, dict[str, Any]]] = {}
    for told in store.told("results"):
        for ordinal, line in told:
            if not line.startswith(_HEAD) or line[len(_HEAD) : line.find(b",")] not in wanted:
                continue
            try:
                members = orjson.loads(line)
                found.setdefault(members["line"], {})[ordinal] = members
            except (ValueError, KeyError, TypeError) as error:
                raise LedgerRefused(f"the ledger {store.name} is damaged: it holds what is no result line") from error
    return found


def _pick(store: Store, line: int, told: dict[int, dict[str, Any]], name: str | None) -> Doubtful:
    if name is not None:
        told = {ordinal: members for ordinal, members in told.items() if members.get("input") == name}
    if not told:
        raise SettingsError("--line", *_unknown(store, line, name))
    if len(told) > 1:
        inputs = ", ".join(str(members.get("input")) for members in told.values())
        raise SettingsError("--line", f"several inputs have a line {line}: {inputs}", "say which with --input NAME")
    [(ordinal, members)] = told.items()
    where = f"line {line}" if members.get("input") is None else f"line {line} of {members['input']}"
    reopened = store.reopened(ordinal, ordinal).get(ordinal)
    known = store.known(ordinal, ordinal).get(ordinal)
    if (known is None) == (reopened is None):
        raise LedgerRefused(f"the ledger {store.name} is damaged: {where} has a result line and no outcome")
    if known is not None and known.outcome is not Outcome.IN_DOUBT:
        raise SettingsError("--line", f"{where} is not in doubt, it is {known.outcome.value}", "leave it out")
    if reopened is not None:
        if ordinal in store.doubtful():
            problem = f"{where} may have been sent once more by a run that was killed"
            raise SettingsError("--line", problem, "run its command again first, which gives it its outcome")
        if reopened.origin.doubt is None:
            problem = f"{where} is not in doubt: it is open again, and was certainly not applied"
            raise SettingsError("--line", problem, "the command of the run, or resubmit, sends it")
    return Doubtful(ordinal, members)


def _unknown(store: Store, line: int, name: str | None) -> tuple[str, str]:
    """Problem and remedy."""
    where = f"line {line}" if name is None else f"line {line} of {name}"
    problem = f"the ledger has no result of {where}"
    if store.doubtful():
        return problem, (
            "a run was killed while records were in flight: run its command again first, which gives them their outcome"
        )
    return problem, "lines are counted as result lines do: from 1, within their input, blank lines too"
