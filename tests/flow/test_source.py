"""Reading files, pipes and standard input ahead, in real descriptors."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import gc
import gzip
import os
import select
import shutil
import sys
import tempfile
import threading
import tracemalloc
import tty
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from batcher.errors import InputFailed, SettingsError
from batcher.flow.lines import BATCH_BYTES, BATCH_LINES
from batcher.flow.source import FileSource, Line, Source

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LIMIT = 1 << 20
RECORDS = [b'{"SourceID":"S-%d","CurrentStatus":"NA"}' % number for number in range(3000)]
TEXT = b"\n".join(RECORDS) + b"\n"


async def everything(source: Source) -> tuple[list[Line], str | None]:
    """All lines of a source, and what it says to be wrong; closes it."""
    lines: list[Line] = []
    try:
        while batch := await source.read():
            assert len(batch) <= BATCH_LINES
            assert len(batch) == 1 or sum(line.size for line in batch) <= BATCH_BYTES
            lines += batch
    except InputFailed as error:
        return lines, str(error)
    finally:
        await source.close()
    return lines, None


def remove(path: str) -> None:
    Path(path).unlink()


def raws(lines: list[Line]) -> list[bytes]:
    return [line.raw for line in lines]


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


class Pipe:
    """A pipe of which the test holds the writing end."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        self._open = [self.read_end, self.write_end]

    def write(self, content: bytes) -> None:
        os.write(self.write_end, content)

    def end(self) -> None:
        self._open.remove(self.write_end)
        os.close(self.write_end)

    def close(self) -> None:
        for fd in self._open:
            os.close(fd)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    with closing(Pipe()) as made:
        yield made


@pytest.mark.parametrize(
    "content",
    [TEXT, gzip.compress(TEXT[:999]) + gzip.compress(TEXT[999:]), zstd.compress(TEXT)],
    ids=["plain", "gzip", "zstd"],
)
async def test_a_file_is_read_whole_and_its_size_is_known(tmp_path: Path, content: bytes) -> None:
    """Plain or compressed, a file gives its records; progress is told in bytes as they are stored."""
    source = FileSource([write(tmp_path / "in", content)], max_line_bytes=LIMIT)
    assert (source.total_bytes, source.bytes_read) == (len(content), 0)
    first = (await source.read())[0]
    assert 0 < source.bytes_read <= len(content)
    assert (first.number, first.offset, first.input) == (1, 0, None)
    lines, problem = await everything(source)
    assert problem is None
    assert lines[-1].number == len(RECORDS)
    assert source.bytes_read == len(content)


async def test_several_inputs_are_numbered_and_named_each_for_itself(tmp_path: Path, pipe: Pipe) -> None:
    """Numbers, offsets and marks begin anew in each input, and a last line without LF does not run into the next."""
    one = write(tmp_path / "one", b"\xef\xbb\xbfa\n\nb")
    two = write(tmp_path / "two.gz", gzip.compress(b"\xef\xbb\xbfc\r\nd"))
    odd = write(tmp_path / os.fsdecode(b"\xff"), b"e")
    pipe.write(b"f\n")
    pipe.end()
    source = FileSource([one, two, odd, "-"], max_line_bytes=LIMIT, stdin=pipe.read_end)
    assert source.total_bytes is None
    lines, problem = await everything(source)
    assert problem is None
    assert [(line.input, line.number, line.offset, line.raw) for line in lines] == [
        (one, 1, 3, b"a"),
        (one, 3, 6, b"b"),
        (two, 1, 3, b"c"),
        (two, 2, 6, b"d"),
        (f"{tmp_path}/\ufffd", 1, 0, b"e"),
        ("-", 1, 0, b"f"),
    ]


@pytest.mark.parametrize(
    ("skip", "limit", "numbers"),
    [(0, 0, []), (0, 3, [1, 3, 1]), (1, 2, [3, 1]), (2, None, [1, 2, 4]), (3, 1, [2]), (5, None, []), (9, 9, [])],
)
async def test_skip_and_limit_count_records_over_all_inputs(
    tmp_path: Path, skip: int, limit: int | None, numbers: list[int]
) -> None:
    """Blank lines are not counted, too long ones are, and the count goes on from one input to the next."""
    paths = [write(tmp_path / "one", b"a\n\nb\n"), write(tmp_path / "two", b"c\n" + b"d" * 9 + b"\n \ne")]
    lines, problem = await everything(FileSource(paths, max_line_bytes=5, skip=skip, limit=limit))
    assert problem is None
    assert [line.number for line in lines] == numbers


