"""``status LEDGER ...``: where a run stands, also while it writes; nothing is written to a ledger."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from batcher.core.verdict import Outcome
from batcher.errors import LedgerRefused
from batcher.flow.ledger.access import is_written, open_to_read
from batcher.flow.ledger.address import ledger_name
from batcher.flow.ledger.runs import Run
from batcher.flow.ledger.shards import open_shards
from batcher.flow.ledger.store import Store
from batcher.ledgers import FINAL, every, print_pieces
from batcher.observe.status import shards_words, status_words

_RATE_SECONDS = 1.0
"""For how long one looks on while a run writes."""
_NAMED = 5
"""Records in doubt that are named."""
_BOUND = ("endpoint", "operation", "order")
"""What is told of all that a ledger is bound to."""


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


def status_command(ledgers: Sequence[str], *, as_json: bool) -> int:
    """Print where the run of *ledgers* stands, for people or as one JSON object.

    Raises:
        LedgerRefused: one is no ledger or a damaged one, or several are not those of one run's shards.
        OutputFailed: one cannot be read, or standard output cannot be written.
    """
    places, of_shards = every(ledgers)
    facts = _look_at_all(ledgers, places) if of_shards else _look(places[0])
    if as_json:
        print_pieces([orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE)])
    else:
        words = shards_words(facts) if of_shards else status_words(facts)
        print_pieces(f"{line}\n".encode() for line in words)
    return 0


def _look(ledger: str) -> dict[str, Any]:
    [rate] = _rates([ledger])
    with contextlib.closing(open_to_read(ledger)) as store:
        return _standing(ledger, store, rate)


def _look_at_all(ledgers: Sequence[str], places: Sequence[str]) -> dict[str, Any]:
    """The shards of a run, whose ledgers are at *places*: each, and what they come to."""
    rate_of = dict(zip(places, _rates(places), strict=True))
    with open_shards(ledgers) as shards:
        each = [_standing(member.path, member.store, rate_of.get(member.path)) for member in shards.members]
        earlier = [
            {**_standing(member.path, member.store, None), "division": member.store.division}
            for member in shards.earlier
        ]
    rates, every_one = [facts["rate"] for facts in each], [*each, *earlier]
    whole = not shards.missing
    lefts = [None if facts["run"] is None else facts["run"]["left"] for facts in each]
    known = [left for left in lefts if left is not None and left["records"] is not None]
    working = [rate for rate in rates if rate is not None]
    return {
        "shards": {
            "count": shards.count,
            "by": shards.by,
            "missing": [str(shard) for shard in shards.missing],
            "twice": [
                {
                    "shard": str(twice.shard),
                    "counted": ledger_name(twice.paths[0]),
                    "ledger": ledger_name(twice.paths[1]),
                }
                for twice in shards.twice
            ],
        },
        "writing": bool(working),
        **{name: each[0][name] for name in _BOUND},
        "records": sum(facts["records"] for facts in every_one),
        "outcomes": {name: sum(facts["outcomes"][name] for facts in every_one) for name in each[0]["outcomes"]},
        "in_doubt_lines": [
            {**line, "ledger": facts["ledger"]} for facts in every_one for line in facts["in_doubt_lines"]
        ][:_NAMED],
        "open_intents": sum(facts["open_intents"] for facts in every_one),
        "reopened": sum(facts["reopened"] for facts in every_one),
        "rate": round(sum(working), 1) if working else None,
        "left": {
            "records": _left_together(known, earlier) if whole and len(known) == len(each) else None,
            "exact": whole and all(left is not None and left["exact"] for left in lefts),
        },
        "eta_seconds": _last_eta(each) if whole else None,
        "each": each,
        "earlier": earlier,
    }


def _left_together(lefts: list[dict[str, Any]], earlier: list[dict[str, Any]]) -> int:
    """Records that are left to all shards: what *earlier* ledgers have the outcome of moves, and is not sent."""
    return max(0, sum(int(left["records"]) for left in lefts) - sum(int(facts["records"]) for facts in earlier))


def _last_eta(each: list[dict[str, Any]]) -> float | None:
    """When the last shard is done; None where one that has something left does not work on it."""
    runs_left = [facts["run"] for facts in each if facts["run"] is None or facts["run"]["left"]["records"] != 0]
    etas = [None if run is None else run["eta_seconds"] for run in runs_left]
    found = [eta for eta in etas if eta is not None]
    return max(found) if found and len(found) == len(etas) else None


def _standing(ledger: str, store: Store, rate: float | None) -> dict[str, Any]:
    """One ledger; *rate* is that of the run that writes it, None for none."""
    with store.snapshot():
        outcomes = {outcome.value: count for outcome, count in store.counts().items() if outcome in FINAL}
        open_intents = len(store.doubtful())
        run, reopened = store.last_run(), store.count_reopened()
        # Only where there is one to be found: it may take a look at every record.
        doubtful = store.first(Outcome.IN_DOUBT, _NAMED) if outcomes[Outcome.IN_DOUBT.value] else []
    lines = store.latest("rejects", doubtful)
    if len(lines) < len(doubtful):
        raise LedgerRefused(f"the ledger {store.name} is damaged: it lacks a rejects line")
    shard = store.value("shard")
    ended = sum(outcomes.values())
    return {
        "ledger": ledger_name(ledger),
        "writing": rate is not None,
        **{name: store.value(name) for name in _BOUND},
        "shard": None if shard == "none" else shard,
        "records": ended,
        "outcomes": outcomes,
        "in_doubt_lines": [_in_doubt(lines[ordinal]) for ordinal in doubtful],
        "open_intents": open_intents,
        "reopened": reopened,
        "rate": rate,
        "concurrency_limit": store.value("limit"),
        "run": None if run is None else _facts(run, ended, rate),
    }


def _in_doubt(line: bytes) -> dict[str, Any]:
    """What is told of a record in doubt, from its last rejects line."""
    members = orjson.loads(line)
    name = {"input": members["input"]} if "input" in members else {}
    return {"line": members["line"], **name, "key": members["key"], "kind": members["error"]["kind"]}


def _rates(places: Sequence[str]) -> list[float | None]:
    """Outcomes a second, as seen from here; None for a ledger that no run is writing."""
    with contextlib.ExitStack() as stack:
        written = [
            stack.enter_context(contextlib.closing(open_to_read(place))) if is_written(place) else None
            for place in places
        ]
        if not any(written):
            return [None] * len(written)
        before, since = [_ended(store) for store in written], time.monotonic()
        time.sleep(_RATE_SECONDS)
        seconds = time.monotonic() - since
        return [
            None if store is None else round((_ended(store) - first) / seconds, 1)
            for store, first in zip(written, before, strict=True)
        ]


def _ended(store: Store | None) -> int:
    return 0 if store is None else sum(store.counts().values())


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
