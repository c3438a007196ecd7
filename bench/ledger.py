"""What the ledger costs: throughput where the disk is slow, and CPU microseconds a record where the service is quick.

Throughput is compared on a service that answers after 50 ms, with 64 requests in flight and a ledger whose commits are
made to take 20 ms longer; CPU on a server that gives the same answer at once. Rounds with and without a ledger take
turns, so that both see the same machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from batcher.cli import main as batcher
from batcher.flow.ledger.commit import Commit
from batcher.flow.ledger.postgresql.store import PostgresStore
from batcher.flow.ledger.sqlite.store import SqliteStore
from batcher.flow.ledger.store import Store
from bench.constant import RECORD, constant_server
from bench.sandbox import sandbox
from tests.postgresql.server import Served, needed, serving

LATENCY, COMMIT = 0.05, 0.02
"""Seconds: what the service takes for an answer, and what is added to each commit."""
IN_FLIGHT = 64


class Places:
    """Names a new ledger each time: a file, or one in the database of a server that brings every commit to the disk."""

    def __init__(self, kind: str, stack: contextlib.ExitStack) -> None:
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self._server = None
        if kind == "postgresql":
            self._server = stack.enter_context(serving(needed(), durable=True))
            stack.enter_context(Served(self._server))  # the password
        self._count = 0

    def new(self) -> str:
        """Where the next one can be made."""
        self._count += 1
        return f"{self._folder}/{self._count}" if self._server is None else Served(self._server).ledger


def throughput(rounds: int, count: int, places: Places) -> None:
    """Print the throughput with a slow ledger as a share of that without one."""
    with tempfile.TemporaryDirectory() as name, sandbox("--latency", f"{LATENCY}s") as url:
        folder = Path(name)
        (folder / "records").write_bytes(RECORD * count)
        shares, plain = [], []
        for _ in range(rounds):
            without = count / _seconds(folder, url)
            share = count / _seconds(folder, url, "--ledger", places.new()) / without
            shares.append(share)
            plain.append(without)
        print(
            f"{statistics.median(shares):.1%} of the throughput without a ledger, {statistics.median(plain):,.0f} a "
            f"second (median of {rounds} rounds, {min(shares):.1%} to {max(shares):.1%}): service {LATENCY * 1e3:g} "
            f"ms, commit {COMMIT * 1e3:g} ms, {IN_FLIGHT} in flight, {count:,} records"
        )


def cost(rounds: int, count: int, places: Places) -> None:
    """Print the CPU that a record costs with and without a ledger."""
    with tempfile.TemporaryDirectory() as name, constant_server() as url:
        folder = Path(name)
        long, short = folder / "long.ndjson", folder / "short.ndjson"
        long.write_bytes(RECORD * count)
        short.write_bytes(RECORD * (count // 10))
        options = ("--concurrency", str(IN_FLIGHT))
        figures: dict[str, list[float]] = {"without a ledger": [], "with one": []}
        extra = []
        for _ in range(rounds):
            for kind, told in figures.items():
                seconds = [
                    _cpu_seconds(
                        folder / "results",
                        records,
                        url,
                        *options,
                        *(("--ledger", places.new()) if kind == "with one" else ()),
                    )
                    for records in (long, short)
                ]
                told.append((seconds[0] - seconds[1]) / (count - count // 10) * 1e6)
            extra.append(figures["with one"][-1] - figures["without a ledger"][-1])
        for kind, told in figures.items():
            print(f"{statistics.median(told):.0f} µs CPU a record {kind} ({min(told):.0f} to {max(told):.0f})")
        print(f"{statistics.median(extra):.0f} µs more with one (median of {rounds} rounds; {count:,} records)")


def _seconds(folder: Path, url: str, *options: str) -> float:
    """Seconds that a run takes whose commits are slow."""
    commits: dict[type[Store], Callable[[Any, Commit], None]]
    commits = {kind: kind.commit for kind in (SqliteStore, PostgresStore)}

    def slow(store: Store, what: Commit) -> None:
        time.sleep(COMMIT)
        commits[type(store)](store, what)

    given = ["--endpoint", url, "--order-by", "none", "--concurrency", str(IN_FLIGHT), "--progress", "off"]
    began = time.monotonic()
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nobody,
        mock.patch.object(SqliteStore, "commit", slow),
        mock.patch.object(PostgresStore, "commit", slow),
        contextlib.redirect_stderr(nobody),
    ):
        code = batcher([str(folder / "records"), *given, "--results", str(folder / "results"), *options])
    if code:
        sys.exit(f"a run ended with {code}")
    return time.monotonic() - began


def _cpu_seconds(results: Path, records: Path, url: str, *options: str) -> float:
    """CPU seconds, user and system, of a run of the program over *records*."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "batcher", str(records), "--endpoint", url, "--order-by", "none"]
    subprocess.run(
        ["taskset", "-c", "0", *command, "--results", str(results), *options], check=True, stderr=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(arguments: list[str]) -> None:
    """Measure as the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m bench ledger", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=15_000)
    parser.add_argument("--ledger", choices=["sqlite", "postgresql"], default="sqlite")
    chosen = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        places = Places(chosen.ledger, stack)
        throughput(chosen.rounds, chosen.records, places)
        cost(chosen.rounds, chosen.records, places)