async def test_the_limit_ends_reading_without_waiting_for_more(pipe: Pipe) -> None:
    """After the last wanted record the source has ended, although the pipe is still open."""
    pipe.write(b"a\nb\nc\n")
    lines, problem = await everything(FileSource(["-"], max_line_bytes=LIMIT, limit=2, stdin=pipe.read_end))
    assert (raws(lines), problem) == ([b"a", b"b"], None)


async def test_what_is_left_of_a_redirected_file_counts(tmp_path: Path) -> None:
    """Standard input that is a file is read, and measured, from where it stands."""
    fd = os.open(write(tmp_path / "in", b"header\na\n"), os.O_RDONLY)
    try:
        os.read(fd, 7)
        source = FileSource(["-"], max_line_bytes=LIMIT, stdin=fd)
        assert source.total_bytes == 2
        lines, problem = await everything(source)
    finally:
        os.close(fd)
    assert [(line.raw, line.number, line.offset) for line in lines] == [(b"a", 1, 0)]
    assert problem is None


async def test_lines_are_handed_out_as_soon_as_they_are_whole(pipe: Pipe) -> None:
    """With little coming, nobody waits for a batch to be full; the shared descriptor stays blocking and open."""
    flags = fcntl.fcntl(pipe.read_end, fcntl.F_GETFL)
    source = FileSource(["-"], max_line_bytes=LIMIT, stdin=pipe.read_end)
    for line in (b"a", b"(", b"c"):
        pipe.write(line + b"\n")
        assert raws(await source.read()) == [line]
    pipe.write(b"un")
    waiting = asyncio.ensure_future(source.read())
    pipe.write(b"finished\nand")
    assert raws(await waiting) == [b"unfinished"]
    pipe.end()
    assert raws(await source.read()) == [b"and"]
    assert await source.read() == []
    await source.close()
    assert fcntl.fcntl(pipe.read_end, fcntl.F_GETFL) == flags
    assert not flags & os.O_NONBLOCK


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
@pytest.mark.parametrize("step", [1, 5, 70_000])
async def test_a_pipe_gives_what_is_written_whatever_the_pieces(
    pipe: Pipe, pack: Callable[[bytes], bytes], step: int
) -> None:
    """Compressed text that dribbles into standard input is recognised and read to its end."""
    raw = pack(TEXT[:2000]) + pack(TEXT[2000:])

    def writer() -> None:
        for begin in range(0, len(raw), step):
            pipe.write(raw[begin : begin + step])
        pipe.end()

    thread = threading.Thread(target=writer)
    thread.start()
    lines, problem = await everything(FileSource(["-"], max_line_bytes=LIMIT, stdin=pipe.read_end))
    thread.join()
    assert (raws(lines), problem) == (RECORDS, None)


@pytest.mark.parametrize("command", ["cat", "gzip -c", "zstd -c"])
async def test_other_programs_may_write_the_pipe(tmp_path: Path, command: str) -> None:
    """Standard input behind cat, gzip and zstd, also named as /dev/fd/N as process substitution does."""
    program, *options = command.split()
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    path = write(tmp_path / "in", TEXT)
    for named in (False, True):
        reading, writing = os.pipe()
        process = await asyncio.create_subprocess_exec(program, *options, path, stdout=writing)
        os.close(writing)
        inputs = [f"/dev/fd/{reading}" if named else "-"]
        lines, problem = await everything(FileSource(inputs, max_line_bytes=LIMIT, stdin=reading))
        os.close(reading)
        assert await process.wait() == 0
        assert (raws(lines), problem) == (RECORDS, None)


async def test_a_named_pipe_is_opened_when_its_turn_comes_and_waits_for_its_writer(tmp_path: Path) -> None:
    """The check does not open a named pipe, reading it waits for a writer, and the writer's end is its end."""
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    source = FileSource([path], max_line_bytes=LIMIT)
    with pytest.raises(OSError, match="No such device or address") as caught:  # ENXIO: nobody reads it yet
        os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    assert caught.value.errno == errno.ENXIO
    waiting = asyncio.ensure_future(source.read())
    with await asyncio.to_thread(open, path, "wb", buffering=0) as writer:
        writer.write(b"a\nb")
        assert raws(await waiting) == [b"a"]
    assert raws(await source.read()) == [b"b"]
    assert await everything(source) == ([], None)


