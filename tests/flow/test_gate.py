"""The gate, by its public calls and a clock that the test moves: no timer is waited for unless a test says so."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from batcher.core.breaker import Breaker
from batcher.core.events import Event, Paused, Resumed
from batcher.core.limit import Limit
from batcher.core.retry import Again, RetryBudget
from batcher.core.verdict import Judgement, Sample, Verdict
from batcher.flow.gate import Gate
from batcher.flow.job import Job
from tests.flow.runs import make_job
from tests.flow.scene import AT_ONCE, Scene, settled


async def test_records_go_in_the_order_in_which_they_came_as_many_as_the_limit_allows() -> None:
    """First come, first served, never more in flight than the limit."""
    scene = Scene(limit=2)
    await scene.workers(4)
    for ordinal in range(1, 5):
        scene.gate.put(make_job(ordinal))
    first, second = await scene.turns()
    assert (first.ordinal, second.ordinal, scene.gate.in_flight, len(scene.gate)) == (1, 2, 2, 2)
    scene.gate.leave(second)
    assert await scene.ordinals() == [3]
    scene.gate.leave(first)
    assert await scene.ordinals() == [4]


async def test_workers_are_served_in_the_order_in_which_they_asked() -> None:
    """No worker waits longer than one that came after it."""
    scene = Scene(limit=3)
    await scene.workers(3)
    waiting = list(scene.taking)
    scene.gate.put(make_job(1))
    await settled()
    assert [task.done() for task in waiting] == [True, False, False]
    scene.gate.put(make_job(2))
    await settled()
    assert [task.done() for task in waiting] == [True, True, False]
    scene.gate.close("stopped", "over")


async def test_a_limit_that_has_grown_lets_more_through_at_the_next_leave() -> None:
    """The gate asks for the limit anew each time."""
    scene = Scene()
    scene.limit = Limit(64, found=16)
    scene.gate = Gate(scene.limit, scene.breaker, RetryBudget(1.0), scene, lambda: scene.now)
    await scene.workers(20)
    for ordinal in range(20):
        scene.gate.put(make_job(ordinal))
    turns = await scene.turns()
    assert len(turns) == 8
    for _ in range(8):
        scene.limit.hear(Sample.SUCCESS, 0.1, 8, scene.now)
    scene.gate.leave(turns[0])
    assert (len(await scene.turns()), scene.limit.value) == (9, 16)
    scene.limit.hear(Sample.SUCCESS, 0.1, 16, scene.now)
    while scene.limit.value == 16:
        scene.limit.hear(Sample.DROPPED, 0.0, 16, scene.now)
    for turn in turns[1:]:
        scene.gate.leave(turn)
    assert (await scene.ordinals(), scene.gate.in_flight, scene.limit.value) == ([], 9, 8)
    scene.gate.leave(turns[0])
    scene.gate.leave(turns[0])
    assert await scene.ordinals() == [17]
    scene.gate.close("stopped", "over")


async def test_what_is_sent_again_goes_before_what_was_never_sent() -> None:
    """A record that has been waiting for its answer is not put behind all the others."""
    scene = Scene(limit=1)
    scene.gate.put(make_job(1))
    scene.gate.put(make_job(2))
    scene.gate.put_again(make_job(3, spent=1), Again(0.0, budgeted=True))
    scene.gate.put_again(make_job(4), AT_ONCE)
    order = []
    for _ in range(4):
        await scene.workers(1)
        (turn,) = await scene.turns()
        order.append(turn.ordinal)
        scene.gate.leave(turn)
    assert order == [4, 3, 1, 2]


async def test_a_record_in_back_off_holds_nobody_and_comes_when_its_time_has_come() -> None:
    """The others go meanwhile; among those in back-off the earliest is the first."""
    scene = Scene(limit=8)
    await scene.workers(4)
    scene.gate.put_again(make_job(1), Again(2.0, budgeted=False))
    scene.gate.put_again(make_job(2), Again(1.0, budgeted=False))
    scene.gate.put(make_job(3))
    assert await scene.ordinals() == [3]
    scene.move(0.999)
    assert await scene.ordinals() == []
    scene.move(0.002)
    assert await scene.ordinals() == [2]
    scene.move(1.0)
    assert await scene.ordinals() == [1]
    scene.gate.close("stopped", "over")


async def test_a_timer_wakes_the_gate_for_a_back_off() -> None:
    """Nobody has to call: the loop's own timer is set for the next instant that matters."""
    loop = asyncio.get_running_loop()
    gate = Gate(Limit(4, 4), Breaker(), RetryBudget(1.0), Scene(), loop.time)
    gate.put_again(make_job(1), Again(0.01, budgeted=False))
    turn = await gate.take()
    assert turn is not None
    assert turn.ordinal == 1
    gate.close("stopped", "over")


