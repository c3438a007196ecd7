"""A thread that reads the ledger while it is closed."""

from __future__ import annotations

import asyncio
import threading

import pytest

from batcher.core.verdict import Outcome
from batcher.flow.ledger.access import open_to_read
from batcher.flow.ledger.commit import Commit
from batcher.flow.ledger.memory import Memory
from tests.flow.ledgers import opened
from tests.flow.runs import make_job


async def test_a_ledger_is_closed_behind_the_thread_that_reads_it(ledger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at the past that was cancelled goes on in its thread: closing waits for it, and crashes nothing."""
    with opened(ledger, create=True) as store:
        store.commit(Commit(records={Outcome.DELIVERED: {1: 1}}))
    reading = open_to_read(ledger)
    memory = Memory(reading)
    began, go_on = threading.Event(), threading.Event()
    known = reading.known

    def slowly(first: int, last: int) -> object:
        with reading._used:
            began.set()
            go_on.wait()
            return known(first, last)

    monkeypatch.setattr(reading, "known", slowly)
    looking = asyncio.create_task(memory.look_up(1, [make_job(1).line]))
    await asyncio.to_thread(began.wait)
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    closing = asyncio.create_task(asyncio.to_thread(reading.close))
    early, _ = await asyncio.wait({closing}, timeout=0.1)
    go_on.set()
    await closing
    assert not early
