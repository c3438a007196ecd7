"""The closing summary as text: what came of the run, how quick it was, what went wrong, and what to do next."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from shlex import quote
from typing import TYPE_CHECKING

from batcher.observe.words import counts, duration, number, percent, plural, span

if TYPE_CHECKING:
    from batcher.observe.summary import Percentiles, Summary, Trouble

WIDTH = 80
_SHOWN_PROBLEMS = 5

_WAITED_FOR = {
    "server": "the service",
    "input": "records to send (the input)",
    "order": "earlier records of their key (--order-by)",
    "permit": "the concurrency limit",
    "rate": "the rate (--rate)",
    "connect": "a connection",
    "ledger": "the ledger",
    "output": "the results to be taken",
    "backoff": "the time of another attempt",
    "pause": "the end of a pause",
}
"""Of the states of a slot, those that are waits."""

ENDINGS = {
    None: "running",
    0: "finished",
    1: "stopped by an internal error",
    2: "not started: usage, settings or template",
    3: "finished, some records were rejected or invalid",
    4: "finished, some records are in doubt",
    5: "stopped by a stop rule",
    6: "interrupted and drained",
    7: "given up: service or login unusable",
    8: "the ledger is in use by another run",
    9: "stopped: input, ledger, results or disk failed",
}
"""What each exit code says of a run."""

PRECEDENCE = (9, 8, 2, 1, 5, 7, 6, 4, 3)
"""Of exit codes, where several hold."""


def closing_text(summary: Summary) -> str:
    """*summary* for people, within ``WIDTH`` columns where names of files allow it; ends with a line break."""
    blocks = (_head(summary), _outcomes(summary), _effort(summary), _problems(summary), _files(summary), _next(summary))
    return "\n\n".join("\n".join(lines) for lines in map(list, blocks) if lines) + "\n"


def _head(summary: Summary) -> Iterator[str]:
    ending = ENDINGS.get(summary.exit_code, "ended")
    code = "" if summary.exit_code is None else f" (exit {summary.exit_code})"
    yield from _wrap(f"veetro-batch {ending}{code}" + (f": {summary.reason}" if summary.reason else ""))
    place = f", {summary.endpoint}" if summary.endpoint else ""
    rate = f"{number(summary.records_per_second)} a second"
    earlier = f", {number(summary.resumed)} of them by earlier runs" if summary.resumed else ""
    yield from _wrap(f"{plural(summary.records, 'record')}{earlier} in {_time(summary.seconds)}, {rate}{place}")


def _time(seconds: float) -> str:
    return span(seconds) if seconds >= 60 else duration(seconds)  # noqa: PLR2004 - a clock says more from a minute on


def _outcomes(summary: Summary) -> Iterator[str]:
    unfinished = summary.input_records - summary.records
    rows = [(name.replace("_", " "), count) for name, count in summary.outcomes.items()]
    if unfinished > 0:
        rows.append(("not finished", unfinished))
    for name, count in rows:
        share = percent(count, summary.input_records) if count else ""
        yield f"  {name:<13}{number(count):>13} {share:>9}".rstrip()


def _effort(summary: Summary) -> Iterator[str]:
    retried = counts(summary.retries)
    yield from _wrap(
        f"{plural(sum(summary.attempts.values()), 'attempt')}"
        + (f", of which to be repeated: {retried}" if retried else ", none repeated"),
        "  ",
    )
    if any(summary.logins.values()):
        yield from _wrap(f"logins: {counts(summary.logins)}", "  ")
    if summary.request_seconds.p50 is not None:
        yield f"  {'':<14}{'p50':>10}{'p95':>10}{'p99':>10}{'longest':>10}"
        yield _percentiles("request", summary.request_seconds)
        yield _percentiles("read to result", summary.record_seconds)
    spent = slots_sentence(summary.slots, summary.slot_seconds)
    if spent:
        yield from _wrap(spent, "  ")


def slots_sentence(slots: int, seconds: Mapping[str, float]) -> str:
    """Where the time of so many *slots* went, by their *seconds* in each state; empty where there was none."""
    whole = sum(seconds.values())
    if not (slots and whole > 0.0):
        return ""
    shares = {state: round(100 * part / whole) for state, part in seconds.items()}
    order = sorted((state for state, share in shares.items() if share), key=lambda state: -shares[state])
    told = [f"{shares[state]}% for {_WAITED_FOR[state]}" for state in order if state in _WAITED_FOR]
    if told:
        told[0] = told[0].replace("% for", "% waited for", 1)
    if "read" in order:
        told.append(f"{shares['read']}% read answers")
    return f"Of {plural(slots, 'slot')}, {', '.join(told)}."


def _percentiles(name: str, values: Percentiles) -> str:
    return f"  {name:<14}" + "".join(f"{duration(value):>10}" for value in values)


def _problems(summary: Summary) -> Iterator[str]:
    if not summary.problems:
        return
    yield "  Most frequent problems"
    for trouble in summary.problems[:_SHOWN_PROBLEMS]:
        yield from _wrap(f"{trouble.kind}: {_met(trouble)}, such as {trouble.example.where}", "  - ", "    ")
        yield textwrap.indent(_cut(trouble.example.gist, WIDTH - 6), "      ")
    left = len(summary.problems) - _SHOWN_PROBLEMS
    if left > 0:
        yield f"  and {number(left)} more"


def _met(trouble: Trouble) -> str:
    met = [plural(trouble.records, "record")] if trouble.records else []
    if trouble.attempts > trouble.records:
        met.append(plural(trouble.attempts, "attempt"))
    return ", ".join(met)


def _files(summary: Summary) -> Iterator[str]:
    for name, path in summary.files.items():
        yield f"  {name:<10}{path}"


def _next(summary: Summary) -> Iterator[str]:
    for sentence in (*advice(summary), *summary.notes):
        yield from _wrap(sentence, "  * ", "    ")


def advice(summary: Summary) -> Iterator[str]:
    """What to do next, a sentence each."""
    outcomes, ledger = summary.outcomes, summary.files.get("ledger")
    refused = outcomes["rejected"] + outcomes["invalid"]
    if summary.mismatches:
        yield (
            f"{plural(summary.mismatches, 'answer carries', 'answers carry')} another key than was sent: compare the "
            'records marked "mismatch" in the results with the service.'
        )
    if outcomes["in_doubt"]:
        yield (
            f"{plural(outcomes['in_doubt'], 'record')} may have been applied, or not: look in the service before "
            "sending again"
            + (
                f", and say what you found: veetro-batch settle {quote(ledger)} --line N --applied|--not-applied."
                if ledger
                else "."
            )
        )
    if refused and "rejects" in summary.files:
        yield (
            f"{plural(refused, 'record was', 'records were')} not accepted: they are in {summary.files['rejects']} "
            "with the reason; correct and submit them."
        )
    elif refused:
        yield (
            f"{plural(refused, 'record was', 'records were')} not accepted: the results say why; "
            "--rejects PATH keeps such records together with the reason."
        )
    if outcomes["unsent"]:
        yield (
            f"{plural(outcomes['unsent'], 'record was', 'records were')} read but not sent, nothing of it was applied: "
            + ("run the same command again." if "ledger" in summary.files else "submit again.")
        )
    if summary.read_through is not None:
        source = f" of {summary.read_through.input}" if summary.read_through.input else ""
        yield f"Read up to line {number(summary.read_through.line)}{source}: nothing after it was sent."


def _wrap(text: str, first: str = "", rest: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
