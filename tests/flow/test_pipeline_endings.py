"""Runs that end early, at any step: every line that was read is accounted for, once."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from batcher.core.events import Draining, Event
from batcher.core.verdict import Verdict
from batcher.errors import ConnectFailed, ConnectionLost
from batcher.flow.pipeline import INTERRUPTED, STOPPED
from batcher.flow.room import HELD_RECORDS
from batcher.flow.transport import Answer
from batcher.sandbox import Sandbox, SandboxSettings
from batcher.values import Secret, Share
from tests.flow.runs import (
    Run,
    Told,
    fault,
    good,
    key_in,
    logged_in,
    never,
    record,
    records,
    refused,
    saved,
    settings,
    settled,
    until,
)

pytestmark = pytest.mark.usefixtures("hurried", "no_task_is_left")


async def test_a_drain_lets_what_is_in_flight_end_and_sends_nothing_more() -> None:
    """Reading stops, what was read and not sent is unsent, the answers that come are delivered."""
    answers: list[asyncio.Future[None]] = []

    async def say(body: bytes, headers: Mapping[str, str]) -> Answer:
        answers.append(asyncio.get_running_loop().create_future())
        await answers[-1]
        return saved(body)

    told = Told(say)
    run = Run(records(5000), settings(), told=told)
    running = asyncio.create_task(run())
    await settled(lambda: (run.pipeline.records, len(answers)))
    run.drain()
    run.drain()
    for answer in answers:
        answer.set_result(None)
    await running
    assert run.outcomes == {"delivered": 8, "unsent": run.pipeline.records - 8}
    assert run.pipeline.records <= HELD_RECORDS + 512
    assert {result.problem and result.problem.kind for result in run.results} == {None, "interrupted"}
    assert len(told.sent) == 8
    assert [event for event in run.events if isinstance(event, Draining)] == [Draining("a test has had enough")]
    assert set(run.exit_codes) == {INTERRUPTED}


@pytest.mark.parametrize("how", ["drain timeout", "second signal"])
async def test_what_hangs_when_the_run_leaves_is_in_doubt(how: str) -> None:
    """After --drain-timeout, or at once at the second signal; over real connections to a service that hangs."""
    async with Sandbox(SandboxSettings(faults={"hang_applied": 1.0})) as sandbox:
        run = Run(records(50), settings(sandbox.url, drain_timeout=0.02 if how == "drain timeout" else 1000.0))
        running = asyncio.create_task(run())
        await until(lambda: sum(sandbox.stats().applied.values()) == 8)
        run.drain()
        if how == "second signal":
            run.pipeline.leave()
        await running
        assert run.outcomes == {"in_doubt": 8, "unsent": 42}
        run.check_truth(sandbox.stats().applied)


async def test_a_drain_before_the_first_record_ends_the_run() -> None:
    """Whenever it comes."""
    run = Run(records(20), settings(), told=Told(never))
    run.drain()
    await run()
    assert (run.results, run.exit_codes) == ([], [6])


@pytest.mark.parametrize(
    ("rule", "say", "finished", "reason"),
    [
        ("default", refused, 100, "the first 100 records that were sent were all rejected"),
        (Share(3), refused, 3, "3 of 3 records were not delivered"),
        (Share(50, percent=True), refused, 100, "100 of 100 records were not delivered"),
    ],
)
async def test_a_stop_rule_ends_the_run(rule: Any, say: Any, finished: int, reason: str) -> None:
    """Exit code 5; what is in flight still ends, the rest is unsent."""
    run = await Run(records(1000), settings(stop_after=rule), told=Told(say))()
    assert run.exit_codes == [STOPPED] == [5]
    assert reason in run.pipeline.endings[0].reason
    rejected = run.outcomes["rejected"]
    assert finished <= rejected < finished + 64
    assert run.outcomes == {"rejected": rejected, "unsent": run.pipeline.records - rejected}
    assert {result.problem and result.problem.kind for result in run.results} == {"client_fault", "stopped"}


async def test_what_was_read_is_told_before_the_end_that_it_brings() -> None:
    """Whoever hears that reading ends knows of every line that has ended by then."""
    run = Run([b"{", b"[", b"}"] * 3, settings(stop_after=Share(2)), told=Told(good))
    read_by_then: list[tuple[int, int]] = []
    notice = run.notice

    def look(event: Event) -> None:
        if isinstance(event, Draining):
            read_by_then.append((run.tally.input_records, run.tally.records))
        notice(event)

    run.notice = look  # type: ignore[method-assign]
    run.pipeline._observer = run
    await run()
    assert read_by_then == [(2, 2)]


async def test_the_default_stop_rule_lets_a_run_with_one_good_record_go_on() -> None:
    """Only where nothing at all gets through it is the set-up that is wrong."""

    async def say(body: bytes, headers: Mapping[str, str]) -> Answer:
        return await (good if key_in(body) == "S-50" else refused)(body, headers)

    run = await Run(records(300), settings(stop_after="default"), told=Told(say))()
    assert (run.outcomes, run.exit_codes) == ({"delivered": 1, "rejected": 299}, [])


async def test_an_outage_that_lasts_too_long_ends_the_run_with_nothing_consumed(port: int) -> None:
    """Exit code 7, and every record is unsent."""
    run = await Run(records(50), settings(f"http://127.0.0.1:{port}/xml", max_outage=0.05))()
    assert run.exit_codes == [7]
    assert run.pipeline.endings[0].reason.startswith("the service was unusable for 0.05 s: ")
    assert run.outcomes == {"unsent": 50}
    assert {result.problem and result.problem.kind for result in run.results} == {"outage"}


async def test_a_service_that_comes_back_gets_every_record_once(port: int) -> None:
    """Nobody listens at first; with a single attempt to spend, the outage costs none of them anything."""
    run = Run(records(50), settings(f"http://127.0.0.1:{port}/xml", max_attempts=1))
    running = asyncio.create_task(run())
    await until(lambda: run.tally.attempts[Verdict.NOT_SENT] > 10)
    async with Sandbox(SandboxSettings(port=port)) as sandbox:
        await running
        assert run.outcomes == {"delivered": 50}
        assert sandbox.stats().applied == {f"S-{number}": 1 for number in range(1, 51)}
    assert (run.exit_codes, run.tally.paused["outage"]) == ([], False)


async def test_a_bug_ends_the_run_loudly() -> None:
    """What is no error of ours is raised as it is, and no task stays behind."""

    async def say(body: bytes, headers: Mapping[str, str]) -> Answer:
        raise ZeroDivisionError

    run = Run(records(50), settings(), told=Told(say))
    with pytest.raises(ZeroDivisionError):
        await run()


class Scenario:
    """A service that fails in a way, and knows what it has applied."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.calls = 0
        self.logins = 0
        self.applied: Counter[str] = Counter()

    async def say(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        await asyncio.sleep(0)
        key = key_in(body)
        if not key:
            self.logins += 1
            return logged_in(f"key-{self.logins}")
        self.calls += 1
        if self.calls % 3 == 2:
            failed = self._fail(headers)
            if failed is not None:
                return failed
        self.applied[key] += 1
        await asyncio.sleep(0)
        if self.kind == "lost" and self.calls % 3 == 2:
            raise ConnectionLost("reset", sent=True)
        return saved(body)

    def _fail(self, headers: Mapping[str, str]) -> Answer | None:
        if self.kind == "down":
            raise ConnectFailed("refused")
        if self.kind == "session":
            return fault("Your session has expired")
        if self.kind == "deadlock":
            return fault("chosen as the deadlock victim")
        if self.kind == "throttled":
            return Answer(429, {}, b"")
        return None


@pytest.mark.parametrize("kind", ["well", "lost", "down", "session", "deadlock", "throttled"])
@pytest.mark.parametrize("leave_after", [0, 2])
async def test_a_run_that_is_ended_at_any_step_accounts_for_every_line_it_read(kind: str, leave_after: int) -> None:
    """A drain at the n-th turn of the loop, a second signal shortly after: for n from 0 to the end of the run."""
    login: dict[str, Any] = {"email": "me", "password": Secret("pw")} if kind == "session" else {}
    for step in itertools.count():
        scenario = Scenario(kind)
        given = [record(number, safe=number % 2 == 0) for number in range(1, 8)]
        run = Run(given, settings(connections=3, max_attempts=50, **login), told=Told(scenario.say))
        running = asyncio.create_task(run())
        for _ in range(step):
            await asyncio.sleep(0)
        was_over = running.done()
        run.drain()
        for _ in range(leave_after):
            await asyncio.sleep(0)
        run.pipeline.leave()
        await running
        run.check_truth(scenario.applied)
        assert set(run.outcomes) <= {"delivered", "in_doubt", "unsent"} | (
            {"rejected"} if kind == "deadlock" else set()
        )
        if was_over:
            assert len(run.results) == 7
            break
    assert step > 10
