"""The gate and what the ledger does not hold yet: whoever changes what is wanted of the ledger also asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from batcher.core.events import Paused, Resumed
from batcher.core.retry import RetryBudget
from batcher.flow.gate import Gate
from batcher.flow.job import Job
from tests.flow.runs import make_job
from tests.flow.scene import Scene


class Ledger:
    """Intents as the ledger wants them: up to twice the limit, once no more than the limit is ahead."""

    def __init__(self) -> None:
        self.declaring: list[Job] = []
        self.declared: list[int] = []

    def on_declared(self, declared: Callable[[Sequence[Job]], None]) -> None:
        self._tell = declared

    def wanted(self, ahead: int, limit: int) -> int:
        return 2 * limit - ahead if ahead <= limit else 0

    def declare(self, jobs: Sequence[Job]) -> None:
        self.declaring += jobs
        self.declared += [job.ordinal for job in jobs]

    def retract(self, job: Job) -> None:
        self.declared.remove(job.ordinal)

    def commit(self) -> None:
        jobs, self.declaring = self.declaring, []
        self._tell(jobs)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def scene(ledger: Ledger) -> Scene:
    scene = Scene(limit=4)
    scene.gate = Gate(scene.limit, scene.breaker, RetryBudget(1.0), scene, lambda: scene.now, ledger)
    return scene


@pytest.mark.parametrize("workers", [4, 6])
async def test_more_is_declared_as_soon_as_turns_are_given(scene: Scene, ledger: Ledger, workers: int) -> None:
    """Not only when a worker comes back: until then, or until the next result, the ledger would have nothing to do."""
    await scene.workers(workers)
    for ordinal in range(1, 13):
        scene.gate.put(make_job(ordinal))
    assert ledger.declared == [1, 2, 3, 4, 5]
    ledger.commit()
    assert await scene.ordinals() == [1, 2, 3, 4]
    assert ledger.declared == list(range(1, 13))


async def test_more_is_declared_once_the_service_is_back(scene: Scene, ledger: Ledger) -> None:
    """An answer to what was sent before the outage may be what ends it."""
    await scene.workers(4)
    for ordinal in range(1, 5):
        scene.gate.put(make_job(ordinal))
    ledger.commit()
    turns = await scene.turns()
    await scene.workers(4)
    scene.trip(turns[0])
    scene.gate.leave(turns[0])
    for ordinal in range(5, 9):
        scene.gate.put(make_job(ordinal))
    assert ledger.declared == [1, 2, 3, 4]
    scene.breaker.relax()
    scene.gate.leave(turns[1])
    assert ledger.declared == list(range(1, 9))
    assert [type(event) for event in scene.events] == [Paused, Resumed]
