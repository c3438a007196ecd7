"""The life of one record, against the sandbox and what it really applied; and under cancellation at every step."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

import pytest

from batcher.core.record import differs
from batcher.core.result import Result
from batcher.core.verdict import Outcome, Verdict
from batcher.flow.transport import Answer
from batcher.sandbox import FAULT_KINDS, Sandbox, SandboxSettings
from batcher.settings import Settings
from tests.flow.conftest import Peer, Serve
from tests.flow.runs import NOBODY, Run, Told, fault, http, key_in, record, saved, until

pytestmark = pytest.mark.usefixtures("leaping")

InDoubt = Literal["auto", "hold", "resend"]

FAULTS = {"server": "server_fault", "deadlock": "server_fault", "late_server": "server_fault", "client": "client_fault"}
DOUBTS = {
    "gateway": "gateway",
    "gateway_applied": "gateway",
    "error_page": "unreadable_reply",
    "maintenance": "unreadable_reply",
    "garbage": "unreadable_reply",
    "empty": "unreadable_reply",
    "no_result": "unreadable_reply",
    "bomb": "unreadable_reply",
    "entities": "unreadable_reply",
    "reset": "connection_lost",
    "reset_applied": "connection_lost",
    "cut": "connection_lost",
    "hang": "timeout",
    "hang_applied": "timeout",
    "slow": "timeout",
}
GOOD = ("dribble", "chunked", "close", "gzip", "strange_text")
SYSTEMIC = ("throttle", "busy", "unauthorized", "login_page", "not_found")


def settings(url: str, **changes: Any) -> Settings:
    options: dict[str, Any] = {"max_attempts": 2, "retry_budget": 1.0, "connections": 8}
    options |= {"stop_after": None, "max_outage": 60.0} | changes
    return Settings(endpoint=url, **{"concurrency": options["connections"]} | options)


async def submit_to(sandbox: Sandbox, records: list[dict[str, Any]], **changes: Any) -> Run:
    """Run *records* against *sandbox*, and hold what is said of each to what was applied."""
    run = await Run(records, settings(sandbox.url, **changes))()
    run.check_truth(sandbox.stats().applied, saved_and_failed="late_server" in sandbox.settings.faults)
    return run


def shown(result: Result) -> tuple[str, str | None, int]:
    return result.outcome.value, None if result.problem is None else result.problem.kind, result.attempts


def test_every_fault_of_the_sandbox_is_tried() -> None:
    """A new kind must be put to one of the tables here."""
    assert {*FAULTS, *DOUBTS, *GOOD, *SYSTEMIC} == set(FAULT_KINDS)


@pytest.mark.parametrize("kind", DOUBTS)
async def test_a_doubtful_attempt_is_repeated_where_that_is_allowed(kind: str) -> None:
    """In doubt in the end, after as many attempts as --in-doubt and the id allow, and applied no more often."""
    latency = 3.0 if kind == "slow" else 0.0  # it takes ten times as long
    expected: dict[InDoubt, tuple[int, int]] = {"auto": (2, 1), "hold": (1, 1), "resend": (2, 2)}
    for policy, (safe, unsafe) in expected.items():
        async with Sandbox(SandboxSettings(faults={kind: 1.0}, latency=latency)) as sandbox:
            run = await submit_to(
                sandbox,
                [record(1), record(2, safe=False)],
                in_doubt=policy,
                timeout=20.0,
                connect_timeout=20.0,
            )
            lines = run.by_line()
            assert shown(lines[1]) == ("in_doubt", DOUBTS[kind], safe), policy
            assert shown(lines[2]) == ("in_doubt", DOUBTS[kind], unsafe), policy
            times = {"S-1": safe, "S-2": unsafe} if FAULT_KINDS[kind] else {}
            if kind != "slow":  # the sandbox goes on with a call whose client has left, or does not
                assert sandbox.stats().applied == times


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_server_fault_is_repeated_where_that_is_allowed_and_a_client_fault_never(kind: str) -> None:
    """By --retry-faults, the record's id and what the fault says of itself."""
    expected = {"auto": (2, 2 if kind == "deadlock" else 1), "always": (2, 2), "never": (1, 1)}
    for policy, attempts in expected.items():
        safe, unsafe = (1, 1) if kind == "client" else attempts
        async with Sandbox(SandboxSettings(faults={kind: 1.0})) as sandbox:
            run = await submit_to(sandbox, [record(1), record(2, safe=False)], retry_faults=policy)
            lines = run.by_line()
            assert shown(lines[1]) == ("rejected", FAULTS[kind], safe), policy
            assert shown(lines[2]) == ("rejected", FAULTS[kind], unsafe), policy
            assert sandbox.stats().applied == ({"S-1": safe, "S-2": unsafe} if FAULT_KINDS[kind] else {})


