"""How far reading runs ahead, and what inputs and outputs that fail do to a run."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from batcher.core.verdict import Outcome
from batcher.errors import InputFailed
from batcher.flow.output import LineFile
from batcher.flow.room import HELD_RECORDS
from batcher.flow.sink import FileSink
from batcher.flow.source import FileSource
from batcher.flow.transport import Answer
from batcher.values import Secret
from tests.flow.runs import (
    Run,
    Told,
    good,
    line_of,
    never,
    record,
    records,
    saved,
    settings,
    settled,
)

pytestmark = pytest.mark.usefixtures("hurried", "no_task_is_left")


@pytest.mark.parametrize("slow", ["sink", "service", "lane"])
async def test_reading_waits_while_too_many_records_are_held(slow: str) -> None:
    """Whether their results are not written yet, they are not answered, or they wait for another one of their key."""
    given = 0

    def source() -> Iterator[dict[str, Any]]:
        nonlocal given
        for number in range(1, 2501):
            given = number
            yield record(number, key="the same" if slow == "lane" else None)

    let_go = asyncio.Event()

    async def say(body: bytes, headers: Mapping[str, str]) -> Answer:
        await (asyncio.sleep(0) if slow == "sink" else let_go.wait())
        return saved(body)

    run = Run(source(), settings(), told=Told(say))
    run.kept.hold = slow == "sink"
    running = asyncio.create_task(run())
    await settled(lambda: (run.pipeline.records, len(run.results)))
    assert run.pipeline.records == HELD_RECORDS
    assert given <= HELD_RECORDS + 2 * 512
    assert len(run.results) == (HELD_RECORDS if slow == "sink" else 0)
    let_go.set()
    run.kept.hold = False
    run.kept.let_go()
    await running
    assert run.outcomes == {"delivered": 2500}


async def test_reading_waits_while_too_many_bytes_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line counts with its envelope; it goes on as results are written."""
    monkeypatch.setattr("batcher.flow.room.HELD_BYTES", 200_000)
    large = [record(number) | {"ErrorMsg": "x" * 20_000} for number in range(1, 41)]
    run = Run(large, settings(), told=Told(good))
    run.kept.hold = True
    running = asyncio.create_task(run())
    await settled(lambda: (run.pipeline.records, len(run.results)))
    assert run.pipeline.records == 5
    run.kept.let_go()
    await settled(lambda: (run.pipeline.records, len(run.results)))
    assert run.pipeline.records == 10
    run.kept.hold = False
    run.kept.let_go()
    await running
    assert run.outcomes == {"delivered": 40}


async def test_many_connections_are_kept_busy() -> None:
    """More records are held where the usual number could not do it."""
    told = Told(never)
    run = Run(records(4000), settings(connections=600, concurrency=600, drain_timeout=0.0), told=told)
    running = asyncio.create_task(run())
    await settled(lambda: (run.pipeline.records, told.open))
    assert (run.pipeline.records, told.open) == (2400, 600)
    run.drain()
    await running
    assert run.outcomes == {"in_doubt": 600, "unsent": run.pipeline.records - 600}


# Inputs


async def test_no_record_at_all_is_a_run_too() -> None:
    """It ends, with nothing sent, not even a login."""
    told = Told(good)
    run = await Run([], settings(email="me", password=Secret("pw")), told=told)()
    assert (run.results, run.exit_codes, told.sent) == ([], [], [])


async def test_lines_that_cannot_become_records_are_invalid_and_never_sent() -> None:
    """Each has its result with the reason, and the others are sent."""
    told = Told(good)
    lines = [b"{", line_of(record(2)), b"[]", line_of(record(4) | {"Nonsense": 1}), b"null", b"\xff", b"x" * 2000]
    run = await Run(lines, settings(max_line_bytes=1000), told=told)()
    kinds = {result.line: result.problem and result.problem.kind for result in run.results}
    assert kinds == {
        1: "malformed_json",
        2: None,
        3: "not_an_object",
        4: "unknown_field",
        5: "not_an_object",
        6: "not_utf8",
        7: "line_too_long",
    }
    assert told.sent == ["S-2"]


async def test_an_input_that_fails_ends_the_run_after_all_that_was_read() -> None:
    """Exit code 9, and every record before the failure is delivered."""

    def source() -> Iterator[dict[str, Any]]:
        yield from records(700)
        raise OSError("the tape broke")

    run = await Run(source(), settings(), told=Told(good))()
    assert run.exit_codes == [InputFailed.exit_code] == [9]
    assert "the tape broke" in run.pipeline.endings[0].reason
    assert run.outcomes == {"delivered": 700}


async def test_a_truncated_file_ends_the_run_after_all_that_was_read(tmp_path: Path) -> None:
    """The same for a gzip file that is cut."""
    whole = gzip.compress(b"".join(map(line_of, records(2000))), 1)
    path = tmp_path / "records.gz"
    path.write_bytes(whole[: len(whole) // 2])
    source = FileSource([str(path)], max_line_bytes=10_000)
    run = await Run((), settings(), told=Told(good), source=source)()
    assert run.exit_codes == [9]
    assert run.outcomes == {"delivered": run.pipeline.records}
    assert run.pipeline.records > 500
    assert run.pipeline.last is not None
    assert run.pipeline.last.number == run.pipeline.records


# Outputs


async def test_results_that_cannot_be_written_end_the_run_and_nothing_more_is_sent() -> None:
    """What is in flight ends; exit code 9."""
    told = Told(good)
    sink = FileSink(LineFile("/dev/full"), None)
    run = Run(records(5000), settings(), sink=sink, told=told)
    await run.pipeline.run()
    assert run.exit_codes == [9]
    assert "/dev/full" in run.pipeline.endings[0].reason
    assert run.tally.records == run.pipeline.records == run.tally.input_records < 5000
    ended = run.tally.outcomes
    assert len(told.sent) == sum(run.tally.attempts.values()) == ended[Outcome.DELIVERED] < 5000
    assert ended[Outcome.UNSENT] == run.tally.records - ended[Outcome.DELIVERED]
    assert run.pipeline.submitter.gate.in_flight == 0
