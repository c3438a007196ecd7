"""The rule for the limit on real sockets: the whole program against the sandbox, beside fixed limits.

``python -m bench pace --real`` lets each scenario serve ``--concurrency auto`` and some fixed limits, one after the
other, round after round, so that a noisy minute hits all of them, and tells medians. But for the last two the sandbox
is the bottleneck by far, at a few hundred requests a second. Goodput is what it has applied, from its first request on
and from the end of the warm-up on; the best fixed limit is the lowest of those that reach 99% of the most.
"""

from __future__ import annotations

import itertools
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from bench.records import BROKEN_EVERY, line
from bench.sandbox import sandbox

WANTED = 0.9
"""Of the best fixed limit's goodput, at least."""
_PLATEAU = 0.99
_WARM_UP = 4.0
"""Seconds that are not judged: dozens of round trips."""
_SECONDS = 12.0
_RECORDS = 80_000
"""More than any run can send."""


class Real(NamedTuple):
    """A service, the connections to it, fixed limits to find the best among, and whether with a ledger."""

    title: str
    sandbox: tuple[str, ...]
    connections: int
    fixed: tuple[int, ...]
    ledger: bool = False


REAL = (
    Real("Room for 16 at a time, 50 ms", ("--latency", "50ms", "--capacity", "16"), 64, (8, 16, 20, 32)),
    Real("Room for 4 at a time, 20 ms", ("--latency", "20ms", "--capacity", "4"), 64, (2, 4, 5, 8)),
    Real("Room for all 16 connections, 50 ms", ("--latency", "50ms"), 16, (8, 12, 16)),
    Real("Room for 2, 503 above 18 in flight, 20 ms", ("--latency", "20ms", "--capacity", "2"), 64, (2, 3, 8, 16)),
    Real(
        "Room for 12, one in twenty gets a fault, 50 ms",
        ("--latency", "50ms", "--capacity", "12", "--faults", "client=5%"),
        64,
        (6, 12, 16, 32),
    ),
    Real(
        "As fast as two cores go, three deadlocks in a thousand, 10 ms",
        ("--latency", "10ms", "--faults", "deadlock=0.3%,server=1%"),
        64,
        (8, 16, 32, 64),
    ),
    # Requests that take less than a commit of the ledger: how much it declares ahead must not follow from the limit.
    Real("As fast as two cores go, with a ledger, at once", (), 64, (2, 8, 32, 64), ledger=True),
)


@dataclass(frozen=True, slots=True)
class Ran:
    """One run.

    Attributes:
        whole: records applied a second, from the first request on.
        warm: likewise, from the end of the warm-up on.
        p95: of the request durations, in seconds.
        refused: requests that were turned away.
    """

    whole: float
    warm: float
    p95: float
    refused: int


@dataclass(frozen=True, slots=True)
class Row:
    """A scenario: the medians of ours and of the best fixed limit."""

    title: str
    best: int
    fixed: Ran
    ours: Ran

    @property
    def shares(self) -> tuple[float, float]:
        """Goodput of ours, whole and warm, as shares of the best fixed limit's."""
        return self.ours.whole / self.fixed.whole, self.ours.warm / self.fixed.warm


def run(real: Real, concurrency: str, folder: Path) -> Ran:
    """Send records for some seconds with that ``--concurrency``."""
    summary = folder / "summary.json"
    command = [
        *(sys.executable, "-m", "batcher", str(folder / "records.ndjson"), "--concurrency", concurrency),
        *("--connections", str(real.connections), "--order-by", "none", "--progress", "off", "--drain-timeout", "5"),
        *("--results", str(folder / "results.ndjson"), "--summary", str(summary), "--stop-after", "none"),
    ]
    if real.ledger:
        command += ["--ledger", str(Path(tempfile.mkdtemp(dir=folder)) / "ledger")]
    with sandbox(*real.sandbox) as url:
        program = subprocess.Popen([*command, "--endpoint", url], stderr=subprocess.DEVNULL)
        try:
            while not applied(url):
                time.sleep(0.02)
            began, before = time.monotonic(), applied(url)
            time.sleep(_WARM_UP)
            warm_at, warm = time.monotonic(), applied(url)
            time.sleep(_SECONDS - _WARM_UP)
            ended, after = time.monotonic(), applied(url)
        finally:
            program.send_signal(signal.SIGTERM)
            program.wait()
    told = json.loads(summary.read_text(encoding="utf-8"))
    return Ran(
        whole=(after - before) / (ended - began),
        warm=(after - warm) / (ended - warm_at),
        p95=told["request_seconds"]["p95"],
        refused=told["attempts"]["throttled"],
    )


