"""Where the time of a whole run goes, over real sockets: one thing is slow, and it is that which the account names.

The clock goes on only while that thing is waited for: on a busy machine everything else may be slower still.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from batcher.build import Parts
from batcher.core.slots import STATES
from batcher.flow.given import IterableSource
from batcher.flow.ledger.commit import Commit
from batcher.flow.ledger.sqlite.store import SqliteStore
from batcher.flow.room import HELD_RECORDS
from batcher.observe.tally import Tally
from batcher.sandbox import Sandbox, SandboxSettings
from tests.flow.conftest import Peer, Serve
from tests.flow.runs import Run, records, settings, until

pytestmark = pytest.mark.usefixtures("leaping", "no_task_is_left")

SLOW = SandboxSettings(latency=0.05)


def account(run: Run) -> Mapping[str, float]:
    """Seconds by state of a run that has ended; they add up to its eight workers' time."""
    slots = run.pipeline.slots
    seconds = slots.seconds(time.monotonic(), *run._parts.transport.waits)
    assert slots._ended is not None
    assert list(seconds) == list(STATES)
    assert sum(seconds.values()) == pytest.approx(8 * (slots._ended - slots._began), abs=1e-6)
    assert min(seconds.values()) > -1e-6
    return seconds


def largest(seconds: Mapping[str, float]) -> str:
    """The state in which the most time went."""
    return max(seconds, key=seconds.__getitem__)


@pytest.mark.parametrize(
    ("state", "sandbox", "changes"),
    [
        ("server", SLOW, {}),
        ("permit", SLOW, {"concurrency": 2}),
        ("rate", SandboxSettings(), {"rate": 100.0}),
        ("order", SandboxSettings(latency=0.01), {"order_by": ("VeetroType",)}),
        ("read", SandboxSettings(faults={"dribble": 1.0}), {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_is_slow_is_named(state: str, sandbox: SandboxSettings, changes: dict[str, Any]) -> None:
    """A slow service, a low limit, a rate, a key that all share, answers that only drip."""
    async with Sandbox(sandbox) as service:
        run = await Run(records(40), settings(service.url, **changes))()
    assert run.outcomes == {"delivered": 40}
    assert largest(account(run)) == state


async def test_a_slow_input_is_named() -> None:
    """Records that come one by one keep most workers without any."""

    async def given() -> AsyncIterator[dict[str, Any]]:
        for each in records(10):
            await asyncio.sleep(0.1)
            yield each

    async with Sandbox() as service:
        run = await Run(given(), settings(service.url))()
    assert largest(account(run)) == "input"


async def test_a_service_that_is_down_is_a_pause(port: int) -> None:
    """Once connections are refused, workers wait for the end of the outage, or of the run."""
    run = await Run(records(40), settings(f"http://127.0.0.1:{port}/xml", max_outage=1))()
    assert run.outcomes == {"unsent": 40}
    assert largest(account(run)) == "pause"


async def test_a_connection_that_is_slow_to_come_is_named(serve: Serve) -> None:
    """Handshakes that nobody answers are time spent on connecting."""

    async def silent(peer: Peer) -> None:
        await peer.gone()

    server = await serve(silent)
    url = server.url.replace("http:", "https:")
    run = await Run(records(8), settings(url, connect_timeout=30.0, max_outage=0.01))()
    assert largest(account(run)) == "connect"


async def test_results_that_nobody_takes_are_named() -> None:
    """A reader of our results that stands still: reading ahead stops, and the workers run out of records."""
    async with Sandbox() as service:
        run = Run(records(1400), settings(service.url))
        run.kept.hold = True
        running = asyncio.create_task(run())
        await until(lambda: len(run.results) == HELD_RECORDS)
        await asyncio.sleep(60)
        run.kept.hold = False
        run.kept.let_go()
        await running
    assert largest(account(run)) == "output"


async def test_a_slow_ledger_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits that take long hold up the records that they are to declare."""
    commit = SqliteStore.commit

    def slowly(store: SqliteStore, what: Commit) -> None:
        time.sleep(0.1)
        commit(store, what)

    monkeypatch.setattr(SqliteStore, "commit", slowly)
    async with Sandbox() as service:
        parts = Parts(settings(service.url, ledger=str(tmp_path / "ledger")), Tally())
        kept = parts.keep_ledger(str(tmp_path / "ledger"), {"results": str(tmp_path / "results.ndjson")})
        source = IterableSource(records(80), max_line_bytes=1 << 20)
        pipeline = parts.pipeline(source, kept.writer, kept)
        try:
            await pipeline.run()
        finally:
            kept.close()
            await parts.transport.close()
    seconds = pipeline.slots.seconds(time.monotonic(), *parts.transport.waits)
    assert largest(seconds) == "ledger"
