"""Results on their way out: to files and pipes, and to a program."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from batcher.core.result import Result
from batcher.core.verdict import Outcome, Problem
from batcher.errors import OutputFailed
from batcher.flow.output import LineFile
from batcher.flow.sink import FileSink, QueueSink
from tests.flow.runs import until


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batcher.flow.sink._PAUSE", 0.001)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """A pipe in the place of standard output: its two ends."""
    reading, writing = os.pipe()
    real = os.dup
    monkeypatch.setattr("os.dup", lambda fd: real(writing if fd == 1 else fd))
    yield reading, writing
    for fd in (reading, writing):
        try:
            os.close(fd)
        except OSError:
            continue


def made(line: int, outcome: Outcome = Outcome.DELIVERED, raw: bytes = b'{"SourceID":"a"}') -> Result:
    problem = None if outcome is Outcome.DELIVERED else Problem("client_fault", "no")
    return Result(line, outcome, "a", 1, 0.5, "00", b"{}" if problem is None else b"", problem, raw=raw)


class Written:
    """Hears what is out; ``reached`` waits for so many."""

    def __init__(self) -> None:
        self.count = 0
        self.size = 0
        self._more = asyncio.Event()

    def __call__(self, count: int, size: int) -> None:
        self.count += count
        self.size += size
        self._more.set()

    async def reached(self, count: int) -> None:
        while self.count < count:
            self._more.clear()
            await self._more.wait()


async def test_every_result_is_a_line_and_the_rest_are_rejects_too(tmp_path: Path) -> None:
    """In the order in which they were put; rejects carry their record; all is told once it is out."""
    sink = FileSink(LineFile(str(tmp_path / "results")), LineFile(str(tmp_path / "rejects")))
    written = Written()
    running = asyncio.create_task(sink.run(written))
    for line in range(1, 6):
        sink.put(made(line, Outcome.REJECTED if line == 3 else Outcome.DELIVERED), 10)
    await written.reached(5)
    assert (written.count, written.size) == (5, 50)
    results = [orjson.loads(line) for line in (tmp_path / "results").read_bytes().splitlines()]
    assert [result["line"] for result in results] == [1, 2, 3, 4, 5]
    (reject,) = (orjson.loads(line) for line in (tmp_path / "rejects").read_bytes().splitlines())
    assert (reject["line"], reject["record"]) == (3, {"SourceID": "a"})
    sink.put(made(6), 1)
    sink.finish()
    await running
    assert written.count == 6
    assert len((tmp_path / "results").read_bytes().splitlines()) == 6


async def test_what_is_put_just_before_the_end_is_written() -> None:
    """Also where nothing was put at all, and where finish came first."""
    for count in (0, 1, 3):
        for early in (True, False):
            reading, writing = os.pipe()
            file = LineFile(f"/dev/fd/{writing}")
            os.close(writing)
            sink, written = FileSink(file, None), Written()
            running = None if early else asyncio.create_task(sink.run(written))
            await asyncio.sleep(0)
            for line in range(count):
                sink.put(made(line), 1)
            sink.finish()
            await (running or sink.run(written))
            assert len(_read_all(reading)) == written.count == count
            os.close(reading)


async def test_a_reader_that_takes_its_time_blocks_nobody_and_gets_every_line(pipe: tuple[int, int]) -> None:
    """More than a pipe holds: the loop goes on, and nothing counts as written before it is."""
    sink, written = FileSink(LineFile("-"), None), Written()
    os.close(pipe[1])
    running = asyncio.create_task(sink.run(written))
    for line in range(3000):
        sink.put(made(line), 1)
    sink.finish()
    for _ in range(200):
        await asyncio.sleep(0)
    assert written.count == 0
    lines = await asyncio.get_running_loop().run_in_executor(None, _read_all, pipe[0])
    await running
    assert written.count == 3000
    assert [orjson.loads(line)["line"] for line in lines] == list(range(3000))


async def test_a_non_blocking_standard_output_is_waited_for(pipe: tuple[int, int]) -> None:
    """Whoever shares it with us may have made it so: that is no error."""
    fcntl.fcntl(pipe[1], fcntl.F_SETFL, fcntl.fcntl(pipe[1], fcntl.F_GETFL) | os.O_NONBLOCK)
    sink, written = FileSink(LineFile("-"), None), Written()
    os.close(pipe[1])
    for line in range(3000):
        sink.put(made(line), 1)
    sink.finish()
    running = asyncio.create_task(sink.run(written))
    await until(lambda: _waiting(pipe[0]) >= 60_000)
    for _ in range(200):
        await asyncio.sleep(0)
    assert not running.done()
    lines = await asyncio.get_running_loop().run_in_executor(None, _read_all, pipe[0])
    await running
    assert len(lines) == written.count == 3000


def _waiting(fd: int) -> int:
    """Bytes that can be read from a pipe."""
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def _read_all(fd: int) -> list[bytes]:
    with open(fd, "rb", closefd=False) as end:
        return end.read().splitlines()


async def test_a_reader_that_has_left_is_an_error_that_says_so(pipe: tuple[int, int]) -> None:
    """As `| head` does; the files are closed all the same."""
    sink = FileSink(LineFile("-"), None)
    os.close(pipe[1])
    os.close(pipe[0])
    sink.put(made(1), 1)
    with pytest.raises(OutputFailed, match="standard output was closed by its reader"):
        await sink.run(Written())


async def test_a_full_disk_is_an_error_that_names_the_file() -> None:
    """/dev/full refuses every write."""
    sink = FileSink(LineFile("/dev/full"), None)
    sink.put(made(1), 1)
    with pytest.raises(OutputFailed, match="/dev/full cannot be written: No space left on device"):
        await sink.run(Written())


async def test_a_run_that_breaks_off_still_writes_what_is_known(tmp_path: Path) -> None:
    """Behind what is just being written, line by whole line."""
    for steps in range(12):
        path = tmp_path / str(steps)
        sink = FileSink(LineFile(str(path)), None)
        running = asyncio.create_task(sink.run(Written()))
        for line in range(10):
            sink.put(made(line), 1)
            if line < steps:
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert [orjson.loads(line)["line"] for line in path.read_bytes().splitlines()] == list(range(10))


def test_a_file_is_replaced_and_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    """Also where it was there before and open to all."""
    path = tmp_path / "results"
    path.write_text("from another run")
    path.chmod(0o644)
    for name in (path, tmp_path / "new"):
        file = LineFile(str(name))
        file.write(b"line\n")
        file.close()
        assert name.read_bytes() == b"line\n"
        assert stat.S_IMODE(name.stat().st_mode) == 0o600


def test_a_file_that_cannot_be_opened_or_closed_is_an_error_that_names_it(tmp_path: Path) -> None:
    """Some file systems say only at the end that they had no room."""
    with pytest.raises(OutputFailed, match="cannot be written: No such file or directory"):
        LineFile(str(tmp_path / "missing" / "results"))
    file = LineFile(str(tmp_path / "results"))
    os.close(file._fd)
    with pytest.raises(OutputFailed, match="results cannot be written"):
        file.close()


async def test_a_program_gets_each_result_once_and_only_then_it_counts_as_written() -> None:
    """None stands behind the last one, and ends the sink's run."""
    sink, written = QueueSink(), Written()
    running = asyncio.create_task(sink.run(written))
    await asyncio.sleep(0)
    for line in (1, 2):
        sink.put(made(line), 7)
    assert written.count == 0
    first = await sink.take()
    assert first is not None
    assert (first.line, written.count, written.size) == (1, 1, 7)
    sink.finish()
    second = await sink.take()
    assert second is not None
    assert not running.done()
    assert await sink.take() is None
    await running
    assert (written.count, written.size) == (2, 14)


def test_a_run_that_cannot_begin_destroys_nothing(tmp_path: Path) -> None:
    """What a file held before is there until the first line is written, or the run has ended without any."""
    path = tmp_path / "results"
    path.write_bytes(b"earlier\n")
    LineFile(str(path))
    assert path.read_bytes() == b"earlier\n"


def test_two_runs_cannot_write_one_file(tmp_path: Path) -> None:
    """The second is refused, and the lines of the first stay; when that has ended, the file is free."""
    path = tmp_path / "results"
    first = LineFile(str(path))
    first.write(b"line\n")
    with pytest.raises(OutputFailed, match="results is being written by another run"):
        LineFile(str(path))
    assert path.read_bytes() == b"line\n"
    first.close()
    LineFile(str(path)).close()
    assert path.read_bytes() == b""
