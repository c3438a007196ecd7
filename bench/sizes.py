"""How large things become: ledger, input, envelopes and series, and what coming back and verifying cost.

Made-up records are sent to the sandbox, in a process of its own, with ledger, metrics and no results file. Then the
same command comes back to the ledger, which has everything, and ``verify`` proves it. Sizes are told of a million
records; CPU is user and system time of the process, its start taken out by comparing with a tenth of the records.
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from batcher.sandbox.records import sample_records
from bench.sandbox import sandbox

RESULTS = Path(__file__).parent / "results"
_MB, _MILLION = 1e6, 1e6
_PROGRAM = """
import atexit, pathlib, re, runpy, sys
status, said = pathlib.Path("/proc/self/status"), pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: said.write_text(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]))
runpy.run_module("batcher", run_name="__main__", alter_sys=True)
"""
"""The program, which tells at its end how much memory it has held: getrusage tells of the one that forked it, too."""


class Spent(NamedTuple):
    """CPU seconds of a process, and the most memory that it has held, in MiB."""

    seconds: float
    peak: float


class Trial(NamedTuple):
    """What came of so many records: the files, and what each of three commands has spent."""

    number: int
    records: Path
    ledger: Path
    metrics: str
    sent: Spent
    again: Spent
    verified: Spent


def measure(count: int, latency: str) -> list[tuple[str, str]]:
    """Name and figure of each row."""
    with tempfile.TemporaryDirectory() as name, sandbox("--latency", latency) as url:
        short, long = (_try(each, Path(name), url) for each in (count // 10, count))
        lines, commits = _lines(long.ledger)

        def of_million(size: float) -> str:
            return f"{size / count * _MILLION / _MB:,.0f} MB"

        def apiece(much: Spent, little: Spent) -> str:
            return f"{(much.seconds - little.seconds) / (long.number - short.number) * 1e6:,.0f} µs"

        return [
            ("input, plain", of_million(long.records.stat().st_size)),
            ("input, gzip", of_million(len(gzip.compress(long.records.read_bytes(), 6)))),
            ("envelopes out", of_million(_value(long.metrics, "request_bytes_total"))),
            ("answers in", of_million(_value(long.metrics, "response_bytes_total"))),
            ("ledger", of_million(long.ledger.stat().st_size)),
            ("of which result lines", of_million(lines)),
            ("records a commit", f"{count / commits:,.0f}"),
            ("CPU of sending, a record", apiece(long.sent, short.sent)),
            ("memory of sending", f"{long.sent.peak:,.0f} MiB"),
            ("CPU of coming back, a record", apiece(long.again, short.again)),
            ("CPU of verify, a record", apiece(long.verified, short.verified)),
            ("memory of verify", f"{long.verified.peak:,.0f} MiB"),
            ("series", str(len(re.findall("^[a-z]", long.metrics, re.MULTILINE)))),
            ("of which buckets", str(len(re.findall("^[a-z_]+_bucket", long.metrics, re.MULTILINE)))),
        ]


def _try(count: int, folder: Path, url: str) -> Trial:
    """Send so many records, come back, verify."""
    records, ledger, metrics = (folder / f"{name}-{count}" for name in ("records", "ledger", "metrics"))
    records.write_bytes(b"".join(sample_records(count, bad_share=0.0)))
    run = (records, "--endpoint", url, "--ledger", ledger, "--results", "none", "--progress", "off")
    said = folder / "said"
    sent = _spend(said, *run, "--metrics-file", metrics)
    again, verified = _spend(said, *run), _spend(said, "verify", ledger, records)
    return Trial(count, records, ledger, metrics.read_text(), sent, again, verified)


def _spend(said: Path, *arguments: str | Path) -> Spent:
    """What the program needs for them; RuntimeError where it ends badly."""
    command = [sys.executable, "-c", _PROGRAM, str(said), *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"exit {process.returncode} of {arguments}")
    return Spent(usage.ru_utime + usage.ru_stime, int(said.read_text()) / 1024)


def _lines(ledger: Path) -> tuple[int, int]:
    """Bytes of the result lines, as they are packed, and the number of commits that brought any."""
    with closing(sqlite3.connect(ledger)) as db:
        size, commits = db.execute("SELECT sum(length(results) + length(rejects)), count(*) FROM lines").fetchone()
    return int(size), int(commits)


def _value(metrics: str, name: str) -> float:
    found = re.search(rf"^veetro_batch_{name} (\S+)$", metrics, re.MULTILINE)
    if found is None:
        raise ValueError(name)
    return float(found[1])


def main(arguments: list[str]) -> None:
    """Measure as the arguments say; the table goes into ``bench/results/`` too."""
    parser = argparse.ArgumentParser(prog="python -m bench sizes", description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--latency", default="20ms", help="of the sandbox: how long it takes for an answer")
    chosen = parser.parse_args(arguments)
    rows = measure(chosen.records, chosen.latency)
    head = f"| of a million records ({chosen.records:,} were sent, {chosen.latency}) | |"
    told = "\n".join([head, "|---|--:|", *(f"| {name} | {figure} |" for name, figure in rows)])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "sizes.md").write_text(told + "\n")
    print(told)
