"""The fault matrix: whatever goes wrong, what is said of a record is true, by the record of what was really applied."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from batcher.core.events import AttemptEnded, Delivered
from batcher.core.verdict import Verdict
from batcher.settings import Settings
from batcher.values import Secret
from tests.flow.conftest import Serve
from tests.flow.matrix import MAX_ATTEMPTS, Cell, InDoubt, RetryFaults, cells, markdown
from tests.flow.mischief import Stage, Way
from tests.flow.runs import Run, record
from tests.flow.ways import SLOW, WAYS

pytestmark = pytest.mark.usefixtures("leaping")

Policy: TypeAlias = "tuple[InDoubt, RetryFaults]"

PAGE = Path(__file__).parents[2] / "batcher" / "outcomes.md"
POLICIES: list[tuple[str, Policy]] = [
    ("1.1", ("auto", "auto")),
    ("1.1", ("hold", "always")),
    ("1.1", ("resend", "never")),
    ("1.2", ("auto", "never")),
    ("1.2", ("hold", "auto")),
    ("1.2", ("resend", "always")),
]
"""No way asks for both, so three pairs are enough for each version."""
NOT_APPLIED = {Verdict.REFUSED, Verdict.THROTTLED, Verdict.NO_SESSION, Verdict.MISDIRECTED, Verdict.NOT_SENT}


async def run_cells(serve: Serve, ways: tuple[Way, ...], **options: Any) -> tuple[Run, Stage, dict[int, Cell]]:
    """One run with a record for every cell of *ways*, and a good one after every third."""
    planned = {cell.key: cell for cell in cells(ways)}
    stage = Stage(lambda key, attempt: planned[key].plan(attempt) if key in planned else None)
    server = await serve(stage)
    records: list[dict[str, Any]] = []
    by_line: dict[int, Cell] = {}
    for number, cell in enumerate(planned.values()):
        if number % 3 == 0:
            records.append(record(len(records) + 1))
        records.append(record(len(records) + 1, safe=cell.safe, key=cell.key))
        by_line[len(records)] = cell
    settings = Settings(
        endpoint=server.url,
        email="me@example.com",
        password=Secret("made up"),
        connections=64,
        concurrency=64,
        max_attempts=MAX_ATTEMPTS,
        retry_budget=1.0,
        stop_after=None,
        max_outage=900.0,
        **options,
    )
    return await Run(records, settings)(), stage, by_line


def check_cells(run: Run, stage: Stage, by_line: dict[int, Cell], in_doubt: InDoubt, retry_faults: RetryFaults) -> None:
    """Each cell's record has come to what was expected of it."""
    assert run.exit_codes == [], run.pipeline.endings
    wrong = []
    lines = run.by_line()
    verdicts = verdicts_of(run)
    for line, cell in by_line.items():
        result, expected = lines[line], cell.expect(in_doubt, retry_faults)
        kind = None if result.problem is None else result.problem.kind
        applied = stage.state.stats().applied.get(cell.key, 0)
        found = result.outcome.value, kind, result.attempts, applied, result.mismatch, verdicts[line][0]
        want = expected.outcome, expected.kind, expected.attempts, expected.applied, cell.way.mismatch, cell.way.verdict
        if found != want:
            wrong.append(f"{cell.key}: {found} instead of {want}: {result.problem}")
    assert not wrong, "\n".join(wrong)
    others = [result for result in run.results if result.line not in by_line]
    assert {(result.outcome.value, result.attempts) for result in others} == {("delivered", 1)}


def verdicts_of(run: Run) -> dict[int, list[Verdict]]:
    """Of each line's attempts, in their order."""
    verdicts: dict[int, list[Verdict]] = {}
    for event in run.events:
        if isinstance(event, AttemptEnded):
            verdicts.setdefault(event.line, []).append(event.judgement.verdict)
        elif isinstance(event, Delivered):
            verdicts.setdefault(event.result.line, []).append(Verdict.ACCEPTED)
    return verdicts


def check_promises(run: Run, stage: Stage, by_line: dict[int, Cell], in_doubt: InDoubt, faults: RetryFaults) -> None:
    """What is promised of every record, whatever the table expects; all of it by what the service did."""
    assert sorted(result.line for result in run.results) == list(range(1, run.pipeline.records + 1))
    verdicts = verdicts_of(run)
    for result in run.results:
        said, done = verdicts[result.line], stage.applied[str(result.key)]
        assert len(said) == len(done) == result.attempts
        for verdict, applied in zip(said, done, strict=True):
            assert applied or verdict is not Verdict.ACCEPTED, result
            assert not applied or verdict not in NOT_APPLIED, result
        if Verdict.UNCERTAIN in said:
            assert result.outcome.value in {"delivered", "in_doubt"}, result
        if sum(done) > 1:
            safe = by_line[result.line].safe
            assert safe or in_doubt == "resend" or (faults == "always" and said[0] is Verdict.FAULTED), result
            assert result.attempts > 1, result


async def one_run(serve: Serve, ways: tuple[Way, ...], soap: str, policy: Policy, **options: Any) -> None:
    """A run under one *policy*, checked."""
    in_doubt, retry_faults = policy
    options |= {"soap": soap, "in_doubt": in_doubt, "retry_faults": retry_faults}
    run, stage, by_line = await run_cells(serve, ways, **options)
    check_cells(run, stage, by_line, in_doubt, retry_faults)
    check_promises(run, stage, by_line, in_doubt, retry_faults)


async def test_whatever_goes_wrong_the_result_is_what_the_policy_says_and_the_service_did(serve: Serve) -> None:
    """Every way, what follows, SOAP version, policy, safe or new: outcome, kind, attempts, verdict, times applied."""
    fast = tuple(way for way in WAYS if way not in SLOW)
    await asyncio.gather(*(one_run(serve, fast, soap, policy) for soap, policy in POLICIES))


async def test_whatever_takes_too_long_as_well(serve: Serve) -> None:
    """The same for the ways that end by our own time limit."""
    await asyncio.gather(
        *(one_run(serve, SLOW, soap, policy, timeout=10.0, connect_timeout=10.0) for soap, policy in POLICIES)
    )


def test_the_page_says_what_is_tested() -> None:
    """``python -m tests.flow.matrix > batcher/outcomes.md`` brings it up to date."""
    assert PAGE.read_text() == markdown()