async def test_retries_over_the_budget_wait_for_the_next_second_and_hold_nobody_up() -> None:
    """Ten retries a second are always allowed, and no more of them where the share allows none."""
    scene = Scene(limit=64, share=0.0)
    await scene.workers(40)
    for ordinal in range(25):
        scene.gate.put_again(make_job(ordinal, spent=1), Again(0.0, budgeted=True))
    scene.gate.put_again(make_job(90, spent=1), AT_ONCE)
    scene.gate.put(make_job(91))
    assert sorted(await scene.ordinals()) == [*range(10), 90, 91]
    scene.move(0.9)
    assert await scene.ordinals() == []
    scene.move(0.1)
    assert await scene.ordinals() == [*range(10, 20)]
    scene.move(1.0)
    assert await scene.ordinals() == [*range(20, 25)]
    scene.gate.close("stopped", "over")


async def test_many_retries_that_are_due_at_once_do_not_pass_the_budget_together() -> None:
    """A retry counts from its turn on, not only once it is sent: 24 of 124 are just below a fifth."""
    scene = Scene(limit=200, share=0.2)
    await scene.workers(200)
    for ordinal in range(100):
        scene.gate.put(make_job(ordinal))
    assert len(await scene.turns()) == 100
    scene.now += 1.0
    for ordinal in range(100, 200):
        scene.gate.put_again(make_job(ordinal, spent=1), Again(0.0, budgeted=True))
    assert len(await scene.turns()) == 24
    scene.gate.close("stopped", "over")


async def test_a_pause_holds_everything_until_its_instant_and_is_told() -> None:
    """Retry-After concerns the whole run; a shorter one does not shorten it."""
    scene = Scene()
    await scene.workers(2)
    scene.gate.pause_until(scene.now + 5.0)
    scene.gate.pause_until(scene.now + 1.0)
    scene.gate.put(make_job(1))
    scene.gate.put_again(make_job(2), AT_ONCE)
    scene.move(4.5)
    assert await scene.ordinals() == []
    assert scene.events == [Paused("throttled", "the service asked for a pause", 5.0)]
    assert scene.gate.unusable_since == 100.0
    scene.move(0.5)
    assert await scene.ordinals() == [2, 1]
    assert scene.events[1:] == [Resumed("throttled", 5.0)]
    assert scene.gate.unusable_since is None


