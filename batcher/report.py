"""The report of a ledger, or of those of a run's shards: all that their runs have come to, from what they hold."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from batcher.core.result import Result
from batcher.core.verdict import Outcome, Problem
from batcher.flow.ledger.access import open_to_read
from batcher.flow.ledger.address import ledger_name
from batcher.flow.ledger.shards import Member, Shards, open_shards
from batcher.flow.ledger.store import Store
from batcher.flow.objects import is_object, write_object
from batcher.ledgers import every
from batcher.observe.account import Account, add_counts, add_tally, read_account
from batcher.observe.closing import PRECEDENCE
from batcher.observe.files import refuse_unwritable, replace
from batcher.observe.page import report_page
from batcher.observe.summary import Percentiles, Summary
from batcher.observe.tally import DOUBTFUL, Position, Tally
from batcher.observe.timeline import Mark, Timeline
from batcher.observe.together import Span, Together
from batcher.observe.view import Report
from batcher.outputs import refuse_ledgers


def report_command(ledgers: Sequence[str], output: str) -> int:
    """Write the report of *ledgers* to *output*, a path or the address of an object, also while runs write them.

    Raises:
        SettingsError: *output* is a file of a ledger, or no object that can be written.
        LedgerRefused: one is no ledger or a damaged one, or several are not those of one run's shards.
        OutputFailed: one cannot be read, or *output* cannot be written.
    """
    refuse_ledgers(ledgers, output, "--output")
    if not is_object(output):
        refuse_unwritable(output)
    places, of_shards = every(ledgers, empty=True)  # what runs have told of themselves does not move
    if not of_shards:
        with contextlib.closing(open_to_read(places[0])) as store:
            report = report_of(store)
    else:
        with open_shards(ledgers, empty=True) as shards:
            shards.refuse_twice()
            report = report_of_shards(shards)
    page = report_page(report.to_json())
    if is_object(output):
        write_object(output, [page], "--output")
    else:
        replace(output, page)
    return 0


def report_of(store: Store) -> Report:
    """What a ledger has to tell."""
    history = _history(store)
    tally = _counted(store, history)
    tally.ended = sum(run.seconds for run in history)
    _hear_rejects(store, tally, None)
    return _report(
        tally,
        store,
        Timeline.join(run.account.timeline for run in history if run.account is not None),
        exit_code=history[-1].exit_code if history else None,
        counts=store.counts(),
        read=sum(store.counts().values()) + len(store.doubtful()),
        settings=_settings_of(store, history),
        files={"ledger": ledger_name(store.name)},
    )


def report_of_shards(shards: Shards) -> Report:
    """What the ledgers of a run's shards have to tell together: sums, and percentiles of all that was measured.

    Where it was divided anew, shards of before are told as ``0/4 of 1``, of the first division.
    """
    histories = [[run.span for run in _history(member.store) if run.span is not None] for member in shards.all]
    together = Together(chain.from_iterable(histories))
    total = Tally(lambda: 0.0, lambda: min((span.begin for span in chain.from_iterable(histories)), default=0.0))
    rows, codes = [], []
    counts, read = dict.fromkeys(Outcome, 0), 0
    settings: dict[str, str] = {}
    for member in shards.all:
        present = member in shards.members
        history, name = _history(member.store), str(member.shard) + ("" if present else f" of {member.store.division}")
        own = _counted(member.store, history)
        own.ended = sum(run.seconds for run in history)
        together.add(name, (run.account.timeline for run in history if run.account is not None))
        add_tally(total, own)
        _hear_rejects(member.store, total, name)
        known = member.store.counts()
        counts = {outcome: count + known[outcome] for outcome, count in counts.items()}
        read += sum(known.values()) + len(member.store.doubtful())
        code = history[-1].exit_code if history else None
        if present:  # how the others have ended is not how the run has
            codes.append(code)
        rows.append(_row(member, name, own, known, code))
        settings = settings or _settings_of(member.store, history)
    total.ended = together.seconds
    report = _report(
        total,
        shards.members[0].store,
        together.timeline(),
        exit_code=_worst(codes),
        counts=counts,
        read=read,
        settings={**settings, "shard": f"{len(shards.members)} of {shards.count}, by {shards.by}"},
        files={f"ledger {row['shard']}": str(row["ledger"]) for row in rows},
        notes=_notes(shards, counts),
    )
    return dataclasses.replace(report, shards=rows)


class _Ran(NamedTuple):
    """A run on a ledger; the account is what it has left there, None where it has left none that can be read."""

    started: float
    exit_code: int | None
    account: Account | None

    @property
    def seconds(self) -> float:
        return 0.0 if self.account is None else float(self.account.counts["seconds"])

    @property
    def span(self) -> Span | None:
        if self.account is None or not len(self.account.timeline):
            return None
        timeline = self.account.timeline
        return Span(timeline.began, self.seconds, timeline.width)


def _history(store: Store) -> list[_Ran]:
    """The runs on a ledger, the first one first; the end of each is marked in its timeline."""
    found = []
    for started, ended, exit_code, packed in store.accounts():
        account = read_account(packed)
        if account is not None and ended is not None:
            account.timeline.mark(Mark(account.counts["seconds"], ended, "end", f"exit {exit_code}"))
        found.append(_Ran(started, exit_code, account))
    return found


def _counted(store: Store, history: Sequence[_Ran]) -> Tally:
    """What the runs on a ledger have counted, and how long its records took."""
    tally = Tally(lambda: 0.0, lambda: history[0].started if history else 0.0)
    for run in history:
        if run.account is not None:
            add_counts(tally, run.account.counts)
    _hear_results(store, tally)
    return tally


def _report(
    tally: Tally,
    store: Store,
    timeline: Timeline,
    *,
    exit_code: int | None,
    counts: Mapping[Outcome, int],
    read: int,
    settings: Mapping[str, str],
    files: Mapping[str, str],
    notes: Iterable[str] = (),
) -> Report:
    endpoint = urlsplit(str(store.value("endpoint"))).netloc
    summary = Summary.of(tally, exit_code=exit_code, endpoint=endpoint, files=files, notes=notes)
    return Report(
        summary=dataclasses.replace(
            summary,
            # Result lines also tell of outcomes that records no longer have, as they were sent or settled once more.
            outcomes={outcome.value: counts[outcome] for outcome in Outcome},
            input_records=read,
        ),
        timeline=timeline,
        doubtful=tally.doubtful,
        settings=settings,
    )


def _settings_of(store: Store, history: Sequence[_Ran]) -> dict[str, str]:
    """What the ledger is bound to, and what its last run was asked for."""
    bound = {name: str(store.value(name) or "none") for name in ("operation", "defaults", "order", "skip")}
    accounts = [run.account for run in history if run.account is not None]
    endpoint = str(store.value("endpoint")).partition("?")[0]
    return {"endpoint": endpoint, **bound, **(accounts[-1].settings if accounts else {})}


def _row(
    member: Member, name: str, own: Tally, counts: Mapping[Outcome, int], exit_code: int | None
) -> dict[str, object]:
    """One shard, for the table of them."""
    records = sum(counts.values())
    return {
        "shard": name,
        "ledger": ledger_name(member.path),
        "exit_code": exit_code,
        "records": records,
        "outcomes": {outcome.value: count for outcome, count in counts.items()},
        "attempts": sum(own.attempts.values()),
        "seconds": round(own.seconds, 3),
        "records_per_second": round(records / own.seconds, 1) if own.seconds else 0.0,
        "request_seconds": Percentiles.of_attempts(own).to_json(),
        "record_seconds": Percentiles.of_records(own).to_json(),
    }


def _notes(shards: Shards, counts: Mapping[Outcome, int]) -> Iterator[str]:
    if counts[Outcome.IN_DOUBT]:
        yield "A record in doubt is settled in its shard's own ledger: veetro-batch settle LEDGER --line N."
    if shards.missing:
        yield f"Not all of the run: no ledger is given of the shards {', '.join(map(str, shards.missing))}."


def _worst(codes: Sequence[int | None]) -> int | None:
    """The exit code of all shards together; None while one of them has none."""
    ended = [code for code in codes if code is not None]
    if len(ended) < len(codes):
        return None
    return next((code for code in PRECEDENCE if code in ended), 0)


def _hear_results(store: Store, tally: Tally) -> None:
    """How long records took."""
    for lines in store.lines("results"):
        for line in lines.splitlines():
            told = orjson.loads(line)
            tally.record_seconds[Outcome(told["outcome"])].observe(told["seconds"])


def _hear_rejects(store: Store, tally: Tally, shard: str | None) -> None:
    """Why records were not delivered, for those that have the same outcome still; of several shards it names one."""
    # A record that was sent once more has several lines, of which the last one counts; most have but one.
    last: dict[int, int] = {}
    for number, (ordinal, line) in enumerate(chain.from_iterable(store.told("rejects"))):
        if b'"origin":' in line:
            last[ordinal] = number
    number = 0
    for lines in store.told("rejects"):
        known = store.outcomes(ordinal for ordinal, _ in lines)
        for ordinal, line in lines:
            told = orjson.loads(line)
            if (
                last.get(ordinal, number) == number
                and ordinal in known
                and known[ordinal].outcome.value == told["outcome"]
            ):
                _hear_reject(told, tally, shard)
            number += 1


def _hear_reject(told: Mapping[str, Any], tally: Tally, shard: str | None) -> None:
    error, outcome = told["error"], Outcome(told["outcome"])
    problem = Problem(error["kind"], error["message"], error.get("field"))
    raw = orjson.dumps(told["record"]) if "record" in told else str(told.get("raw", "")).encode()
    place = [told["input"]] if "input" in told else []
    if shard is not None:  # lines are counted within it, or belong to a ledger of its own
        place.append(f"shard {shard}")
    result = Result(
        line=told["line"],
        input=", ".join(place) or None,
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
