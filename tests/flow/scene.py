"""A gate by itself, and a clock that the test moves."""

from __future__ import annotations

import asyncio

from batcher.core.breaker import Breaker
from batcher.core.events import Event
from batcher.core.limit import Limit
from batcher.core.retry import Again, RetryBudget
from batcher.core.verdict import Judgement, Problem, Verdict
from batcher.flow.gate import Gate
from batcher.flow.job import Job

AT_ONCE = Again(0.0, budgeted=False)
DOWN = Judgement(Verdict.NOT_SENT, problem=Problem("outage", "connection refused"))


class Scene:
    """A gate and what belongs to it."""

    def __init__(self, limit: int = 4, share: float = 1.0) -> None:
        self.now = 100.0
        self.events: list[Event] = []
        self.limit = Limit(64, limit)
        self.breaker = Breaker()
        self.gate = Gate(self.limit, self.breaker, RetryBudget(share), self, lambda: self.now)
        self.taking: list[asyncio.Task[Job | None]] = []

    def notice(self, event: Event, /) -> None:
        self.events.append(event)

    async def workers(self, count: int) -> None:
        """Let so many more workers ask for a turn."""
        self.taking += [asyncio.create_task(self.gate.take()) for _ in range(count)]
        await settled()

    async def turns(self) -> list[Job]:
        """The turns that came since the last call, in the order in which the workers had asked."""
        await settled()
        come = [task for task in self.taking if task.done()]
        self.taking = [task for task in self.taking if not task.done()]
        return [turn for task in come if (turn := task.result()) is not None]

    async def ordinals(self) -> list[int]:
        return [turn.ordinal for turn in await self.turns()]

    def move(self, seconds: float) -> None:
        """Let time pass, and the gate look at the clock."""
        self.now += seconds
        self.gate.pause_until(0.0)

    def trip(self, job: Job, *, probe: bool = False) -> None:
        self.breaker.trip(DOWN, record=job.ordinal, probe=probe, now=self.now, jitter=1.0)


async def settled() -> None:
    """Let every task that can run do so: none here takes more than two turns of the loop."""
    for _ in range(3):
        await asyncio.sleep(0)
