"""``submit`` and ``Settings`` for programs: the same run, its results as values."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from batcher import Result, Settings, submit
from batcher.errors import InputFailed, RunAborted, SettingsError
from batcher.sandbox import Sandbox, SandboxSettings
from tests.e2e.program import lines, record


@pytest.fixture
async def service() -> AsyncIterator[Sandbox]:
    """In this very event loop."""
    async with Sandbox() as running:
        yield running


async def gather(found: list[Result], results: AsyncIterator[Result]) -> None:
    """Keep what came, also where an error follows."""
    async for result in results:
        found.append(result)  # noqa: PERF401 - a comprehension would lose all of it


async def collect(records: Any, settings: Settings) -> list[Result]:
    return sorted([result async for result in submit(records, settings)], key=lambda result: result.line)


async def test_whatever_records_are(service: Sandbox) -> None:
    """Objects, lines of text and bytes, an open file, and what comes one by one: each gives its result."""
    settings = Settings(endpoint=service.url)

    async def slowly() -> AsyncIterator[dict[str, Any]]:
        for number in (1, 2):
            await asyncio.sleep(0)
            yield record(number)

    text = json.dumps(record(1)), json.dumps(record(2), indent=2)
    given = [
        [record(1), record(2)],
        text,
        [line.encode() for line in text],
        lines(record(1), record(2)).splitlines(),
        slowly(),
    ]
    for records in given:
        results = await collect(records, settings)
        assert [(result.line, result.outcome, result.key) for result in results] == [
            (1, "delivered", "S-1"),
            (2, "delivered", "S-2"),
        ]
        assert [result.answer and result.answer["VeetroID"] for result in results] == [1, 2]
    assert service.stats().applied == {"S-1": 5, "S-2": 5}


async def test_bad_records(service: Sandbox) -> None:
    """A record that cannot be sent is a result and no error."""
    results = await collect([{}, record(2), "[]", record(4, VeetroID=None)], Settings(endpoint=service.url))
    assert [result.problem and result.problem.kind for result in results] == [
        "missing_field", None, "not_an_object", "missing_field",
    ]  # fmt: skip
    assert json.loads(results[0].to_json())["outcome"] == "invalid"


async def test_results_come_while_records_come(service: Sandbox) -> None:
    """Each result can be waited for before the next record is given."""
    delivered = asyncio.Event()

    async def in_turn() -> AsyncIterator[dict[str, Any]]:
        for number in range(1, 4):
            yield record(number)
            await delivered.wait()
            delivered.clear()

    keys = []
    async for result in submit(in_turn(), Settings(endpoint=service.url)):
        keys.append(result.key)
        delivered.set()
    assert keys == ["S-1", "S-2", "S-3"]


async def test_who_wants_no_more(service: Sandbox) -> None:
    """Leaving the loop and closing the results ends the run: no more records are asked for, and few were sent."""
    asked = []

    def endless() -> Iterator[dict[str, Any]]:
        for number in itertools.count(1):
            asked.append(number)
            yield record(number)

    async with contextlib.aclosing(submit(endless(), Settings(endpoint=service.url))) as results:
        async for result in results:
            assert result.outcome == "delivered"
            break
    count = len(asked)
    await asyncio.sleep(0)
    assert len(asked) == count
    assert 1 <= sum(service.stats().applied.values()) <= count < 10_000


async def test_runs_that_end_early() -> None:
    """An unusable service raises after the last result, with the exit code; so do records that fail underway."""
    settings = Settings(endpoint="http://127.0.0.1:9/xml", max_outage=0.2)
    results: list[Result] = []
    with pytest.raises(RunAborted) as caught:
        await gather(results, submit([record(1)], settings))
    assert caught.value.exit_code == 7
    assert [result.outcome for result in results] == ["unsent"]

    def failing() -> Any:
        yield record(1)
        raise OSError("the disk is gone")

    async with Sandbox(SandboxSettings()) as service:
        with pytest.raises(RunAborted, match="the disk is gone") as broken:
            await collect(failing(), Settings(endpoint=service.url))
    assert broken.value.exit_code == InputFailed.exit_code
    assert service.stats().applied == {"S-1": 1}


async def test_settings_that_make_no_sense(tmp_path: Path) -> None:
    """They raise before anything is sent, in words that fit the program's options."""
    missing = str(tmp_path / "missing")
    for settings in (Settings(), Settings(endpoint="http://127.0.0.1:9/", ca_file=missing)):
        with pytest.raises(SettingsError):
            await collect([record(1)], settings)
    with pytest.raises(SettingsError, match="--connections"):
        Settings(connections=0)
