"""Objects are read as files are: the same lines, by ranges, through broken connections, in little memory."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from batcher.core.shard import RangeShard
from batcher.errors import InputFailed, SettingsError
from batcher.flow import objects, stores
from batcher.flow.inputs import PIECE_BYTES
from batcher.flow.lines import Line
from batcher.flow.source import FileSource
from batcher.values import Shard
from tests.e2e.program import PATIENCE_S, ROOT
from tests.flow.reading import read
from tests.objects.s3 import S3Bucket
from tests.objects.store import Bucket
from tests.objects.way import Way

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TEXT = b"".join(b'{"line":%d,"text":"%s"}\n' % (number, b"x" * (number % 700)) for number in range(6000))
"""Two MB."""
PACKED: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, zstd.compress]
_PEAK = """
import asyncio, os, re, sys
from batcher.flow.source import FileSource
async def read():
    source = FileSource(sys.argv[1:], max_line_bytes=100_000)
    count = 0
    while lines := await source.read():
        count += len(lines)
    await source.close()
    return count
count = asyncio.run(read())
# Not getrusage: it also tells of the process from which this one was forked.
print(count, int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) // 1024, flush=True)
os._exit(0)  # as the program does: a thread of the store that comes late would abort a process that ends in order
"""


def of_bytes(text: bytes) -> list[bytes]:
    return text.split(b"\n")[:-1]


@pytest.mark.parametrize("pack", PACKED)
@pytest.mark.parametrize("window", [300_000, objects.WINDOW_BYTES])
async def test_an_object_gives_the_lines_of_a_file(
    bucket: Bucket, way: Way, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes], window: int
) -> None:
    """Plain or compressed, in one request or many; its size is known, and so is how far it was read."""
    monkeypatch.setattr(objects, "WINDOW_BYTES", window)
    packed = pack(TEXT)
    source = FileSource([bucket.put("records", packed)], max_line_bytes=1000)
    assert source.total_bytes == len(packed)
    lines = await read(source)
    assert [line.raw for line in lines] == of_bytes(TEXT)
    assert [line.number for line in lines] == list(range(1, 6001))
    assert source.bytes_read == len(packed)
    # After the look at its first bytes, requests follow each other without a gap.
    assert way.asked[0] == (0, 4)
    assert way.asked[1][0] == 0
    assert all(before[1] == after[0] for before, after in pairwise(way.asked[1:]))
    assert way.asked[-1][1] == len(packed)


@pytest.mark.usefixtures("way")
async def test_an_empty_object(bucket: Bucket) -> None:
    """It has no lines, and no ranges to refuse."""
    address = bucket.put("empty", b"")
    assert await read(FileSource([address], max_line_bytes=10)) == []
    assert await read(FileSource([address], max_line_bytes=10, shard=RangeShard(Shard(1, 2)))) == []


@pytest.mark.parametrize("bucket", ["s3"], indirect=True)
async def test_several_objects_are_named_in_their_lines(bucket: S3Bucket, way: Way) -> None:
    """By address; of one on the web without its signature, which never is part of a name."""
    bucket.put("folder/é b.ndjson", b"{}\n")
    addresses = [bucket.put("one", b"1\n"), bucket.signed("folder/é b.ndjson").replace(str(bucket.port), str(way.port))]
    lines = await read(FileSource(addresses, max_line_bytes=10))
    assert [(line.raw, line.input) for line in lines] == [
        (b"1", "s3://acme/one"),
        (b"{}", f"http://127.0.0.1:{way.port}/acme/folder/%C3%A9%20b.ndjson"),
    ]


@pytest.mark.parametrize("retries", [0, 10])
async def test_a_connection_that_breaks_is_resumed_where_it_stopped(
    bucket: Bucket, way: Way, monkeypatch: pytest.MonkeyPatch, retries: int
) -> None:
    """Whether the library asks for the rest or has given up: no line is lost or doubled, and little is asked twice."""
    monkeypatch.setitem(stores.PATIENT, "max_retries", retries)
    monkeypatch.setattr(objects, "PAUSE", 0.01)
    address = bucket.put("broken", TEXT)
    way.cut = len(TEXT) // 4
    assert [line.raw for line in await read(FileSource([address], max_line_bytes=1000))] == of_bytes(TEXT)
    begins = [begin for begin, _ in way.asked[1:]]
    assert len(begins) >= 4
    assert all(after > before for before, after in pairwise(begins))
    assert way.passed < len(TEXT) + (len(begins) + 1) * PIECE_BYTES


async def test_a_store_that_breaks_every_answer_off_is_given_up(
    bucket: Bucket, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no byte comes any more, reading ends and tells up to which line it came."""
    monkeypatch.setitem(stores.PATIENT, "max_retries", 0)
    monkeypatch.setattr(objects, "PAUSE", 0.001)
    source = FileSource([bucket.put("dead", TEXT)], max_line_bytes=1000)
    way.cut = 0
    with pytest.raises(InputFailed, match=r"acme/dead: its store .* it was read up to the end of line 0 "):
        await read(source)
    assert len(way.asked) == 1 + objects.IN_VAIN


