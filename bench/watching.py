"""What it costs a record that somebody watches: metrics scraped and the live page polled, each once a second.

The program runs on the first core with a ledger, against nginx with a constant valid answer on the second. Told is the
CPU time of its whole process a record, its start subtracted by comparing a long run with a short one. In each round all
take turns and are compared with the run that nobody watches; exit 1 if the median of that is over the bar.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.constant import constant_server
from bench.records import line

RESULTS = Path(__file__).parent / "results"
BAR = 1.05
"""Watching may cost a twentieth."""
_CONNECTIONS = 64
_SHORT = 10
"""A short run has this part of a long one's records."""
_PERIOD = 1.0
"""Seconds between two looks: the page's own. A Prometheus looks every 15 s or so."""


class Way(NamedTuple):
    """How a run is watched: its options, and the pages that are asked for again and again."""

    options: Sequence[str]
    pages: Sequence[str]


WAYS = {
    "nobody watches": Way(("--progress", "off"), ()),
    "plain progress": Way(("--progress", "plain"), ()),
    "metrics scraped": Way(("--progress", "off", "--metrics-port", "0"), ("/metrics",)),
    "metrics, live page, plain progress": Way(
        ("--progress", "plain", "--metrics-port", "0"), ("/metrics", "/view.json")
    ),
}
"""The first is what the others are compared with; the last is the one that the bar is for."""


def measure(rounds: int, count: int) -> dict[str, list[float]]:
    """CPU µs a record of each way, a figure a round."""
    figures: dict[str, list[float]] = {name: [] for name in WAYS}
    long = count // _CONNECTIONS * _CONNECTIONS
    short = count // _CONNECTIONS // _SHORT * _CONNECTIONS
    with tempfile.TemporaryDirectory() as name, constant_server() as url:
        folder = Path(name)
        for number in (long, short):
            (folder / str(number)).write_bytes(b"".join(line(2, key=key) for key in range(1, number + 1)))
        for number in range(rounds):
            # Whoever goes first finds another machine than who goes last: the order turns with each round.
            ways = [*WAYS.items()]
            for way_name, way in ways[number % len(ways) :] + ways[: number % len(ways)]:
                spent = _run(way, folder / str(long), url) - _run(way, folder / str(short), url)
                figures[way_name].append(spent / (long - short) * 1e6)
    return figures


def _run(way: Way, records: Path, url: str) -> float:
    """CPU seconds of one run, user and system; RuntimeError where it ended badly."""
    with tempfile.TemporaryDirectory(dir=records.parent) as name:
        folder = Path(name)
        command = [sys.executable, "-m", "batcher", str(records), "--endpoint", url, "--order-by", "none"]
        command += ["--results", str(folder / "results"), "--ledger", str(folder / "ledger")]
        command += ["--concurrency", str(_CONNECTIONS), *way.options]
        said = folder / "said"
        with said.open("wb") as stream:
            process = subprocess.Popen(["taskset", "-c", "0", *command], stderr=stream)
        with _looking(said, way.pages):
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"exit {process.returncode}: {said.read_text()[-500:]}")
    return usage.ru_utime + usage.ru_stime


@contextlib.contextmanager
def _looking(said: Path, pages: Sequence[str]) -> Iterator[None]:
    """Within the block the *pages* of the run that has *said* where they are, are asked for once a period each."""
    over = threading.Event()
    answers = 0

    def look() -> None:
        nonlocal answers
        place = None
        while not over.is_set():
            began = time.monotonic()
            if place is None:
                found = re.search(r"live page at (\S+)/,", said.read_text())
                place = found[1] if found else None
            if place is not None:
                for page in pages:
                    request = urllib.request.Request(place + page, headers={"Accept-Encoding": "gzip"})
                    with contextlib.suppress(OSError), urllib.request.urlopen(request) as answer:
                        answers += bool(answer.read())
            over.wait(max(0.0, (_PERIOD if place else 0.02) - (time.monotonic() - began)))

    looking = threading.Thread(target=look)
    if pages:
        looking.start()
    try:
        yield
    finally:
        over.set()
        if pages:
            looking.join()
    if pages and not answers:
        raise RuntimeError("nobody has looked at the run")


def shares(figures: dict[str, list[float]]) -> dict[str, float]:
    """Of each way, the median of its share of the first one's cost in the same round."""
    first = next(iter(figures.values()))
    return {
        name: statistics.median(mine / other for mine, other in zip(found, first, strict=True))
        for name, found in figures.items()
    }


def table(figures: dict[str, list[float]]) -> str:
    """The figures in Markdown."""
    lines = ["| | CPU µs a record | lowest to highest | of the first |", "|---|--:|--:|--:|"]
    for (name, found), share in zip(figures.items(), shares(figures).values(), strict=True):
        lines.append(
            f"| {name} | {statistics.median(found):.1f} | {min(found):.1f} to {max(found):.1f} | {share:.3f} |"
        )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Measure as the arguments say; table and JSON go into ``bench/results/`` too. 1 if watching costs too much."""
    parser = argparse.ArgumentParser(prog="python -m bench watching", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--records", type=int, default=60_000)
    chosen = parser.parse_args(arguments)
    figures = measure(chosen.rounds, chosen.records)
    told = table(figures)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "watching.md").write_text(told + "\n")
    (RESULTS / "watching.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(told)
    return int([*shares(figures).values()][-1] > BAR)
