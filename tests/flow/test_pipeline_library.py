"""The library's entry point: one result for each record, for programs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest

import batcher
from batcher.core.result import Result
from batcher.flow.room import HELD_RECORDS
from batcher.run import submit
from batcher.sandbox import Sandbox, SandboxSettings
from batcher.settings import Settings
from tests.flow.runs import line_of, record, records, settings, settled

pytestmark = pytest.mark.usefixtures("hurried", "no_task_is_left")


async def collect(given: Any, chosen: Settings) -> list[Result]:
    return [result async for result in submit(given, chosen)]


async def test_a_program_gets_one_result_for_each_record() -> None:
    """Dicts and lines, from plain and asynchronous iterables."""

    async def asynchronous() -> AsyncIterator[bytes]:
        for number in range(101, 151):
            yield line_of(record(number))

    async with Sandbox() as sandbox:
        first = await collect(records(100), settings(sandbox.url))
        second = await collect(asynchronous(), settings(sandbox.url))
        assert sorted(result.line for result in first) == list(range(1, 101))
        assert sorted(str(result.key) for result in second) == sorted(f"S-{number}" for number in range(101, 151))
        assert {result.outcome.value for result in first + second} == {"delivered"}
        assert set(sandbox.stats().applied.values()) == {1}


async def test_a_ledger_is_refused_rather_than_left_out() -> None:
    """Who gives one relies on it: without it the same records would be sent twice."""
    async with Sandbox() as sandbox:
        with pytest.raises(batcher.SettingsError, match=r"^--ledger: .* are sent without one; .* the command"):
            await collect(records(3), settings(sandbox.url, ledger="/nowhere/ledger"))
        assert sandbox.stats().requests == 0


async def test_two_runs_in_one_loop_do_not_disturb_each_other() -> None:
    """Each has its own records, service and connections."""
    async with Sandbox() as one, Sandbox(SandboxSettings(faults={"deadlock": 0.2})) as other:
        results = await asyncio.gather(
            collect(records(80), settings(one.url)), collect(records(50), settings(other.url, max_attempts=100))
        )
        assert [len(each) for each in results] == [80, 50]
        assert sum(one.stats().applied.values()) == 80
        assert sum(other.stats().applied.values()) == 50


async def test_a_program_that_reads_slowly_slows_the_reading() -> None:
    """No more is held for it than for a file."""
    given = 0

    def source() -> Iterator[dict[str, Any]]:
        nonlocal given
        for number in range(1, 3001):
            given = number
            yield record(number)

    async with Sandbox() as sandbox:
        results = submit(source(), settings(sandbox.url))
        await anext(results)
        await settled(lambda: (given, sandbox.stats().requests))
        assert given <= HELD_RECORDS + 1 + 2 * 512
        assert sandbox.stats().requests <= HELD_RECORDS + 1
        rest = [result async for result in results]
        assert len(rest) == 2999


@pytest.mark.parametrize("how", ["break", "error", "cancelled"])
async def test_a_program_that_wants_no_more_ends_the_run(how: str) -> None:
    """However it leaves the loop, the sending stops, and no task or connection stays behind."""

    async def consume(url: str) -> int:
        results = submit(records(3000), settings(url))
        assert isinstance(results, AsyncGenerator)
        async with aclosing(results):
            count = 0
            async for _ in results:
                count += 1
                if count == 5 and how == "error":
                    raise ZeroDivisionError
                if count == 5 and how == "cancelled":
                    task = asyncio.current_task()
                    assert task is not None
                    task.cancel()
                if count == 5 and how == "break":
                    break
        return count

    async with Sandbox() as sandbox:
        task = asyncio.create_task(consume(sandbox.url))
        await asyncio.wait([task])
        if how == "break":
            assert task.result() == 5
        elif how == "error":
            assert isinstance(task.exception(), ZeroDivisionError)
        else:
            assert task.cancelled()
        assert sandbox.stats().requests < 3000
        requests = sandbox.stats().requests
        await settled(lambda: sandbox.stats().requests)
        assert sandbox.stats().requests == requests


async def test_a_program_is_told_why_a_run_ended_early(port: int) -> None:
    """By an exception behind the last result, which carries the exit code."""
    results = submit(records(20), settings(f"http://127.0.0.1:{port}/xml", max_outage=0.05))
    assert [(await anext(results)).outcome.value for _ in range(20)] == ["unsent"] * 20
    with pytest.raises(batcher.RunAborted, match=r"the service was unusable for 0\.05 s") as caught:
        await anext(results)
    assert caught.value.exit_code == 7