@pytest.mark.parametrize("kind", ["pipe", "fifo"])
async def test_stop_wakes_a_reader_of_a_silent_pipe(tmp_path: Path, pipe: Pipe, kind: str) -> None:
    """Nothing comes, perhaps not even a writer: stop ends the waiting read with no lines, and close ends the thread."""
    if kind == "fifo":
        os.mkfifo(tmp_path / "fifo")
    path = str(tmp_path / "fifo") if kind == "fifo" else "-"
    source = FileSource([path], max_line_bytes=LIMIT, stdin=pipe.read_end)
    waiting = asyncio.ensure_future(source.read())
    await asyncio.sleep(0)
    source.stop()
    assert await waiting == []
    await source.close()
    assert source._thread is not None
    source._thread.join()
    assert await source.read() == []


async def test_stop_drops_what_was_read_ahead(tmp_path: Path) -> None:
    """After stop no line comes any more, though the thread has some and waits for room; before the start likewise."""
    source = FileSource([write(tmp_path / "in", TEXT)], max_line_bytes=LIMIT)
    assert len(await source.read()) == BATCH_LINES
    source.stop()
    assert await everything(source) == ([], None)
    unread = FileSource([str(tmp_path / "in")], max_line_bytes=LIMIT)
    unread.stop()
    assert await everything(unread) == ([], None)


async def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    """After close, or the end, or a failure, the process has the descriptors that it had before."""
    fine, cut = write(tmp_path / "in", TEXT), write(tmp_path / "cut", gzip.compress(TEXT)[:-9])
    for thread in threading.enumerate():  # those of tests before this one may be about to close theirs
        if thread.name == "veetro-batch input":
            thread.join()
    gc.collect()
    before = os.listdir("/dev/fd")  # noqa: PTH208 - the listing itself is the point
    for paths in ([fine, fine], [cut]):
        await everything(FileSource(paths, max_line_bytes=LIMIT))
        source = FileSource(paths, max_line_bytes=LIMIT)
        await source.read()
        await source.close()
        assert source._thread is not None
        source._thread.join()
    assert os.listdir("/dev/fd") == before  # noqa: PTH208


async def test_a_cancelled_read_loses_no_line(pipe: Pipe) -> None:
    """Lines that come while a read is being cancelled are there for the next one."""
    source = FileSource(["-"], max_line_bytes=LIMIT, stdin=pipe.read_end)
    waiting = asyncio.ensure_future(source.read())
    await asyncio.sleep(0)
    pipe.write(b"a\n")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert raws(await source.read()) == [b"a"]
    await source.close()


