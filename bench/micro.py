"""What each step of a record's way costs, alone: CPU time a record, in rounds that take turns.

The steps overlap where one holds another: ``read`` is decoding, rendering and the checks around them, ``verdict`` holds
the match. The clock is the thread's CPU time, so that waiting and neighbours do not count; told are the medians.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import statistics
import tempfile
import time
import timeit
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import orjson

from batcher.core.answer import Matcher
from batcher.core.document import Document
from batcher.core.events import Delivered, RecordRead
from batcher.core.leaf import is_plain
from batcher.core.record import RecordReader
from batcher.core.reply import Judge
from batcher.core.result import Result
from batcher.core.soap import SOAP_11
from batcher.core.template import Template
from batcher.core.verdict import Outcome
from batcher.flow.ledger.commit import Commit
from batcher.flow.ledger.rows import mark
from batcher.flow.ledger.sqlite.store import SqliteStore
from batcher.flow.ledger.store import Store
from batcher.observe.tally import Tally
from batcher.operations import load
from bench.constant import ANSWER
from bench.records import line

RESULTS = Path(__file__).parent / "results"
_BATCH = 500
"""Records a commit, as the program has them at full speed."""
_ROUND = 0.05
"""Seconds of one step in one round."""
_FAULT = (
    '<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">'
    "<soap:Body><soap:Fault><faultcode>soap:Server</faultcode><faultstring>Server was unable to process request. "
    "---&gt; Object reference not set to an instance of an object.</faultstring><detail /></soap:Fault></soap:Body>"
    "</soap:Envelope>"
)
_HEADERS = {"Content-Type": "text/xml; charset=utf-8"}

Step = tuple[str, Callable[[], object], int]
"""A name, what is timed, and how many records one call is for."""


def core_steps() -> Iterator[Step]:
    """The steps of the core, which touch nothing."""
    operation = load("SetOutlookSyncRecord")
    template = Template(operation, SOAP_11)
    reader = RecordReader(template, ("SourceID",))
    matcher = Matcher(operation, SOAP_11, ("SourceID",))
    judge = Judge(matcher, re.compile("session|login", re.IGNORECASE), re.compile("deadlock|busy", re.IGNORECASE))
    raw = line(2).rstrip()
    values = orjson.loads(raw)
    body = ANSWER.encode()
    # Another prefix and order of declarations: right, but not the shape that the matcher knows.
    strange = ANSWER.replace("soap:", "s:").replace("xmlns:soap", "xmlns:s").encode()
    fault = _FAULT.encode()
    answered = judge.judge(200, _HEADERS, body, 0.0).result
    result = _delivered(answered)

    yield "hash of the line", lambda: hashlib.blake2b(raw, digest_size=8).hexdigest(), 1
    yield "decode: orjson alone", lambda: orjson.loads(raw), 1
    yield "render: values to envelope, validated", lambda: template.render(values, plain=is_plain(raw)), 1
    yield "read: line to record, all of it", lambda: reader.read(raw), 1
    yield "match: the answer's usual shape", lambda: matcher.match(body), 1
    yield "verdict: a success of the usual shape", lambda: judge.judge(200, _HEADERS, body, 0.0), 1
    yield "lxml path: parse and find", lambda: _find(matcher, strange), 1
    yield "verdict: a success through lxml", lambda: judge.judge(200, _HEADERS, strange, 0.0), 1
    yield "verdict: a fault", lambda: judge.judge(500, _HEADERS, fault, 0.0), 1
    yield "result line", result.to_json, 1


def tally_step() -> Step:
    """All that is counted of a delivered record, its latencies among them."""
    tally = Tally()
    read = RecordRead(560)
    ended = Delivered(_delivered(b"{}"), status=200, seconds=0.1, request_bytes=1300, response_bytes=1182)

    def count_all() -> None:
        tally.notice(read)
        tally.notice(ended)

    return "tally: what is counted of a record", count_all, 1


def _delivered(fields: bytes) -> Result:
    return Result(2, Outcome.DELIVERED, "S-2", 1, 0.103, "96ad3bb4a2d666d3", fields)


def _find(matcher: Matcher, body: bytes) -> object:
    document = Document.parse(body)
    assert document is not None
    found = matcher.find(document)
    assert found is not None
    return found


def ledger_step(store: Store) -> Step:
    """A commit of a full batch: the intents of the next one, outcomes and result lines of the last one."""
    raw = line(2)
    digest = mark(hashlib.blake2b(raw.rstrip(), digest_size=8).hexdigest(), 1)
    told = _delivered(raw.rstrip()).to_json()
    numbers = count(1)

    def commit() -> None:
        number = next(numbers)
        ahead = range(number * _BATCH, (number + 1) * _BATCH)
        ended = range((number - 1) * _BATCH, number * _BATCH)
        store.commit(
            Commit(
                windows={number: dict.fromkeys(ahead, digest), number - 1: {}},
                records={Outcome.DELIVERED: dict.fromkeys(ended, digest)},
                results=[told] * _BATCH,
                results_of=list(ended),
            )
        )

    return f"ledger: a commit of {_BATCH} records", commit, _BATCH


def measure(steps: list[Step], rounds: int) -> dict[str, list[float]]:
    """Nanoseconds a record of each step, a figure a round."""
    timers = [(name, timeit.Timer(call, timer=time.thread_time), records) for name, call, records in steps]
    # A first look, with cold caches, tells how often to repeat.
    often = [max(1, round(_ROUND * 5 / max(timer.timeit(5), 1e-9))) for _, timer, _ in timers]
    figures: dict[str, list[float]] = {name: [] for name, _, _ in timers}
    for _ in range(rounds):
        for (name, timer, records), times in zip(timers, often, strict=True):
            figures[name].append(timer.timeit(times) / times / records * 1e9)
    return figures


def table(figures: dict[str, list[float]]) -> str:
    """The figures in Markdown."""
    lines = ["| step | median, µs a record | lowest to highest |", "|---|--:|--:|"]
    for name, found in figures.items():
        low, high = min(found) / 1000, max(found) / 1000
        lines.append(f"| {name} | {statistics.median(found) / 1000:.2f} | {low:.2f} to {high:.2f} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Measure as the arguments say; the table goes into ``bench/results/`` too."""
    parser = argparse.ArgumentParser(prog="python -m bench micro", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(str(Path(folder) / "ledger"), create=True)
        told = table(measure([*core_steps(), tally_step(), ledger_step(store)], chosen.rounds))
        store.close()
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "micro.md").write_text(told + "\n")
    print(told)
