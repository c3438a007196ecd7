"""What the gate charges waiting workers to, by a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from batcher.core.rate import Pacer
from batcher.core.retry import Again, RetryBudget
from batcher.core.slots import Slots, State, Wait
from batcher.flow.gate import Gate
from batcher.flow.job import Job
from tests.flow.runs import make_job
from tests.flow.scene import AT_ONCE, Scene

WORKERS = 8


class Accounted(Scene):
    """A gate that eight workers wait at, with an account of them."""

    def __init__(self, limit: int = 4) -> None:
        super().__init__(limit)
        self.in_lanes = 0
        self.lack: State = "input"
        self.keep()

    def keep(self) -> None:
        """Begin an account."""
        self.slots = Slots(WORKERS, self.now)
        self.gate.keep_account(self.slots, lambda: self.in_lanes, lambda: self.lack)

    async def put(self, count: int) -> None:
        """Let so many records come, and those have their turn that can."""
        for ordinal in range(count):
            self.gate.put(make_job(ordinal))
        await self.turns()

    def spent(self, seconds: float = 1.0) -> dict[str, float]:
        """Let time pass; what was charged for it, in workers."""
        before = self.slots.seconds(self.now, Wait(), Wait())
        self.now += seconds
        after = self.slots.seconds(self.now, Wait(), Wait())
        found = {state: (after[state] - before[state]) / seconds for state in after}
        assert sum(found.values()) == pytest.approx(WORKERS)
        return {state: round(count, 6) for state, count in found.items() if count > 1e-6}


@pytest.fixture
async def scene() -> Accounted:
    scene = Accounted()
    await scene.workers(WORKERS)
    return scene


async def test_without_a_record_they_wait_for_the_input(scene: Accounted) -> None:
    """Nothing was read: all wait for records, and what has a turn does not wait."""
    assert scene.spent() == {"input": 8}
    await scene.put(3)
    assert scene.spent() == {"read": 3, "input": 5}


async def test_where_the_limit_is_reached_they_wait_for_a_permit(scene: Accounted) -> None:
    """A worker for each record that is ready waits for its permit; those without one lack records."""
    await scene.put(6)
    assert scene.spent() == {"read": 4, "permit": 2, "input": 2}
    await scene.put(20)
    assert scene.spent() == {"read": 4, "permit": 4}


async def test_a_turn_that_is_given_back_changes_the_account(scene: Accounted) -> None:
    """The worker of a turn that ended waits again, as another record is sent, or none is there."""
    scene.gate.put(make_job(1))
    (turn,) = await scene.turns()
    assert scene.spent() == {"read": 1, "input": 7}
    scene.gate.leave(turn)
    await scene.workers(1)
    assert scene.spent() == {"input": 8}


async def test_a_rate_holds_them_back(scene: Accounted) -> None:
    """Records that may not be sent yet because of the rate: that is what their workers wait for."""
    scene.gate.keep_pace(Pacer(0.1))
    await scene.put(20)
    assert scene.spent() == {"read": 1, "rate": 7}


async def test_a_hot_key_keeps_them_from_their_turn(scene: Accounted) -> None:
    """Records that wait in lanes: their workers wait for the order, and no more workers than there are records."""
    await scene.put(1)
    scene.in_lanes = 5
    scene.gate.recount()
    await scene.turns()
    assert scene.spent() == {"read": 1, "order": 5, "input": 2}


async def test_back_off_is_charged_for_each_record_that_is_in_it(scene: Accounted) -> None:
    """Two records in back-off hold two workers, and only until their time has come."""
    scene.gate.put_again(make_job(1), Again(30.0, budgeted=False))
    scene.gate.put_again(make_job(2), Again(30.0, budgeted=True))
    await scene.turns()
    assert scene.spent() == {"backoff": 2, "input": 6}
    scene.now += 30.0
    scene.gate.put_again(make_job(3), AT_ONCE)
    await scene.turns()
    assert scene.spent() == {"read": 3, "input": 5}


async def test_results_that_nobody_takes_leave_them_without_records(scene: Accounted) -> None:
    """Where reading is held up, a lack of records is told by what holds it up."""
    scene.lack = "output"
    scene.gate.recount()
    await scene.turns()
    assert scene.spent() == {"output": 8}


def throttle(scene: Accounted) -> None:
    scene.gate.pause_until(scene.now + 60.0)


def log_in(scene: Accounted) -> None:
    scene.gate.hold(quietly=True)


def break_down(scene: Accounted) -> None:
    scene.trip(make_job(99))
    scene.move(0.0)


@pytest.mark.parametrize("records", [0, 20])
@pytest.mark.parametrize("pause", [throttle, log_in, break_down])
async def test_a_pause_is_charged_to_all(scene: Accounted, pause: Callable[[Accounted], None], records: int) -> None:
    """An outage, a request to wait and a login: whoever has no turn waits for its end, records or not."""
    await scene.put(2)
    pause(scene)
    await scene.put(records)
    assert scene.spent(0.1) == {"read": 2, "pause": 6}


async def test_a_worker_that_waits_for_a_login_rests(scene: Accounted) -> None:
    """Its turn does not count as work while another worker logs in."""
    await scene.put(2)
    with scene.gate.resting():
        assert scene.spent() == {"read": 1, "pause": 1, "input": 6}
    assert scene.spent() == {"read": 2, "input": 6}


async def test_after_the_gate_was_closed_only_what_is_in_flight_works(scene: Accounted) -> None:
    """A run that ends early pauses, turn by turn."""
    for ordinal in range(2):
        scene.gate.put(make_job(ordinal))
    turns = await scene.turns()
    scene.lack = "pause"
    scene.gate.close("interrupted", "a test has had enough")
    assert scene.spent() == {"read": 2, "pause": 6}
    for turn in turns:
        scene.gate.leave(turn)
    await scene.turns()
    assert scene.spent() == {"pause": 8}


class Slow:
    """Intents that are not durable before the test says so."""

    def __init__(self) -> None:
        self.declared: list[Job] = []

    def on_declared(self, declared: Callable[[Sequence[Job]], None]) -> None:
        self.tell = declared

    def wanted(self, ahead: int, limit: int) -> int:
        return limit - ahead

    def declare(self, jobs: Sequence[Job]) -> None:
        self.declared += jobs

    def retract(self, job: Job) -> None:
        """Nothing to do."""


async def test_before_the_ledger_holds_them_records_wait_for_it() -> None:
    """Workers wait for the ledger while the limit would let them send, and for permits once it does not."""
    intents, scene = Slow(), Accounted()
    scene.gate = Gate(scene.limit, scene.breaker, RetryBudget(1.0), scene, lambda: scene.now, intents)
    scene.keep()
    await scene.workers(WORKERS)
    await scene.put(7)
    assert scene.spent() == {"ledger": 7, "input": 1}
    intents.tell(intents.declared)
    await scene.turns()
    assert scene.spent() == {"read": 4, "permit": 3, "input": 1}