@pytest.mark.parametrize("kind", GOOD)
async def test_an_odd_but_good_answer_delivers_at_the_first_attempt(kind: str) -> None:
    """It was applied, and it is read."""
    async with Sandbox(SandboxSettings(faults={kind: 1.0})) as sandbox:
        run = await submit_to(sandbox, [record(1), record(2, safe=False)])
        assert [shown(result) for result in run.results] == [("delivered", None, 1)] * 2
        answers = {result.line: result.answer for result in run.results}
        assert answers[1] is not None
        assert answers[1]["ImportSyncRecordID"] == 1
        assert answers[1]["SourceID"] == "S-1"


@pytest.mark.parametrize("kind", SYSTEMIC)
async def test_what_concerns_the_run_costs_no_record_anything(kind: str) -> None:
    """However often all are turned away, with a single attempt to spend each is delivered once and applied once."""
    share = 0.02 if kind == "busy" else 0.25  # which asks for a pause of a whole second each time
    async with Sandbox(SandboxSettings(faults={kind: share}, seed=9)) as sandbox:
        records = [record(number, safe=number % 2 == 0) for number in range(1, 61)]
        run = await submit_to(sandbox, records, max_attempts=1000)
        assert run.outcomes == {"delivered": 60}
        assert set(sandbox.stats().applied.values()) == {1}
        assert sum(result.attempts for result in run.results) == sandbox.stats().requests > 60


@pytest.mark.parametrize("policy", ["auto", "hold", "resend"])
async def test_among_all_faults_at_once_no_result_says_what_is_not_so(policy: InDoubt) -> None:
    """400 records of which a third of the requests go wrong in every way there is."""
    kinds = {kind: 0.013 for kind in FAULT_KINDS if kind not in {"busy", "slow", "hang", "hang_applied", "late_server"}}
    async with Sandbox(SandboxSettings(faults=kinds, seed=4)) as sandbox:
        records = [record(number, safe=number % 2 == 0) for number in range(1, 401)]
        run = await submit_to(sandbox, records, max_attempts=6, in_doubt=policy)
        applied = sandbox.stats().applied
        assert run.exit_codes == []
        assert run.outcomes["delivered"] > 300
        for result in run.results:
            if applied.get(str(result.key), 0) > 1:
                assert result.attempts > 1
                assert policy == "resend" or (policy == "auto" and result.line % 2 == 0)
        assert (max(applied.values()) > 1) == (policy != "hold")


async def test_records_of_one_key_are_never_open_together_and_arrive_in_order() -> None:
    """Also where some have to be sent again."""
    most: Counter[str] = Counter()
    now_open: Counter[str] = Counter()
    chance = random.Random(3)

    async def say(body: bytes, headers: Mapping[str, str]) -> Answer:
        key = key_in(body)
        now_open[key] += 1
        most[key] = max(most[key], now_open[key])
        for _ in range(chance.randrange(5)):
            await asyncio.sleep(0)
        now_open[key] -= 1
        return saved(body) if chance.random() < 0.7 else fault("Transaction was deadlocked, rerun it")

    told = Told(say)
    records = [record(number, key=f"K-{number % 7}") for number in range(1, 141)]
    run = await Run(records, settings(NOBODY, max_attempts=50, concurrency=8), told=told)()
    assert run.outcomes == {"delivered": 140}
    assert set(most.values()) == {1}
    assert told.most_open > 3
    for key in range(7):
        ids = [result.line for result in run.results if result.key == f"K-{key}"]
        assert ids == sorted(ids)


