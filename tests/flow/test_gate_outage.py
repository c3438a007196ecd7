"""The gate while the service is taken to be down: one probe at a time."""

from __future__ import annotations

from batcher.core.events import Paused, Resumed
from batcher.core.retry import Again
from batcher.core.verdict import Judgement, Verdict
from tests.flow.runs import make_job
from tests.flow.scene import AT_ONCE, Scene


async def test_while_the_service_is_down_one_probe_at_a_time_goes_at_growing_waits() -> None:
    """Exactly one, and the next only when the last has failed and its wait is over."""
    scene = Scene()
    await scene.workers(4)
    jobs = [make_job(ordinal) for ordinal in range(1, 5)]
    scene.trip(make_job(99))
    for job in jobs:
        scene.gate.put(job)
    scene.move(0.4)
    assert await scene.ordinals() == []
    scene.move(0.1)
    (probe,) = await scene.turns()
    assert probe.probe
    scene.move(60.0)
    assert await scene.ordinals() == []
    scene.trip(probe, probe=True)
    scene.gate.leave(probe)
    scene.move(0.9)
    assert await scene.ordinals() == []
    scene.move(0.1)
    (second,) = await scene.turns()
    assert second.probe
    scene.breaker.hear(
        Judgement(Verdict.ACCEPTED), record=second.ordinal, limit=4, probe=True, now=scene.now, jitter=0.0
    )
    scene.gate.leave(second)
    rest = await scene.turns()
    assert [turn.probe for turn in rest] == [False, False]
    assert [type(event) for event in scene.events] == [Paused, Resumed]


async def test_a_probe_that_is_still_out_when_the_service_fails_again_stays_the_only_one() -> None:
    """A late answer to an older request can end an outage before the probe has its own answer."""
    scene = Scene()
    await scene.workers(4)
    scene.trip(make_job(99))
    for ordinal in range(1, 5):
        scene.gate.put(make_job(ordinal))
    scene.move(0.5)
    (probe,) = await scene.turns()
    scene.breaker.hear(Judgement(Verdict.ACCEPTED), record=98, limit=4, probe=False, now=scene.now, jitter=0.0)
    scene.move(0.0)
    others = await scene.turns()
    assert [turn.probe for turn in others] == [False] * 3
    scene.trip(others[0])
    for turn in others:
        scene.gate.put_again(turn, AT_ONCE)
        scene.gate.leave(turn)
    await scene.workers(3)
    scene.move(10.0)
    assert await scene.ordinals() == []
    scene.gate.leave(probe)
    (again,) = await scene.turns()
    assert again.probe
    scene.gate.close("stopped", "over")


async def test_a_probe_is_rather_a_record_that_is_safe_and_then_one_that_the_outage_has_not_met() -> None:
    """A record that may not be sent twice is the last choice; one poison record is not probed for ever."""
    scene = Scene()
    unsafe, met, fresh = make_job(1, safe=False), make_job(2), make_job(3)
    scene.trip(met)
    order = []
    for job in (unsafe, met, fresh):
        scene.gate.put(job)
    for _ in range(3):
        scene.move(0.5)
        await scene.workers(1)
        (turn,) = await scene.turns()
        order.append(turn.ordinal)
        scene.gate.leave(turn)
    assert order == [3, 2, 1]


async def test_probing_leaves_the_retries_under_their_budget_and_before_the_rest() -> None:
    """An outage is no way around the budget: what was due when it ended is still a retry."""
    scene = Scene(limit=64, share=0.0)
    scene.trip(make_job(0))
    for ordinal in range(1, 31):
        scene.gate.put_again(make_job(ordinal, spent=1), Again(0.0, budgeted=True))
    scene.gate.put(make_job(50, spent=0))
    await scene.workers(40)
    scene.move(0.5)
    (probe,) = await scene.turns()
    assert (probe.ordinal, len(scene.gate)) == (1, 30)
    scene.breaker.hear(Judgement(Verdict.ACCEPTED), record=1, limit=4, probe=True, now=scene.now, jitter=0.0)
    scene.gate.leave(probe)
    assert await scene.ordinals() == [*range(2, 11), 50]
    scene.gate.close("stopped", "over")
