"""Records from iterables: the same lines that a file with them would give."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batcher.errors import InputFailed
from batcher.flow.lines import BATCH_BYTES, BATCH_LINES
from batcher.flow.source import FileSource, IterableSource, Line, Source

LIMIT = 1 << 20


async def everything(source: Source) -> list[Line]:
    lines: list[Line] = []
    while batch := await source.read():
        lines += batch
    await source.close()
    return lines


async def asynchronous(items: list[object]) -> AsyncIterator[object]:
    for item in items:
        yield item
        await asyncio.sleep(0)


@pytest.mark.parametrize("shape", ["plain", "asynchronous"])
async def test_each_item_is_one_line(shape: str) -> None:
    """Dicts become JSON, text and bytes are JSON already; blank items count and are left out."""
    items: list[object] = [
        {"SourceID": "é", "At": datetime(2024, 2, 29, 1, 2, 3, tzinfo=UTC)},
        '\ufeff{"a":1}\r\n',
        " \n",
        b"{}\n",
        '{"a":\n[1]}\n',
        '{"a":"\n"}',
        "\ud800",
        [1],
    ]
    source = IterableSource(items if shape == "plain" else asynchronous(items), max_line_bytes=LIMIT)
    lines = await everything(source)
    texts = [
        '{"SourceID":"é","At":"2024-02-29T01:02:03+00:00"}'.encode(),
        '\ufeff{"a":1}'.encode(),  # a mark is skipped at the very beginning only
        b"{}",
        b'{"a": [1]}',
        b'{"a":"\n"}',  # not JSON: left as it is, to be judged
        b"\xed\xa0\x80",
        b"[1]",
    ]
    assert [(line.raw, line.number) for line in lines] == list(zip(texts, [1, 2, 4, 5, 6, 7, 8], strict=True))
    assert lines[0].hash == hashlib.blake2b(texts[0], digest_size=8).hexdigest()
    assert {(line.input, line.problem) for line in lines} == {(None, None)}
    assert (source.total_bytes, source.bytes_read) == (None, sum(map(len, texts)))


async def test_an_open_file_gives_what_its_path_gives(tmp_path: Path) -> None:
    """Walking a file's lines, as bytes, is the same as naming it."""
    path = tmp_path / "in"
    path.write_bytes(b'\xef\xbb\xbf{"a":1}\r\n\n{"b":2}\n' + b"x" * 99)
    with path.open("rb") as stream:
        given = await everything(IterableSource(stream, max_line_bytes=50))
    read = await everything(FileSource([str(path)], max_line_bytes=50))
    assert [(line.raw, line.number, line.hash, line.size, str(line.problem)) for line in given] == [
        (line.raw, line.number, line.hash, line.size, str(line.problem)) for line in read
    ]


async def test_what_cannot_be_json_is_a_problem_of_its_record() -> None:
    """Values that JSON does not have make one record invalid and end nothing; wider ones are left to be judged."""
    items: list[object] = [{"a": object()}, {"a": 1 << 70}, {"a": "\ud800"}, {1: 2}]
    lines = await everything(IterableSource(items, max_line_bytes=LIMIT))
    assert [line.raw for line in lines] == [b"", b'{"a": 1180591620717411303424}', b'{"a": "\\ud800"}', b'{"1": 2}']
    assert [line.problem and line.problem.kind for line in lines] == ["wrong_type", None, None, None]
    assert str(lines[0].problem).startswith("line 1: the record cannot be written as JSON: Object of type object is")


@pytest.mark.parametrize(
    ("skip", "limit", "numbers"), [(0, 0, []), (1, 1, [3]), (2, None, [4, 5]), (0, 3, [1, 3, 4]), (4, 1, [])]
)
async def test_skip_and_limit_count_records(skip: int, limit: int | None, numbers: list[int]) -> None:
    """Blank items do not count; after the limit nothing more is asked for."""
    asked = []

    def items() -> Iterator[str]:
        for number, item in enumerate(["a", "", "b", "c", "d"], 1):
            asked.append(number)
            yield item

    lines = await everything(IterableSource(items(), max_line_bytes=LIMIT, skip=skip, limit=limit))
    assert [line.number for line in lines] == numbers
    assert asked == list(range(1, (numbers[-1] if limit and numbers else 5 if limit != 0 else 0) + 1))


@pytest.mark.parametrize(("size", "most"), [(1, BATCH_LINES), (1000, BATCH_BYTES // 1000 + 1)])
async def test_an_iterable_is_walked_a_batch_ahead_and_no_further(size: int, most: int) -> None:
    """An endless iterable is asked for no more than one batch that nobody has taken."""
    asked = 0

    def endless() -> Iterator[bytes]:
        nonlocal asked
        while True:
            asked += 1
            yield b"x" * size

    source = IterableSource(endless(), max_line_bytes=LIMIT)
    taken = 0
    for _ in range(5):
        taken += len(await source.read())
        await asyncio.sleep(0)
        assert taken <= asked <= taken + most
    await source.close()
    assert await source.read() == []


async def test_an_asynchronous_iterable_is_handed_out_as_it_comes_and_ended_by_stop() -> None:
    """A record is there before the next one exists; stop wakes the waiting reader and ends the iteration."""
    ended = asyncio.Event()

    async def silent() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            ended.set()

    source = IterableSource(silent(), max_line_bytes=LIMIT)
    assert [line.raw for line in await source.read()] == [b"a"]
    waiting = asyncio.ensure_future(source.read())
    await asyncio.sleep(0)
    source.stop()
    assert await waiting == []
    await source.close()
    assert ended.is_set()


async def test_an_error_of_the_iterable_comes_after_its_records() -> None:
    """What was given before is handed out, then the run cannot go on; the caller's error is the cause."""

    def broken() -> Iterator[str]:
        yield "a"
        raise KeyError("gone")

    source = IterableSource(broken(), max_line_bytes=LIMIT)
    assert [line.raw for line in await source.read()] == [b"a"]
    with pytest.raises(InputFailed, match="the records given failed after record 1: KeyError: 'gone'") as caught:
        await source.read()
    assert isinstance(caught.value.__cause__, KeyError)
    await source.close()


async def test_a_single_record_or_a_path_is_refused() -> None:
    """Walking the characters of a path or the keys of a record is never what was meant."""
    for mistake in ("in.ndjson", b"{}", {"SourceID": "S-1"}):
        with pytest.raises(TypeError, match="must be an iterable of records, not one"):
            IterableSource(mistake, max_line_bytes=LIMIT)


async def test_closing_before_reading_asks_for_nothing() -> None:
    """A source that was never read starts nothing, and closing twice is fine."""
    source = IterableSource(iter(["a"]), max_line_bytes=LIMIT)
    await source.close()
    await source.close()
    assert await source.read() == []