@pytest.mark.parametrize("retries", [0, 10])
@pytest.mark.parametrize("change", ["replaced", "shorter", "deleted"])
async def test_an_object_that_changes_is_refused(
    bucket: Bucket, way: Way, monkeypatch: pytest.MonkeyPatch, change: str, retries: int
) -> None:
    """Not one line of the new object is handed out, also where it has the size of the old one."""
    monkeypatch.setitem(stores.PATIENT, "max_retries", retries)
    address = bucket.put("moving", TEXT)
    source = FileSource([address], max_line_bytes=1000)
    other = {"replaced": TEXT.replace(b"x", b"y"), "shorter": b"{}\n"}
    way.cut = len(TEXT) // 2
    way.on_cut = lambda: bucket.delete("moving") if change == "deleted" else bucket.put("moving", other[change])
    lines: list[bytes] = []

    async def gather() -> None:
        while batch := await source.read():
            lines.extend(line.raw for line in batch)

    with pytest.raises(InputFailed, match=f"{address}: has changed since the run began"):
        await gather()
    await source.close()
    assert 1000 < len(lines) < 5000
    assert lines == of_bytes(TEXT)[: len(lines)]


async def test_an_object_that_changed_before_it_was_read_is_refused(
    bucket: Bucket, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found at first is true of the other no more: nothing behind its first part is asked for."""
    monkeypatch.setattr(objects, "WINDOW_BYTES", 300_000)
    source = FileSource([bucket.put("early", TEXT)], max_line_bytes=1000)
    bucket.put("early", TEXT.replace(b"x", b"y"))
    with pytest.raises(InputFailed, match="has changed"):
        await read(source)
    assert way.asked[-1] == (0, 300_000)


async def test_a_range_shard_asks_for_its_range_alone(bucket: Bucket, way: Way) -> None:
    """And a little behind it, to the end of its last line; all shards together give each line once."""
    address = bucket.put("ranges", TEXT)
    found: list[Line] = []
    for index in range(4):
        shard = RangeShard(Shard(index, 4))
        part = shard.part(len(TEXT))
        way.asked.clear()
        source = FileSource([address], max_line_bytes=1000, shard=shard)
        found += await read(source)
        assert source.bytes_read == source.total_bytes == part.end - part.begin
        first, *rest = way.asked[-2:] if index < 3 else way.asked[-1:]
        assert first == (max(part.begin - 1, 0), part.end)
        assert all(begin == part.end and end - begin <= PIECE_BYTES for begin, end in rest)
    assert [line.raw for line in found] == of_bytes(TEXT)
    offsets = [0]
    for raw in of_bytes(TEXT):
        offsets.append(offsets[-1] + len(raw) + 1)
    assert [line.offset for line in found] == offsets[:-1]


@pytest.mark.usefixtures("way")
async def test_a_compressed_object_has_no_ranges(bucket: Bucket) -> None:
    """As a compressed file has none."""
    address = bucket.put("records.gz", gzip.compress(TEXT))
    with pytest.raises(SettingsError, match=r"acme/records[.]gz is compressed"):
        FileSource([address], max_line_bytes=10, shard=RangeShard(Shard(0, 2)))


async def test_reading_is_stopped_while_the_store_is_silent(bucket: Bucket, way: Way) -> None:
    """At once, not when the store answers: a drain does not wait for it."""
    source = FileSource([bucket.put("silent", TEXT)], max_line_bytes=1000)
    way.hold = True
    reading = asyncio.create_task(source.read())
    assert await asyncio.to_thread(way.silent.wait, PATIENCE_S)
    await source.close()
    assert await reading == []
    thread: Any = source._thread
    await asyncio.to_thread(thread.join, PATIENCE_S)
    assert not thread.is_alive()


@pytest.mark.parametrize("bucket", ["s3"], indirect=True)
@pytest.mark.usefixtures("way")
def test_memory_does_not_depend_on_the_size_of_the_object(bucket: Bucket) -> None:
    """One of 96 MB is read in no more memory than one of 8 MB, but for what allocators keep."""
    peaks = []
    for megabytes in (8, 96):
        bucket.put("large", (b"z" * 49_999 + b"\n") * (20 * megabytes))
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, "s3://acme/large"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            timeout=PATIENCE_S,
        )
        count, peak = map(int, done.stdout.split())
        assert count == 20 * megabytes
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 16, peaks
