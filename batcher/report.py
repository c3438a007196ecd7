"""The report of a ledger: everything that all its runs have come to, made from what the ledger holds."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Mapping
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

import orjson

from batcher.core.result import Result
from batcher.core.verdict import Outcome, Problem
from batcher.errors import SettingsError
from batcher.flow.ledger import runs
from batcher.flow.ledger.store import Store
from batcher.observe.account import add_counts, read_account
from batcher.observe.files import refuse_unwritable, replace
from batcher.observe.page import report_page
from batcher.observe.summary import Summary
from batcher.observe.tally import DOUBTFUL, Position, Tally
from batcher.observe.timeline import Mark, Timeline
from batcher.observe.view import Report


def report_command(ledger: str, output: str) -> int:
    """Write the report of *ledger* to the file *output*, also while a run writes the ledger.

    Raises:
        SettingsError: *output* is a file of the ledger.
        LedgerRefused: it is no ledger, or a damaged one.
        OutputFailed: it cannot be read, or *output* cannot be written.
    """
    place = os.path.realpath(ledger)
    if os.path.realpath(output) in {f"{place}{suffix}" for suffix in ("", "-wal", "-shm", ".lock")}:
        raise SettingsError("--output", f"{output} is the ledger, which would be lost", "give it a path of its own")
    refuse_unwritable(output)
    with contextlib.closing(Store(ledger)) as store:
        replace(output, report_page(report_of(store, ledger).to_json()))
    return 0


def report_of(store: Store, path: str) -> Report:
    """What the ledger at *path* has to tell."""
    with store.reading() as db:
        history = runs.accounts(db)
    tally = Tally(lambda: 0.0, lambda: history[0][0] if history else 0.0)
    accounts = []
    for _, ended, exit_code, packed in history:
        if (account := read_account(packed)) is not None:
            accounts.append(account)
            if ended is not None:
                account.timeline.mark(Mark(account.counts["seconds"], ended, "end", f"exit {exit_code}"))
    tally.ended = sum(add_counts(tally, account.counts) for account in accounts)
    _hear_results(store, tally)
    _hear_rejects(store, tally)
    counts = store.counts()
    bound = {name: str(store.value(name) or "none") for name in ("operation", "defaults", "order", "skip")}
    endpoint = str(store.value("endpoint"))
    summary = Summary.of(
        tally,
        exit_code=history[-1][2] if history else None,
        endpoint=urlsplit(endpoint).netloc,
        files={"ledger": path},
    )
    return Report(
        summary=dataclasses.replace(
            summary,
            # Result lines also tell of outcomes that records no longer have, as they were sent or settled once more.
            outcomes={outcome.value: counts[outcome] for outcome in Outcome},
            input_records=sum(counts.values()) + len(store.doubtful()),
        ),
        timeline=Timeline.join(account.timeline for account in accounts),
        doubtful=tally.doubtful,
        settings={"endpoint": endpoint.partition("?")[0], **bound, **(accounts[-1].settings if accounts else {})},
    )


def _hear_results(store: Store, tally: Tally) -> None:
    """How long records took."""
    for lines in store.lines("results"):
        for line in lines.splitlines():
            told = orjson.loads(line)
            tally.record_seconds[Outcome(told["outcome"])].observe(told["seconds"])


def _hear_rejects(store: Store, tally: Tally) -> None:
    """Why records were not delivered, for those that have the same outcome still."""
    # A record that was sent once more has several lines, of which the last one counts; most have but one.
    last: dict[int, int] = {}
    for number, (ordinal, line) in enumerate(chain.from_iterable(store.told("rejects"))):
        if b'"origin":' in line:
            last[ordinal] = number
    number = 0
    for lines in store.told("rejects"):
        outcomes = _outcomes(store, [ordinal for ordinal, _ in lines])
        for ordinal, line in lines:
            told = orjson.loads(line)
            if last.get(ordinal, number) == number and outcomes.get(ordinal) == told["outcome"]:
                _hear_reject(told, tally)
            number += 1


def _outcomes(store: Store, ordinals: list[int]) -> dict[int, str]:
    asked = orjson.dumps(ordinals).decode()
    with store.reading() as db:
        rows = db.execute(
            "SELECT ordinal, outcome FROM record WHERE ordinal IN (SELECT value FROM json_each(?))", (asked,)
        )
        return dict(rows)


def _hear_reject(told: Mapping[str, Any], tally: Tally) -> None:
    error, outcome = told["error"], Outcome(told["outcome"])
    problem = Problem(error["kind"], error["message"], error.get("field"))
    raw = orjson.dumps(told["record"]) if "record" in told else str(told.get("raw", "")).encode()
    result = Result(
        line=told["line"],
        input=told.get("input"),
        outcome=outcome,
        key=None,
        attempts=told["attempts"],
        seconds=told["seconds"],
        hash=told["hash"],
        raw=raw,
    )
    tally.problems.record(result, problem)
    if outcome is Outcome.IN_DOUBT and len(tally.doubtful) < DOUBTFUL:
        tally.doubtful.append(Position(result.line, result.input))
