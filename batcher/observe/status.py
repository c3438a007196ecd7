"""What ``status`` says for people, made of the facts that it has for programs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from shlex import quote
from typing import Any

import orjson

from batcher.core.fingerprint import one_line
from batcher.core.verdict import Outcome
from batcher.observe.words import number, plural, span

_CAP = 200
"""Characters of a line and its key, which come from outside."""


def status_words(facts: dict[str, Any]) -> Iterator[str]:
    """Of one ledger, a line each."""
    writing, rate = facts["writing"], facts["rate"]
    yield f"ledger: {facts['ledger']}, {'a run is writing it now' if writing else 'no run is writing it'}"
    shard = "" if facts["shard"] is None else f", shard {facts['shard']}"
    yield f"service: {facts['endpoint']}, {facts['operation']}, in order by {facts['order']}{shard}"
    run = facts["run"]
    if run is not None:
        yield f"last run: {_how(run, writing=writing)}"
    yield from _totals(facts)
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
        yield f"what is opened again is sent by the same command, or by veetro-batch resubmit {quote(facts['ledger'])}"


def shards_words(facts: dict[str, Any]) -> Iterator[str]:
    """Of the ledgers of a run's shards: all together, and a row for each."""
    shards, each, writing, rate = facts["shards"], facts["each"], facts["writing"], facts["rate"]
    at_work = sum(member["writing"] for member in each)
    now = f"{number(at_work)} of them written now" if at_work else "no run is writing them"
    yield f"{plural(len(each), 'ledger')} of {plural(shards['count'], 'shard')} by {shards['by']}, {now}"
    yield f"service: {facts['endpoint']}, {facts['operation']}, in order by {facts['order']}"
    if shards["missing"]:
        yield f"not all of the run: no ledger is given of the shards {', '.join(shards['missing'])}"
    for twice in shards["twice"]:
        yield f"two ledgers of shard {twice['shard']}: {twice['ledger']} is left out, {twice['counted']} counts"
    yield from _totals(facts)
    yield from _what_is_in_doubt(facts)
    yield f"{plural(facts['open_intents'], 'record')} without one may {'be in flight' if writing else 'have been sent'}"
    if facts["reopened"]:
        yield f"{plural(facts['reopened'], 'record')} opened again, to be sent once more"
    if facts["earlier"]:
        moving = sum(member["records"] + member["open_intents"] for member in facts["earlier"])
        yield f"{plural(moving, 'record')} still in ledgers of an earlier division, which the shards take over"
    yield f"left: {_left_of(facts['left'])}"
    if rate is not None:
        yield f"rate: {number(rate)} records/s"
        if facts["eta_seconds"] is not None:
            yield f"the last shard is done in about {span(facts['eta_seconds'])} at this rate"
    yield ""
    yield from _table(
        ["shard", "records", *(name.replace("_", " ") for name in facts["outcomes"]), "left", "rate", "run", "ledger"],
        [*map(_row, each), *map(_row_before, facts["earlier"])],
    )


def _row(facts: dict[str, Any]) -> list[str]:
    """One shard's."""
    run = facts["run"]
    left = None if run is None else run["left"]["records"]
    return [
        (facts["shard"] or "all").partition(" ")[0],
        *map(number, (facts["records"], *facts["outcomes"].values())),
        "?" if left is None else number(left) if run["left"]["exact"] else f"~{number(left)}",
        "-" if facts["rate"] is None else number(facts["rate"]),
        "none" if run is None else _in_short(run, writing=facts["writing"]),
        facts["ledger"],
    ]


def _row_before(facts: dict[str, Any]) -> list[str]:
    """One of an earlier division, of which the present shards have what is left to be done."""
    shard, *cells, _left, rate, _run, ledger = _row(facts)
    return [f"{shard} before", *cells, "-", rate, "closed", ledger]


def _in_short(run: dict[str, Any], *, writing: bool) -> str:
    if run["ended"] is not None:
        return f"exit {run['exit_code']}"
    return "writing" if writing else "killed"


def _table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    """Lines in columns: numbers end below each other, the last two columns begin so."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = [cell.rjust(width) for cell, width in zip(row[:-2], widths, strict=False)]
        yield "  ".join([*cells, row[-2].ljust(widths[-2]), row[-1]])


def _totals(facts: dict[str, Any]) -> Iterator[str]:
    outcomes = facts["outcomes"]
    width = max(len(number(count)) for count in outcomes.values())
    yield f"{plural(facts['records'], 'record')} with an outcome"
    for name, count in outcomes.items():
        yield f"  {name.replace('_', ' '):9}  {number(count):>{width}}"


def _left_of(left: dict[str, Any]) -> str:
    """What all shards have left together."""
    if left["records"] is None:
        return "unknown, as not every shard can tell"
    records = plural(left["records"], "record")
    return f"{records} (each shard has read its input to the end)" if left["exact"] else f"about {records}"


def _what_is_in_doubt(facts: dict[str, Any]) -> Iterator[str]:
    """The first records in doubt, and what to do about all of them."""
    # Of several ledgers each line tells its own.
    named, ledger = facts["in_doubt_lines"], quote(facts.get("ledger", "LEDGER"))
    if not named:
        return
    yield "in doubt:"
    for each in named:
        where = f"line {each['line']}" + (f" of {each['input']}" if "input" in each else "")
        key = "" if each["key"] is None else f", key {orjson.dumps(each['key']).decode()}"
        place = f", in {each['ledger']}" if "ledger" in each else ""
        yield f"  {one_line(where + key + place, _CAP)}: {each['kind']}"
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
