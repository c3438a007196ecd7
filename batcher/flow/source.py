"""Inputs to batches of numbered lines, read ahead by a bounded amount.

Files, pipes, standard input and objects are read by one thread: a descriptor that we share with ``cat`` or the shell
is never made non-blocking. Lines are handed out as soon as they are whole; while nobody takes them they gather to a
batch, and when that is full the thread waits, and so does the writer of a pipe.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from typing import BinaryIO, Protocol

from batcher.core.shard import KeyShard, LineShard, Part, RangeShard
from batcher.errors import InputFailed, SettingsError
from batcher.flow.given import IterableSource
from batcher.flow.inputs import STDIN, FileInput, Input, Stopped, Unreadable, descriptor
from batcher.flow.lines import BATCH_BYTES, BATCH_LINES, Line, Splitter
from batcher.flow.objects import ObjectInput, is_object
from batcher.flow.parts import read_part, refuse_without_ranges
from batcher.flow.unpacking import unpacked

__all__ = ["FileSource", "IterableSource", "Line", "Source"]

_CLOSE_SECONDS = 1.0  # for a read that nothing can wake (a dead network file system): its thread ends with the process


class Source(Protocol):
    """Where lines come from. For one reader.

    Attributes:
        total_bytes: the size of all inputs as they are stored, or None where one has no known size.
        bytes_read: how far the lines that were handed out reach into that.
    """

    total_bytes: int | None
    bytes_read: int

    async def read(self) -> list[Line]:
        """The next lines, at least one; none at the end.

        Raises:
            InputFailed: an input cannot be read to its end; every whole line before that was handed out.
        """

    def stop(self) -> None:
        """Hand out nothing more: a waiting ``read`` returns at once, with no lines. To be called on the event loop."""

    async def close(self) -> None:
        """Stop, and let go of the inputs."""


class FileSource:
    """Lines of files, pipes, standard input and objects, one input after another.

    Every path is checked at once, so that a typo in the last one is found before anything is sent; each is opened only
    when its turn comes.

    Args:
        paths: paths, addresses of objects, and ``-`` for standard input.
        max_line_bytes: a longer line is handed out as a problem and is never held whole.
        skip: leave out so many lines at the beginning, over all inputs; blank ones do not count.
        limit: hand out only so many lines.
        stdin: what ``-`` means, as a descriptor or a stream that has one; by default descriptor 0.
        shard: leave out all lines but those that it takes, before any are skipped or counted.

    Attributes:
        cut: the sizes by which the inputs were cut into ranges, as text; None where they were not.

    Raises:
        InputFailed: an input does not exist, is a directory, or may not be read.
        SettingsError: standard input is named twice, an input has no ranges, or what reads objects is not installed.
    """

    def __init__(
        self,
        paths: Sequence[str],
        *,
        max_line_bytes: int,
        skip: int = 0,
        limit: int | None = None,
        stdin: BinaryIO | int | None = None,
        shard: LineShard | None = None,
    ) -> None:
        if paths.count(STDIN) > 1:
            raise SettingsError("INPUT", "- is named twice", "standard input can be read only once")
        fd = descriptor(stdin) if STDIN in paths else -1
        self._inputs = [_find(path, fd) for path in paths]
        self._max_line_bytes = max_line_bytes
        self._skip = skip
        self._limit = limit
        sizes = [given.size for given in self._inputs]
        known = [size for size in sizes if size is not None]
        self.total_bytes = sum(known) if len(known) == len(sizes) else None
        self.cut: str | None = None
        self._parts: list[Part | None] = [None] * len(sizes)
        self._keys = shard if isinstance(shard, KeyShard) else None
        if isinstance(shard, RangeShard):
            for given in self._inputs:
                refuse_without_ranges(given)
            parts = [shard.part(size) for size in known]
            self.total_bytes = sum(part.end - part.begin for part in parts)
            self.cut = ",".join(map(str, known))
            self._parts[:] = parts
        self.bytes_read = 0
        self._raw_bytes = 0  # read by the thread, perhaps not handed out
        self._thread: threading.Thread | None = None
        self._wake: tuple[int, int] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        # Between thread and reader, under this condition:
        self._shelf = threading.Condition()
        self._batch: list[Line] = []
        self._batch_bytes = 0
        self._reach = 0  # raw bytes that were read when the batch got its last line
        self._stopped = False
        self._ended = False
        self._failure: BaseException | None = None

    def take_by(self, shard: KeyShard) -> None:
        """Hand out the lines that *shard* takes; before any are read."""
        self._keys = shard

    async def read(self) -> list[Line]:
        """The next lines, at least one; none at the end or once stopped."""
        if self._thread is None and not self._stopped:
            self._start()
        while not self._stopped:
            with self._shelf:
                self._changed.clear()
                if self._batch:
                    return self._take()
                if self._ended:
                    self.bytes_read = self._raw_bytes
                    break
            await self._changed.wait()
        if self._failure is not None and not self._stopped:
            raise self._failure
        return []

    def stop(self) -> None:
        """Hand out nothing more; what was read ahead is dropped."""
        if self._stopped:
            return
        with self._shelf:
            self._stopped = True
            self._batch = []
            self._shelf.notify()
            if self._wake is not None and not self._ended:
                os.write(self._wake[1], b"\0")
        self._changed.set()

    async def close(self) -> None:
        """Stop, and wait until the thread has closed its input."""
        self.stop()
        if self._thread is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                while not self._ended:
                    self._changed.clear()
                    await self._changed.wait()

    def _start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._wake = os.pipe()
        self._thread = threading.Thread(target=self._run, args=(self._wake,), name="veetro-batch input", daemon=True)
        self._thread.start()

    def _take(self) -> list[Line]:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        self.bytes_read = self._reach
        self._shelf.notify()
        return batch

    # What follows runs in the thread.

    def _run(self, wake: tuple[int, int]) -> None:
        failure: BaseException | None = None
        try:
            with closing(self._selected(wake[0])) as batches:
                for lines in batches:
                    self._put(lines)
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - nothing may be lost: it is raised where the lines are awaited
            failure = error
        with self._shelf:
            self._failure = failure
            self._ended = True
            for end in wake:
                os.close(end)
        self._tell()

    def _put(self, lines: list[Line]) -> None:
        """Add *lines* to the batch that waits, or wait until it is taken where there is no room in it."""
        size = sum(line.size for line in lines)
        with self._shelf:
            while not self._stopped and self._batch and not self._has_room(len(lines), size):
                self._shelf.wait()
            if self._stopped:
                raise Stopped
            self._batch += lines
            self._batch_bytes += size
            self._reach = self._raw_bytes
        self._tell()

    def _has_room(self, lines: int, size: int) -> bool:
        return len(self._batch) + lines <= BATCH_LINES and self._batch_bytes + size <= BATCH_BYTES

    def _tell(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._changed.set)

    def _selected(self, wake: int) -> Generator[list[Line], None, None]:
        """The lines of all inputs without those to skip, and no more than wanted."""
        skip, left = self._skip, self._limit
        if left == 0:
            return
        for given, part in zip(self._inputs, self._parts, strict=True):
            with closing(self._lines(given, part, wake)) as batches:
                for batch in batches:
                    lines = batch[skip:]
                    skip -= len(batch) - len(lines)
                    if left is not None:
                        lines = lines[:left]
                        left -= len(lines)
                    if lines:
                        yield lines
                    if left == 0:
                        return

    def _lines(self, given: Input, part: Part | None, wake: int) -> Generator[list[Line], None, None]:
        name = given.name if len(self._inputs) > 1 else None
        splitter = Splitter(name, self._max_line_bytes, self._keys, within=part is not None)
        try:
            with closing(self._pieces(given, part, wake, splitter)) as pieces:
                for piece in pieces:
                    yield from splitter.feed(piece)
            yield splitter.finish()
        except Unreadable as error:
            raise InputFailed(_report(given, splitter, error)) from error

    def _pieces(self, given: Input, part: Part | None, wake: int, splitter: Splitter) -> Generator[bytes, None, None]:
        if part is not None:
            yield from read_part(given, part, wake, self._count, splitter.begin_at)
            return
        with closing(given.chunks(wake)) as chunks:
            yield from unpacked(chunks, self._count)

    def _count(self, size: int) -> None:
        self._raw_bytes += size


def _find(path: str, stdin: int) -> Input:
    return ObjectInput(path) if is_object(path) else FileInput(path, stdin)


def _report(given: Input, splitter: Splitter, error: Unreadable) -> str:
    """What is wrong with an input, up to where it was read, and what to do."""
    cut = f"; line {splitter.number + 1} is not whole and was left out" if splitter.unfinished else ""
    return (
        f"{given.title}: {error}; it was read up to the end of line {splitter.number} "
        f"(byte {splitter.offset:,} of its text){cut}. Mend it or get a whole copy, then run again: "
        "with the same --ledger the run goes on from there, without one --skip leaves out what was read"
    )
