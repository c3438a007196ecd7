"""``status LEDGER``: where a run stands, also while it writes; nothing is written to the ledger."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from batcher.core.fingerprint import one_line
from batcher.core.verdict import Outcome
from batcher.errors import LedgerRefused
from batcher.flow.ledger import runs
from batcher.flow.ledger.lock import standing_still
from batcher.flow.ledger.runs import Run
from batcher.flow.ledger.store import Store
from batcher.ledgers import FINAL, print_pieces
from batcher.observe.words import number, plural, span

_RATE_SECONDS = 1.0
"""For how long one looks on while a run writes."""
_NAMED = 5
"""Records in doubt that are named."""
_CAP = 200
"""Characters of a line and its key, which come from outside."""


@dataclass(frozen=True, slots=True)
class _Left:
    """What a run has still to do.

    Attributes:
        records: without an outcome; None where nobody can tell.
        exact: that is no estimate from the bytes: the input was read to its end.
        bytes: of the input that were not read; None where it has no known size.
    """

    records: int | None
    exact: bool
    bytes: int | None

    @classmethod
    def of(cls, run: Run, ended: int) -> _Left:
        """What *run* has left, with *ended* records in the ledger that have their outcome."""
        reading = run.reading
        done = ended - run.earlier if run.again else ended
        if reading.whole:
            return cls(max(0, reading.records - done), exact=True, bytes=0)
        if reading.size is None or not reading.bytes:
            return cls(None, exact=False, bytes=reading.size)
        unread = max(0, reading.size - reading.bytes)
        records = reading.records + math.ceil(unread * reading.records / reading.bytes)
        return cls(max(0, records - done), exact=False, bytes=unread)


def status_command(ledger: str, *, as_json: bool) -> int:
    """Print where the run of *ledger* stands, for people or as one JSON object.

    Raises:
        LedgerRefused: it is no ledger, or a damaged one.
        OutputFailed: it cannot be read, or standard output cannot be written.
    """
    facts = _look(ledger)
    if as_json:
        print_pieces([orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE)])
    else:
        print_pieces(f"{line}\n".encode() for line in _words(facts))
    return 0


def _look(ledger: str) -> dict[str, Any]:
    with contextlib.closing(Store(ledger)) as store:
        with standing_still(ledger) as still:
            writing = not still
        rate = _rate(store) if writing else None
        with store.snapshot():
            outcomes = {outcome.value: count for outcome, count in store.counts().items() if outcome in FINAL}
            open_intents = len(store.doubtful())
            with store.reading() as db:
                run = runs.last(db)
                [(reopened,)] = db.execute("SELECT count(*) FROM reopened")
            # Only where there is one to be found: it may take a look at every record.
            doubtful = _first_in_doubt(store) if outcomes[Outcome.IN_DOUBT.value] else []
        lines = store.latest("rejects", doubtful)
        if len(lines) < len(doubtful):
            raise LedgerRefused(f"the ledger {ledger} is damaged: it lacks a rejects line")
        bound = {name: store.value(name) for name in ("endpoint", "operation", "order")}
        shard, limit = store.value("shard"), store.value("limit")
    ended = sum(outcomes.values())
    return {
        "ledger": os.fsencode(ledger).decode(errors="replace"),
        "writing": writing,
        **bound,
        "shard": None if shard == "none" else shard,
        "records": ended,
        "outcomes": outcomes,
        "in_doubt_lines": [_in_doubt(lines[ordinal]) for ordinal in doubtful],
        "open_intents": open_intents,
        "reopened": reopened,
        "rate": rate,
        "concurrency_limit": limit,
        "run": None if run is None else _facts(run, ended, rate),
    }


def _first_in_doubt(store: Store) -> list[int]:
    """The ordinals of the first records that are in doubt now."""
    query = "SELECT ordinal FROM record WHERE outcome = ? ORDER BY ordinal LIMIT ?"
    with store.reading() as db:
        return [ordinal for (ordinal,) in db.execute(query, (Outcome.IN_DOUBT.value, _NAMED))]


def _in_doubt(line: bytes) -> dict[str, Any]:
    """What is told of a record in doubt, from its last rejects line."""
    members = orjson.loads(line)
    name = {"input": members["input"]} if "input" in members else {}
    return {"line": members["line"], **name, "key": members["key"], "kind": members["error"]["kind"]}


def _rate(store: Store) -> float:
    """Outcomes a second, as seen from here."""
    before, since = sum(store.counts().values()), time.monotonic()
    time.sleep(_RATE_SECONDS)
    return round((sum(store.counts().values()) - before) / (time.monotonic() - since), 1)


def _facts(run: Run, ended: int, rate: float | None) -> dict[str, Any]:
    """The last run, with *ended* records that have their outcome, *rate* of them a second now."""
    reading, left = run.reading, _Left.of(run, ended)
    seconds = (run.ended or reading.updated) - run.started
    mean = round((ended - run.earlier) / seconds, 1) if seconds > 0 else None
    pace = rate or mean
    return {
        "started": run.started,
        "updated": reading.updated,
        "ended": run.ended,
        "exit_code": run.exit_code,
        "records_read": reading.records,
        "bytes_read": reading.bytes,
        "input_bytes": reading.size,
        "mean_rate": mean,
        "left": {"records": left.records, "exact": left.exact, "bytes": left.bytes},
        "eta_seconds": round(left.records / pace, 1) if rate is not None and pace and left.records else None,
    }


def _words(facts: dict[str, Any]) -> Iterator[str]:
    outcomes, writing, rate = facts["outcomes"], facts["writing"], facts["rate"]
    width = max(len(number(count)) for count in outcomes.values())
    yield f"ledger: {facts['ledger']}, {'a run is writing it now' if writing else 'no run is writing it'}"
    shard = "" if facts["shard"] is None else f", shard {facts['shard']}"
    yield f"service: {facts['endpoint']}, {facts['operation']}, in order by {facts['order']}{shard}"
    run = facts["run"]
    if run is not None:
        yield f"last run: {_how(run, writing=writing)}"
    yield f"{plural(facts['records'], 'record')} with an outcome"
    for name, count in outcomes.items():
        yield f"  {name.replace('_', ' '):9}  {number(count):>{width}}"
    yield from _what_is_in_doubt(facts)
    fate = "may be in flight" if writing else "may have been sent"
    yield f"{plural(facts['open_intents'], 'record')} without one {fate}"
    if facts["reopened"]:
        yield f"{plural(facts['reopened'], 'record')} opened again, to be sent once more"
    if run is not None:
        yield f"left: {_left(run['left'])}"
    if rate is not None:
        mean = "" if run is None or run["mean_rate"] is None else f", {number(run['mean_rate'])} since it began"
        yield f"rate: {number(rate)} records/s{mean}"
        if run is not None and run["eta_seconds"] is not None:
            yield f"done in about {span(run['eta_seconds'])} at this rate"
    elif facts["open_intents"]:
        yield "the same command again treats what may have been sent by its --in-doubt, and sends the rest"
    if facts["reopened"] and not writing:
        yield f"what is opened again is sent by the same command, or by veetro-batch resubmit {facts['ledger']}"


def _what_is_in_doubt(facts: dict[str, Any]) -> Iterator[str]:
    """The first records in doubt, and what to do about all of them."""
    named, ledger = facts["in_doubt_lines"], facts["ledger"]
    if not named:
        return
    yield "in doubt:"
    for each in named:
        where = f"line {each['line']}" + (f" of {each['input']}" if "input" in each else "")
        key = "" if each["key"] is None else f", key {orjson.dumps(each['key']).decode()}"
        yield f"  {one_line(where + key, _CAP)}: {each['kind']}"
    more = facts["outcomes"][Outcome.IN_DOUBT.value] - len(named)
    if more > 0:
        yield f"  and {number(more)} more: veetro-batch results {ledger} | grep -F in_doubt"
    yield (
        f"find out what became of them and tell it with veetro-batch settle {ledger} --line N --applied or "
        f"--not-applied, or send them again with veetro-batch resubmit {ledger} --in-doubt resend"
    )


def _how(run: dict[str, Any], *, writing: bool) -> str:
    """When a run began and how it ended."""
    began = f"began {_instant(run['started'])}"
    if run["ended"] is not None:
        return f"{began}, ended {_instant(run['ended'])} with exit code {run['exit_code']}"
    if writing:
        return f"{began}, {span(max(0.0, run['updated'] - run['started']))} before its last commit"
    return f"{began}, was killed after {_instant(run['updated'])}"


def _instant(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(seconds))


def _left(left: dict[str, Any]) -> str:
    if left["records"] is None:
        return "unknown, because the input has no known size"
    records = plural(left["records"], "record")
    if left["exact"]:
        return f"{records} (the input was read to its end)"
    return f"about {records}, {plural(left['bytes'], 'byte')} of the input not read"