async def test_a_writer_is_held_up_while_nobody_takes_lines(pipe: Pipe) -> None:
    """The amount read ahead of the reader is bounded, the writer of the pipe has to wait, and nothing is lost."""
    source = FileSource(["-"], max_line_bytes=LIMIT, stdin=pipe.read_end)
    text = b"".join(b"%0599d\n" % number for number in range(4 * BATCH_BYTES // 600))
    os.set_blocking(pipe.write_end, False)
    pipe.write(text[:600])
    written = 600
    lines = await source.read()
    ready = select.poll()
    ready.register(pipe.write_end, select.POLLOUT)
    while ready.poll(200):  # not writable for so long: the reader has stopped
        written += os.write(pipe.write_end, text[written : written + 65536])
        assert written < len(text)
    pipe.end()
    rest, problem = await everything(source)
    assert problem is None
    assert b"\n".join(raws(lines + rest)) == text[:written].removesuffix(b"\n")


async def test_memory_does_not_depend_on_the_size_of_the_input(tmp_path: Path) -> None:
    """A gigantic line out of a small file, and lines that nobody takes, need less than 6 MiB."""
    bomb = gzip.compress(b"x\n" * 20_000 + b"a" * (48 << 20) + b"\nend\n")
    path = write(tmp_path / "in.gz", bomb)
    tracemalloc.start()
    try:
        lines, problem = await everything(FileSource([path], max_line_bytes=LIMIT, skip=20_000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert problem is None
    assert [(line.size, len(line.raw), line.number) for line in lines] == [(48 << 20, 65536, 20_001), (3, 3, 20_002)]
    assert peak < 6 << 20


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
async def test_a_cut_input_gives_its_whole_lines_and_says_where_it_ends(tmp_path: Path, pack: str) -> None:
    """The unfinished line of a truncated file is no record; the message names file, fault, line and what to do."""
    raw = gzip.compress(TEXT) if pack == "gzip" else zstd.compress(TEXT[:40_010]) + zstd.compress(TEXT)[:-1]
    path = write(tmp_path / "in", raw if pack == "zstd" else raw[: len(raw) // 2])
    source = FileSource([path, path], max_line_bytes=LIMIT)
    lines, problem = await everything(source)
    if pack == "gzip":
        assert raws(lines) == RECORDS[: len(lines)]
        assert 0 < len(lines) < len(RECORDS)
    assert problem is not None
    last = lines[-1]
    assert problem == (
        f"{path}: its {pack} data is cut off; it was read up to the end of line {last.number} "
        f"(byte {last.offset + last.size + 1:,} of its text); line {last.number + 1} is not whole and was left out. "
        "Mend it or get a whole copy, then run again: with the same --ledger the run goes on from there, "
        "without one --skip leaves out what was read"
    )


async def test_a_failure_is_raised_again_and_later_inputs_are_not_read(tmp_path: Path) -> None:
    """What cannot be read ends the source for good."""
    paths = [write(tmp_path / "in", gzip.compress(b"a\nb")[:-8]), write(tmp_path / "two", b"c\n")]
    source = FileSource(paths, max_line_bytes=LIMIT)
    assert raws(await source.read()) == [b"a"]
    for _ in range(2):
        with pytest.raises(InputFailed, match="line 2 is not whole"):
            await source.read()
    await source.close()


async def test_a_read_error_comes_after_what_was_read() -> None:
    """Where the system fails in the middle (a terminal that hangs up: EIO), the lines before it come first."""
    master, slave = os.openpty()
    try:
        tty.setraw(slave)
        os.write(slave, b"a\nb\ncut")
        source = FileSource(["-"], max_line_bytes=LIMIT, stdin=master)
        lines = await source.read()
        while len(lines) < 2:
            lines += await source.read()
        os.close(slave)
        rest, problem = await everything(source)
    finally:
        os.close(master)
    assert (raws(lines), rest) == ([b"a", b"b"], [])
    assert problem is not None
    assert problem.startswith("standard input: Input/output error; it was read up to the end of line 2 (byte 4 of its")


async def test_an_input_that_vanishes_before_its_turn_is_told(tmp_path: Path) -> None:
    """Inputs are opened one after another: what is gone when its turn comes ends the source after the others."""
    paths = [write(tmp_path / "one", b"a\n"), write(tmp_path / "two", b"b\n")]
    source = FileSource(paths, max_line_bytes=LIMIT)
    remove(paths[1])
    lines, problem = await everything(source)
    assert raws(lines) == [b"a"]
    assert problem is not None
    assert problem.startswith(f"{paths[1]}: No such file or directory; it was read up to the end of line 0")


def test_every_input_is_checked_before_anything_is_read(tmp_path: Path) -> None:
    """A typo in the last path fails at once; so do directories, closed descriptors and standard input named twice."""
    fine = write(tmp_path / "in", b"a\n")
    with pytest.raises(InputFailed, match=r"typo: No such file or directory; nothing was read$"):
        FileSource([fine, fine, str(tmp_path / "typo")], max_line_bytes=LIMIT)
    with pytest.raises(InputFailed, match=r": is a directory; name the files in it$"):
        FileSource([fine, str(tmp_path)], max_line_bytes=LIMIT)
    with pytest.raises(InputFailed, match="embedded null byte"):
        FileSource(["a\0b"], max_line_bytes=LIMIT)
    closed = os.dup(0)
    os.close(closed)
    with pytest.raises(InputFailed, match="standard input: Bad file descriptor"):
        FileSource(["-"], max_line_bytes=LIMIT, stdin=closed)
    with pytest.raises(SettingsError, match="named twice"):
        FileSource(["-", fine, "-"], max_line_bytes=LIMIT)


@pytest.fixture
def nobody() -> Iterator[None]:
    """Root may read everything: be somebody else for a while."""
    if os.geteuid():
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.parametrize("kind", ["file", "fifo"])
def test_an_input_that_may_not_be_read_is_told_at_once(kind: str, nobody: None) -> None:
    """No permission, no run; of a named pipe, too, though it is not opened."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "in")
        if kind == "fifo":
            os.mkfifo(path)
        else:
            path.touch()
        path.chmod(0)
        with pytest.raises(InputFailed, match="in: Permission denied; nothing was read"):
            FileSource([str(path)], max_line_bytes=LIMIT)


async def test_no_inputs_and_empty_inputs_have_no_lines(tmp_path: Path) -> None:
    """Nothing in, nothing out."""
    assert await everything(FileSource([], max_line_bytes=LIMIT)) == ([], None)
    assert await everything(FileSource([write(tmp_path / "in", b""), "/dev/null"], max_line_bytes=LIMIT)) == ([], None)
