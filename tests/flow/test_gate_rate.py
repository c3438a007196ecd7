"""The gate and a rate, by a clock that the test moves."""

from __future__ import annotations

from batcher.core.rate import Pacer
from tests.flow.runs import make_job
from tests.flow.scene import Scene


async def paced(rate: float, *, limit: int = 64, jobs: int = 60) -> Scene:
    """A gate with a rate, and more workers and records than it lets through."""
    scene = Scene(limit=limit)
    scene.gate.keep_pace(Pacer(rate))
    await scene.workers(jobs)
    for ordinal in range(jobs):
        scene.gate.put(make_job(ordinal))
    return scene


async def test_turns_come_at_the_rate() -> None:
    """Ten a second: one at once, then one each tenth of a second, in any second ten."""
    scene = await paced(10.0)
    counts = []
    for _ in range(40):
        counts.append(len(await scene.turns()))
        scene.move(0.1)
    assert counts[:10] == [1] * 10
    assert all(9 <= sum(counts[start : start + 10]) <= 11 for start in range(30))


async def test_a_pause_is_not_made_up_for() -> None:
    """After ten seconds of quiet that the service asked for, the rate is what it was."""
    scene = await paced(10.0)
    await scene.turns()
    scene.gate.pause_until(scene.now + 10.0)
    scene.move(9.9)
    assert await scene.turns() == []
    scene.move(0.2)
    assert len(await scene.turns()) == 1
    scene.move(1e-3)
    assert await scene.turns() == []
    scene.move(0.1)
    assert len(await scene.turns()) == 1


async def test_the_limit_holds_as_well() -> None:
    """With three in flight and a limit of three nobody else goes, whatever the rate would allow."""
    scene = await paced(10.0, limit=3)
    turns = []
    for _ in range(20):
        turns += await scene.turns()
        scene.move(0.1)
    assert len(turns) == 3
    scene.gate.leave(turns[0])
    scene.gate.leave(turns[1])
    assert len(await scene.turns()) == 1, "the second waits for the rate"


async def test_a_probe_keeps_the_rate_too() -> None:
    """While the service is down, what probes it is a request like any other."""
    scene = await paced(0.01)
    (turn,) = await scene.turns()
    scene.trip(turn)
    scene.gate.leave(turn)
    scene.move(60.0)
    assert await scene.turns() == []
    scene.move(50.0)
    (probe,) = await scene.turns()
    assert probe.probe
    scene.gate.close("stopped", "over")