def applied(url: str) -> int:
    """Records that it has applied."""
    with urllib.request.urlopen(url.removesuffix("xml") + "_stats") as answer:
        return sum(json.load(answer)["applied"].values())


def rows(rounds: int, chosen: Sequence[Real] = REAL) -> list[Row]:
    """What came of each scenario; tells each run as it ends."""
    ran: dict[tuple[Real, str], list[Ran]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        numbers = (number for number in itertools.count(1) if number % BROKEN_EVERY)
        whole = b"".join(line(number) for number in itertools.islice(numbers, _RECORDS))
        (folder / "records.ndjson").write_bytes(whole)
        for _, real in itertools.product(range(rounds), chosen):
            for concurrency in ("auto", *map(str, real.fixed)):
                seen = run(real, concurrency, folder)
                ran.setdefault((real, concurrency), []).append(seen)
                print(f"{real.title}, {concurrency}: {seen}", file=sys.stderr, flush=True)
    return [_row(real, ran) for real in chosen]


def _row(real: Real, ran: dict[tuple[Real, str], list[Ran]]) -> Row:
    fixed = {limit: _median(ran[real, str(limit)]) for limit in real.fixed}
    most = max(seen.warm for seen in fixed.values())
    best = next(limit for limit in sorted(fixed) if fixed[limit].warm >= most * _PLATEAU)
    return Row(real.title, best, fixed[best], _median(ran[real, "auto"]))


def _median(runs: Sequence[Ran]) -> Ran:
    return Ran(
        whole=statistics.median(each.whole for each in runs),
        warm=statistics.median(each.warm for each in runs),
        p95=statistics.median(each.p95 for each in runs),
        refused=int(statistics.median(each.refused for each in runs)),
    )


def as_markdown(found: Sequence[Row]) -> str:
    """The table."""
    lines = [_HEAD, "|---|--:|--:|--:|--:|--:|--:|--:|---|"]
    for row in found:
        whole, warm = row.shares
        slower = row.ours.p95 / row.fixed.p95
        verdict = "ok" if min(whole, warm) >= WANTED else f"{WANTED} wanted"
        lines.append(
            f"| {row.title} | {row.best} | {row.fixed.warm:.1f}/s | {row.fixed.p95:.3g} s "
            f"| {whole:.2f} | {warm:.2f} | {slower:.2f} | {row.ours.refused} | {verdict} |"
        )
    return "\n".join(lines) + "\n"


def measure(results: Path, rounds: int) -> int:
    """Run all, print the table, and write it to *results*; 1 if something is not accepted."""
    found = rows(rounds)
    table = as_markdown(found)
    print(table)
    results.mkdir(exist_ok=True)
    (results / "pace-real.md").write_text(_INTRODUCTION.format(rounds) + table, encoding="utf-8")
    told = [asdict(row) for row in found]
    (results / "pace-real.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return int(any(min(row.shares) < WANTED for row in found))


_HEAD = f"| the sandbox has | best fixed | goodput | p95 | ours: whole run | from {_WARM_UP:g} s on | p95 | refused | |"
_INTRODUCTION = f"""# The pace, on real sockets

`python -m bench pace --real`: the whole program against the sandbox, {_SECONDS:g} s each, medians of {{}} rounds that
take turns. Goodput and p95 of the round trip are shares of what the best of a few fixed limits reaches.

"""
