"""Two real runs that meet what the dashboard shows: one with labels that lasts, and one without that has ended."""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batcher.sandbox import SandboxSettings
from tests.e2e.program import PATIENCE_S, Program, lines, record, wait_for_line
from tests.e2e.servers import Background
from tests.prometheus.server import Prometheus, address, lasting_port

LABELS = {"namespace": "crm", "shard": "0"}
RECORDS = 20_000
_HALF = 150
_FAULTS = {"server": 0.06, "deadlock": 0.05, "client": 0.05, "reset_applied": 0.05, "busy": 0.02}
"""The last one asks for pauses of a second."""


@dataclass(frozen=True)
class Fleet:
    """The two runs.

    Attributes:
        lasting: its ``instance``; it reads a compressed file of ``RECORDS`` records.
        ended: its ``instance``.
        summary: of the one that has ended.
        since: the moment before them, in seconds since 1970.
        until: a moment at which Prometheus knew all this.
    """

    lasting: str
    ended: str
    summary: dict[str, Any]
    since: float
    until: float


@contextlib.contextmanager
def fleet(directory: Path, prometheus: Prometheus) -> Iterator[Fleet]:
    """Start them, and wait until the one has ended and Prometheus knows of it; the other is ended at the end."""
    since = time.time()
    program = Program(directory)
    (directory / "records.ndjson.gz").write_bytes(gzip.compress(_incompressible(RECORDS), 1))
    (directory / "password").write_text("rose")
    unwell = SandboxSettings(latency=0.005, faults=_FAULTS, seed=3, login=("me@acme.com", "rose"), session_calls=100)
    watched = ("--progress=off", "--metrics-linger", str(2 * PATIENCE_S))
    try:
        with (
            Background() as background,
            background.sandbox(SandboxSettings(latency=0.05)) as well,
            background.sandbox(unwell) as sandbox,
        ):
            one = program.start(
                *("records.ndjson.gz", "--endpoint", well.url, "--rate=50/s", "--results=one"),
                *(*watched, "--metrics-port", str(lasting_port())),
            )
            other = program.start(
                *("--endpoint", sandbox.url, "--email=me@acme.com", "--password-file=password", "--summary=summary"),
                *("--ledger=ledger", "--results=other"),
                *(*watched, "--metrics-port", str(lasting_port())),
            )
            lasting, ended = (
                address(wait_for_line(process.stderr, "metrics at").split()[-1]) for process in (one, other)
            )
            prometheus.scrape({lasting: LABELS, ended: {}})
            # The first half shows what a run looks like before, between scrapes of which there are several.
            assert other.stdin is not None
            other.stdin.write(_records(0))
            other.stdin.flush()
            prometheus.wait_for(f'sum(veetro_batch_records_total{{instance="{ended}"}}) == {_HALF}')
            other.stdin.write(_records(_HALF))
            other.stdin.close()
            assert other.wait(PATIENCE_S) == 4
            end = f'veetro_batch_last_completion_timestamp_seconds{{instance="{ended}"}}'
            prometheus.wait_for_last(end)
            # A curve's last point must lie behind the end, and its points lie half a second apart.
            prometheus.wait_for(f"time() - last_over_time({end}[1h]) > 1.5")
            prometheus.wait_for(f'absent(veetro_batch_build_info{{instance="{ended}"}})')
            moving = f'sum(rate(veetro_batch_records_total{{instance="{lasting}"}}[4s])) > 0'
            until = prometheus.wait_for_moment(f'{moving} and sum(veetro_batch_build_info{{instance="{lasting}"}}) > 0')
            summary = json.loads((directory / "summary").read_bytes())
            yield Fleet(lasting, ended, summary, since, until)
    finally:
        program.close()


def _incompressible(count: int) -> bytes:
    """Records that remain long when they are compressed, so that what was read of them grows in small steps."""
    chance = random.Random(7)
    return lines(*(record(number, ApplyValues=chance.randbytes(300).hex()) for number in range(1, count + 1)))


def _records(first: int) -> bytes:
    """Every third record is not safe to send twice, and the last one is invalid."""
    return lines(
        *(record(number, ImportSyncRecordID=number % 3) for number in range(first + 1, first + _HALF)),
        record(first + _HALF, CurrentStatus="Done"),
    )