async def test_a_pause_ends_by_itself_while_every_worker_is_busy() -> None:
    """Else a run whose answers are slow would look unusable for as long as nobody asks for a turn."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()

    class Ear:
        def notice(self, event: Event, /) -> None:
            if isinstance(event, Resumed):
                over.set()

    gate = Gate(Limit(4, 4), Breaker(), RetryBudget(1.0), Ear(), loop.time)
    gate.pause_until(loop.time() + 0.01)
    assert gate.unusable_since is not None
    await over.wait()
    assert gate.unusable_since is None


async def test_nothing_is_sent_while_a_login_holds_the_gate() -> None:
    """From hold to release, timers included."""
    scene = Scene()
    await scene.workers(1)
    scene.gate.hold(quietly=False)
    scene.gate.put_again(make_job(1), Again(1.0, budgeted=False))
    scene.move(2.0)
    assert await scene.ordinals() == []
    assert scene.gate.unusable_since == 100.0
    scene.gate.release()
    assert await scene.ordinals() == [1]
    assert scene.events == [Paused("session", "logging in again", None), Resumed("session", 2.0)]


async def test_the_first_login_is_no_pause() -> None:
    """It holds the gate as well, but nothing has been interrupted."""
    scene = Scene()
    await scene.workers(1)
    scene.gate.hold(quietly=True)
    scene.gate.put(make_job(1))
    assert (await scene.ordinals(), scene.gate.unusable_since) == ([], None)
    scene.gate.release()
    assert (await scene.ordinals(), scene.events) == ([1], [])


async def test_closing_gives_back_everything_once_and_sends_the_workers_home() -> None:
    """What waits comes back in the order in which it would have gone; nothing comes back twice, no timer is left."""
    scene = Scene(limit=1)
    scene.gate.put(make_job(1))
    scene.gate.put(make_job(2))
    await scene.workers(3)
    (turn,) = await scene.turns()
    scene.gate.put_again(make_job(3), Again(9.0, budgeted=False))
    scene.gate.put_again(make_job(4), Again(5.0, budgeted=True))
    assert [job.ordinal for job in scene.gate.close("outage", "down")] == [4, 3, 2]
    assert scene.gate.closed == ("outage", "down")
    assert await asyncio.gather(*scene.taking) == [None, None]
    assert scene.gate.close("outage", "down") == []
    scene.gate.leave(turn)
    assert (scene.gate.in_flight, await scene.gate.take()) == (0, None)
    assert scene.gate._timer is None or scene.gate._timer.cancelled()


async def test_a_worker_cancelled_in_the_moment_of_its_turn_loses_nothing() -> None:
    """Its record goes to the next worker, ahead of the others, and the turn is given back."""
    scene = Scene(limit=1)
    await scene.workers(2)
    unlucky = scene.taking.pop(0)
    scene.gate.put(make_job(1))
    scene.gate.put(make_job(2))
    unlucky.cancel()
    assert await scene.ordinals() == [1]
    assert (unlucky.cancelled(), scene.gate.in_flight, len(scene.gate)) == (True, 1, 1)


async def test_a_worker_cancelled_while_it_waits_is_passed_over() -> None:
    """The turn is not given to nobody."""
    scene = Scene(limit=4)
    await scene.workers(3)
    scene.taking[0].cancel()
    await asyncio.wait(scene.taking[:1])
    del scene.taking[0]
    scene.gate.put(make_job(1))
    assert (await scene.ordinals(), scene.gate.in_flight) == ([1], 1)
    scene.gate.close("stopped", "over")


def _act(scene: Scene, chance: random.Random, out: list[Job], ordinals: list[int]) -> None:
    """Do one of the things that can happen to a gate."""
    gate = scene.gate

    def put() -> None:
        ordinals.append(len(ordinals))
        gate.put(make_job(ordinals[-1], safe=chance.random() < 0.5))

    def leave() -> None:
        turn = out.pop(chance.randrange(len(out)))
        kind = chance.random()
        if kind < 0.1:
            scene.trip(turn, probe=turn.probe)
        elif kind < 0.5:
            scene.breaker.hear(Judgement(Verdict.ACCEPTED), record=0, limit=4, probe=False, now=scene.now, jitter=0.0)
        gate.leave(turn)
        if kind < 0.4:
            turn.history.spent += 1
            gate.put_again(turn, Again(chance.choice((0.0, 0.3, 2.0)), budgeted=chance.random() < 0.5))
        else:
            ordinals.remove(turn.ordinal)
            ordinals.insert(turn.ordinal, -1)

    def take() -> None:
        scene.taking.append(asyncio.ensure_future(gate.take()))

    def cancel() -> None:
        if scene.taking:
            scene.taking.pop(chance.randrange(len(scene.taking))).cancel()

    acts: list[Callable[[], None]] = [put, put, take, take, take, cancel, lambda: scene.move(chance.random())]
    acts += [leave, leave] if out else []
    chance.choice(acts)()


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_every_record_is_in_one_place_and_the_limit_holds(seed: int) -> None:
    """Puts, turns, leaves, retries, outages, cancelled workers and new limits, 600 at random."""
    chance = random.Random(seed)
    scene = Scene(limit=3, share=0.2)
    out: list[Job] = []
    ordinals: list[int] = []
    for step in range(600):
        if step % 50 == 0:
            scene.limit._limit = float(chance.randint(1, 6))
        was_down, before = scene.breaker.is_open, scene.gate.in_flight
        _act(scene, chance, out, ordinals)
        if chance.random() < 0.5:
            come = await scene.turns()
            out += come
            open_probes = sum(turn.probe for turn in out)
            assert open_probes <= 1
            # What waited for its turn when the limit fell, or when an outage began, is still in flight.
            assert scene.gate.in_flight <= max(before, scene.limit.value) + (was_down or scene.breaker.is_open)
    out += await scene.turns()
    assert scene.gate.in_flight == len(out)
    waiting = scene.gate.close("stopped", "over")
    alive = [ordinal for ordinal in ordinals if ordinal >= 0]
    assert sorted([*(job.ordinal for job in waiting), *(turn.ordinal for turn in out)]) == alive
    for turn in out:
        scene.gate.leave(turn)
    assert scene.gate.in_flight == 0
