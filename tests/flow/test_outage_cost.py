"""What an outage costs records that may be sent twice: with real waits, on a clock that jumps over them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

import pytest

from batcher.core.events import Paused, Resumed
from batcher.core.verdict import Verdict
from batcher.flow.transport import Answer
from batcher.settings import Settings
from tests.flow.leaps import Leaping, follow
from tests.flow.runs import NOBODY, Run, Told, records, saved

GONE = Answer(502, {}, b"")


class Service:
    """Saves the first *good* records, then is gone for *probes* probes, and then is back for good."""

    def __init__(self, good: int, probes: int) -> None:
        self.good = good
        self.probes = probes
        self.run: Run | None = None

    async def __call__(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        await asyncio.sleep(0.05)
        if self.good > 0:
            self.good -= 1
            return saved(body)
        assert self.run is not None
        submitter = self.run.pipeline.submitter
        if self.probes > 0:
            self.probes -= submitter._service.breaker.is_open and submitter.gate.in_flight == 1
            return GONE
        return saved(body)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("good", "left", "probes"), [(40, 100, 10), (0, 100, 10), (40, 100, 30), (100, 10, 30), (100, 3, 30)]
)
def test_no_record_that_is_safe_ends_in_doubt(
    monkeypatch: pytest.MonkeyPatch, good: int, left: int, probes: int, seed: int
) -> None:
    """All are delivered with the default of six attempts, be there many to probe with or three, for ten minutes."""
    random.seed(seed)
    service = Service(good, probes)

    async def whole() -> Run:
        run = service.run = Run(records(good + left), Settings(endpoint=NOBODY), told=Told(service))
        return await run()

    follow(monkeypatch)
    with asyncio.Runner(loop_factory=lambda: Leaping(quiet=0.0)) as runner:
        run = runner.run(whole())
    assert (run.exit_codes, run.outcomes) == ([], {"delivered": good + left})
    pauses = [event for event in run.events if isinstance(event, Paused | Resumed)]
    assert [type(event) for event in pauses] == [Paused, Resumed]
    assert probes <= run.tally.attempts[Verdict.UNCERTAIN] <= probes + 64
