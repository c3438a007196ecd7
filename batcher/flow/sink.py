"""Where results go: to files and pipes, as lines, in finishing order.

Lines are gathered for a moment and written by a thread, so that neither a slow disk nor a slow reader of our results
blocks the event loop; who reads slowly slows the reading of records instead, because a record counts as held until its
line is written.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from batcher.core.result import Result
from batcher.core.verdict import Outcome
from batcher.flow.output import LineFile

_DELIVERED = Outcome.DELIVERED
_PAUSE = 0.05
"""Seconds for which lines are gathered; a line is to be out within 0.2 s."""


class Sink(Protocol):
    """Takes the results of a run."""

    def put(self, result: Result, size: int) -> None:
        """Take a result; *size* is what ``written`` is to be told of it."""
        ...

    async def run(self, written: Callable[[int, int], None]) -> None:
        """Write what is put, until ``finish`` was called and all is out.

        Args:
            written: is told after each write how many results are out, and the sum of their sizes.

        Raises:
            OutputFailed: they cannot be written.
        """
        ...

    def finish(self) -> None:
        """Nothing more will be put."""
        ...


class FileSink:
    """Writes result lines, and the lines of what was not delivered.

    Args:
        results: takes every result line, or None.
        rejects: takes those that are not delivered, with their records, or None.
    """

    def __init__(self, results: LineFile | None, rejects: LineFile | None) -> None:
        self._results = results
        self._rejects = rejects
        self._lines: list[bytes] = []
        self._rejected: list[bytes] = []
        self._count = 0
        self._size = 0
        self._something = asyncio.Event()
        self._finished = False

    def put(self, result: Result, size: int) -> None:
        """Take a result."""
        if self._results is not None:
            self._lines.append(result.to_json())
        if self._rejects is not None and result.outcome is not _DELIVERED:
            self._rejected.append(result.to_reject())
        self._count += 1
        self._size += size
        if self._count == 1:
            self._something.set()

    def finish(self) -> None:
        """Nothing more will be put."""
        self._finished = True
        self._something.set()

    async def run(self, written: Callable[[int, int], None]) -> None:
        """Write what is put, a moment after it is put."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "results") as thread:
            try:
                while not (self._finished and not self._count):
                    await self._something.wait()
                    if not self._finished:
                        await asyncio.sleep(_PAUSE)
                    self._something.clear()
                    lines, rejected, count, size = self._take()
                    await loop.run_in_executor(thread, self._write, lines, rejected)
                    written(count, size)
                    if self._finished:
                        self._something.set()
            except asyncio.CancelledError:
                # The run breaks off: what is known is still written, behind what the thread is about to write.
                thread.submit(self._write, *self._take()[:2]).result()
                raise
            finally:
                self._close()

    def _close(self) -> None:
        with contextlib.ExitStack() as stack:
            for file in (self._results, self._rejects):
                if file is not None:
                    stack.callback(file.close)

    def _take(self) -> tuple[bytes, bytes, int, int]:
        taken = b"".join(self._lines), b"".join(self._rejected), self._count, self._size
        self._lines.clear()
        self._rejected.clear()
        self._count = self._size = 0
        return taken

    def _write(self, lines: bytes, rejected: bytes) -> None:
        if self._results is not None:
            self._results.write(lines)
        if self._rejects is not None:
            self._rejects.write(rejected)


class QueueSink:
    """Hands results to a program, one by one; a record counts as held until its result was taken."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[Result, int] | None] = asyncio.Queue()
        self._written: Callable[[int, int], None] | None = None
        self._drained = asyncio.Event()

    def put(self, result: Result, size: int) -> None:
        """Take a result."""
        self._queue.put_nowait((result, size))

    def finish(self) -> None:
        """Nothing more will be put."""
        self._queue.put_nowait(None)

    async def run(self, written: Callable[[int, int], None]) -> None:
        """Wait until all results were taken."""
        self._written = written
        await self._drained.wait()

    async def take(self) -> Result | None:
        """The next result, or None behind the last one."""
        item = await self._queue.get()
        if item is None:
            self._drained.set()
            return None
        result, size = item
        if self._written is not None:
            self._written(1, size)
        return result