async def test_an_answer_to_another_record_is_marked(serve: Serve) -> None:
    """Its key is not the one that was sent: delivered all the same, and the summary counts it."""

    async def script(peer: Peer) -> None:
        while True:
            body = (await peer.request()).body
            await peer.send(http(saved(body.replace(b">S-2<", b">S-1<"))))

    server = await serve(script)
    run = await Run([record(1), record(2), record(3, key=" S-3\r\n")], settings(server.url))()
    assert {result.line: result.mismatch for result in run.results} == {1: False, 2: True, 3: False}
    assert run.outcomes == {"delivered": 3}
    assert run.tally.mismatches == 1


@pytest.mark.parametrize(
    ("sent", "answered", "expected"),
    [
        (("a",), ("a",), False),
        (("a",), ("b",), True),
        (("a",), (None,), True),
        ((None,), ("b",), False),
        ((5,), ("5",), False),
        ((5,), (" 5 ",), False),
        ((" a\r\nb\rc ",), ("a\nb\nc",), False),
        (("a", 1), ("a", "2"), True),
        ((), (), False),
    ],
)
def test_keys_are_compared_as_the_service_changes_them(
    sent: tuple[str | int | None, ...], answered: tuple[str | None, ...], *, expected: bool
) -> None:
    """Outer white space and line ends aside; what was sent without a value the service may fill."""
    assert differs(sent, answered) is expected


async def test_one_record_that_is_misdirected_while_others_are_accepted_is_rejected_for_itself() -> None:
    """It opens the breaker each time, but the run goes on and the others are delivered."""

    async def say(body: bytes, headers: Mapping[str, str]) -> Answer:
        await asyncio.sleep(0)
        return Answer(404, {}, b"") if key_in(body) == "S-5" else saved(body)

    records = [record(number) for number in range(1, 31)]
    run = await Run(records, settings(NOBODY, max_attempts=3), told=Told(say))()
    assert run.outcomes == {"delivered": 29, "rejected": 1}
    poison = run.by_line()[5]
    assert poison.outcome is Outcome.REJECTED
    assert poison.problem is not None
    assert (poison.problem.kind, poison.problem.http_status) == ("http_error", 404)


async def never(body: bytes, headers: Mapping[str, str]) -> Answer:
    """No answer comes."""
    await asyncio.Event().wait()
    raise AssertionError


async def test_an_attempt_that_the_end_cuts_short_is_in_doubt_and_counted() -> None:
    """A request that was out when the run had to leave may have been applied."""
    told = Told(never)
    run = Run([record(number) for number in range(1, 31)], settings(NOBODY, drain_timeout=0.0), told=told)
    running = asyncio.create_task(run())
    await until(lambda: len(told.sent) == 8)
    run.drain()
    await running
    assert run.outcomes == {"in_doubt": 8, "unsent": 22}
    assert run.tally.attempts[Verdict.UNCERTAIN] == 8
    problems = {result.problem for result in run.results if result.outcome is Outcome.IN_DOUBT}
    assert [problem and problem.kind for problem in problems] == ["timeout"]


@pytest.mark.parametrize("unlucky", [1, 3])
async def test_a_worker_that_is_cancelled_at_any_step_takes_no_record_with_it(unlucky: int) -> None:
    """The other workers finish the rest; what it had in its hands has its one result, and no permit is lost."""
    for step in itertools.count():
        applied: Counter[str] = Counter()

        async def say(body: bytes, headers: Mapping[str, str], applied: Counter[str] = applied) -> Answer:
            await asyncio.sleep(0)
            if sum(applied.values()) % 4 == 3 and "again" not in applied:
                applied["again"] = 0
                return fault("deadlocked")
            applied[key_in(body)] += 1
            await asyncio.sleep(0)
            return saved(body)

        records = [record(number) for number in range(1, 9)]
        run = Run(records, settings(NOBODY, connections=4), told=Told(say))
        running = asyncio.create_task(run())
        for _ in range(step):
            await asyncio.sleep(0)
        was_over = running.done()
        for worker in run.pipeline._working[:unlucky]:
            worker.cancel()
        await running
        run.check_truth(applied)
        assert run.outcomes.get("unsent", 0) == 0
        assert run.outcomes.get("in_doubt", 0) <= unlucky
        if was_over:
            assert run.outcomes == {"delivered": 8}
            break
    assert step > 10
