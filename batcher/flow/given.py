"""Records that a program gives us, as the same numbered lines that files are made of."""

from __future__ import annotations

import asyncio
import codecs
import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from time import monotonic

import orjson

from batcher.core.shard import KeyShard
from batcher.errors import InputFailed, RecordError
from batcher.flow.lines import BATCH_BYTES, BATCH_LINES, Line, is_in, make_line

_STEP_SECONDS = 0.005  # how long a plain iterable may keep the event loop to itself


class IterableSource:
    """Lines of an iterable: each item is one record, numbered from 1.

    A plain iterable is walked on the event loop, where the caller's own code runs too: one that waits for something
    should be an asynchronous one. Both are walked only as far as a batch ahead of what was taken.

    Args:
        records: items that are text or bytes hold the record's JSON; a line end after it is no part of it, and blank
            ones are counted and left out, so that an open file will do. LFs between the tokens become spaces, for a
            record is one line. Any other item, a dict as a rule, is written as JSON; dates in it as ISO 8601.
        max_line_bytes: a longer record is handed out as a problem.
        skip: leave out so many records at the beginning.
        limit: hand out only so many.
        shard: leave out all but those that it takes, before any are skipped or counted.

    Attributes:
        total_bytes: None: nobody knows.
        bytes_read: size of what was handed out.

    Raises:
        TypeError: *records* is one record, or a path, rather than an iterable of records.
    """

    total_bytes: int | None = None

    def __init__(
        self,
        records: Iterable[object] | AsyncIterable[object],
        *,
        max_line_bytes: int,
        skip: int = 0,
        limit: int | None = None,
        shard: KeyShard | None = None,
    ) -> None:
        if isinstance(records, (str, bytes, bytearray, Mapping)):
            raise TypeError(f"records must be an iterable of records, not one {type(records).__name__}")
        self.bytes_read = 0
        self._records = records
        self._max_line_bytes = max_line_bytes
        self._skip = skip
        self._limit = limit
        self._shard = shard
        self._batch: list[Line] = []
        self._batch_bytes = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._walk: asyncio.Task[None] | None = None
        self._stopped = False

    async def read(self) -> list[Line]:
        """The next records, at least one; none at the end or once stopped.

        Raises:
            InputFailed: the iterable raised an error, which is the cause; all before it was handed out.
        """
        if self._walk is None and not self._stopped:
            self._walk = asyncio.create_task(self._fill(), name="veetro-batch records")
            self._walk.add_done_callback(lambda _: self._changed.set())
        while not self._stopped and self._walk is not None:
            self._changed.clear()
            if self._batch:
                return self._take()
            if self._walk.done():
                self._walk.result()
                break
            await self._changed.wait()
        return []

    def stop(self) -> None:
        """Hand out nothing more, and end the iteration by cancelling it where it waits."""
        self._stopped = True
        self._batch = []
        if self._walk is not None:
            self._walk.cancel()
        self._changed.set()

    async def close(self) -> None:
        """Stop, and wait until the iteration has ended."""
        self.stop()
        if self._walk is not None:
            await asyncio.wait([self._walk])
            if not self._walk.cancelled():
                self._walk.exception()  # nobody wants it any more

    def _take(self) -> list[Line]:
        batch, self._batch = self._batch, []
        self.bytes_read += self._batch_bytes
        self._batch_bytes = 0
        self._room.set()
        return batch

    async def _fill(self) -> None:
        number = 0
        try:
            async for line in self._lines():
                number = line.number
                self._batch.append(line)
                self._batch_bytes += line.size
                self._changed.set()
                while len(self._batch) >= BATCH_LINES or self._batch_bytes >= BATCH_BYTES:
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:
            text = f"the records given failed after record {number}: {type(error).__name__}: {error}"
            raise InputFailed(text) from error

    async def _lines(self) -> AsyncIterator[Line]:
        skip, left = self._skip, self._limit
        if left == 0:
            return
        number = offset = 0
        async for item in _each(self._records):
            number += 1
            raw, problem = _encode(item)
            if number == 1:
                raw = raw.removeprefix(codecs.BOM_UTF8)
            begin, offset = offset, offset + len(raw) + 1
            if problem is None and not raw.strip(b" \t\r\n"):
                continue
            line = make_line(raw, number, begin, self._max_line_bytes)
            if self._shard is not None and not is_in(self._shard, line):
                continue
            if skip:
                skip -= 1
                continue
            yield line if problem is None else line._replace(problem=RecordError("wrong_type", problem, line=number))
            if left is not None:
                left -= 1
                if left == 0:
                    return


async def _each(records: Iterable[object] | AsyncIterable[object]) -> AsyncIterator[object]:
    if isinstance(records, AsyncIterable):
        async for item in records:
            yield item
        return
    until = monotonic() + _STEP_SECONDS
    for item in records:
        yield item
        if monotonic() >= until:
            await asyncio.sleep(0)
            until = monotonic() + _STEP_SECONDS


def _encode(item: object) -> tuple[bytes, str | None]:
    """The item's line, and why it is none where it cannot be one."""
    if isinstance(item, str):
        return _one_line(item.encode(errors="surrogatepass")), None  # judged later, as bytes that are not UTF-8
    if isinstance(item, (bytes, bytearray, memoryview)):
        return _one_line(bytes(item)), None
    try:
        return orjson.dumps(item), None
    except orjson.JSONEncodeError:
        pass
    try:
        # Wider: integers beyond 64 bits and lone surrogates, which are then judged as they are in a file.
        return json.dumps(item).encode(), None
    except (TypeError, ValueError, RecursionError) as error:
        return b"", f"the record cannot be written as JSON: {error}"


def _one_line(text: bytes) -> bytes:
    if text.endswith(b"\n"):
        text = text[:-1].removesuffix(b"\r")
    if b"\n" not in text:
        return text
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return text.replace(b"\n", b" ")  # in JSON that is valid, an LF can only stand between tokens
