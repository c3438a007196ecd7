"""Ranges of plain files: their lines are the file's, each in exactly one of them."""

from __future__ import annotations

import asyncio
import gzip
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batcher.core.shard import KeyShard, RangeShard
from batcher.errors import InputFailed, SettingsError
from batcher.flow import inputs
from batcher.flow.lines import Line
from batcher.flow.source import FileSource
from batcher.values import Shard
from tests.flow.reading import read

BOM = b"\xef\xbb\xbf"
LONGEST = 12
PIECES = st.sampled_from([b"\n", b"\r\n", b"\r", b" ", BOM, b"{}", b"\xff", b"abc", b"x" * 20, b"\n\n"])
TEXTS = st.one_of(st.binary(max_size=80), st.lists(PIECES, max_size=30).map(b"".join))


def place(line: Line) -> tuple[object, ...]:
    """What a line is wherever the file is cut."""
    return line.input, line.offset, line.raw, line.hash, line.size, line.problem and line.problem.kind


async def compare(paths: list[str], sizes: list[int], count: int) -> None:
    whole = await read(FileSource(paths, max_line_bytes=LONGEST))
    found: list[Line] = []
    total = 0
    for index in range(count):
        source = FileSource(paths, max_line_bytes=LONGEST, shard=RangeShard(Shard(index, count)))
        lines = await read(source)
        assert source.bytes_read == source.total_bytes
        assert source.cut == ",".join(map(str, sizes))
        total += source.total_bytes
        found += lines
    assert total == sum(sizes)
    assert len(found) == len(whole)
    # Each file's lines are in order from shard to shard.
    assert sorted(map(place, found), key=repr) == sorted(map(place, whole), key=repr)
    for name in {line.input for line in whole}:
        of_file = [place(line) for line in whole if line.input == name]
        assert [place(line) for line in found if line.input == name] == of_file


@settings(deadline=None)
@given(text=TEXTS, count=st.integers(1, 12), piece=st.integers(1, 40))
@example(text=b"", count=3, piece=40)
@example(text=b"a", count=4, piece=40)
@example(text=b"a\nb\nc", count=9, piece=1)
@example(text=BOM + b"a\r\n" + BOM + b"b\r\n\r\nc\r", count=4, piece=2)
@example(text=b"x" * 60 + b"\ny\n", count=8, piece=7)
@example(text=b"\n\n\n\n", count=4, piece=3)
def test_every_line_is_in_exactly_one_range(text: bytes, count: int, piece: int) -> None:
    """Wherever it is cut, in whatever pieces it is read: texts, hashes, offsets and problems are those of the whole.

    The bytes of all ranges are the file's too, so progress and what is left add up.
    """
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "PIECE_BYTES", piece)
        path = Path(folder) / "in"
        path.write_bytes(text)
        if text[:4].startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
            return
        asyncio.run(compare([str(path)], [len(text)], count))


@settings(deadline=None, max_examples=30)
@given(texts=st.lists(TEXTS, min_size=2, max_size=3), count=st.integers(1, 6))
def test_each_of_several_files_is_cut(texts: list[bytes], count: int) -> None:
    """A shard takes its range of every file, and begins each with no memory of the one before."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, text in enumerate(texts):
            path = Path(folder) / f"in-{number}"
            path.write_bytes(b"#" + text)
            paths.append(str(path))
        asyncio.run(compare(paths, [1 + len(text) for text in texts], count))


async def test_lines_are_numbered_from_where_the_range_begins(tmp_path: Path) -> None:
    """Blank lines count; the offset tells the place in the file."""
    path = tmp_path / "in"
    path.write_bytes(b"aa\n\n  \nbb\n\ncc\n")
    first, second = [
        await read(FileSource([str(path)], max_line_bytes=LONGEST, shard=RangeShard(Shard(index, 2))))
        for index in (0, 1)
    ]
    assert [(line.raw, line.number, line.place) for line in first] == [(b"aa", 1, 0)]
    assert [(line.raw, line.number, line.place) for line in second] == [(b"bb", 1, 7), (b"cc", 3, 11)]


async def test_a_range_is_read_and_not_the_file(tmp_path: Path) -> None:
    """Of a file with one long line nothing is read that lies behind a range without a line, and nothing before it."""
    path = tmp_path / "in"
    with path.open("wb") as file:
        file.write(b"a\n")
        file.truncate(1 << 40)  # the rest is a hole
    lines = await read(FileSource([str(path)], max_line_bytes=LONGEST, shard=RangeShard(Shard(7, 1_000_000))))
    assert lines == []


async def test_skip_and_limit_count_within_a_shard(tmp_path: Path) -> None:
    """Whichever way the records are divided."""
    path = tmp_path / "in"
    path.write_bytes(b"".join(b"%d\n" % number for number in range(10, 30)))
    by_range = RangeShard(Shard(1, 2))
    lines = await read(FileSource([str(path)], max_line_bytes=LONGEST, shard=by_range, skip=2, limit=3))
    assert [line.raw for line in lines] == [b"22", b"23", b"24"]
    by_key = KeyShard(Shard(1, 2), (), lambda _raw: ())
    every = await read(FileSource([str(path)], max_line_bytes=LONGEST, shard=by_key))
    lines = await read(FileSource([str(path)], max_line_bytes=LONGEST, shard=by_key, skip=2, limit=3))
    assert lines == every[2:5]


@settings(deadline=None)
@given(text=TEXTS, count=st.integers(1, 6), piece=st.integers(1, 40))
@example(text=b"x" * 60 + b"\n" + b"y" * 60, count=4, piece=7)
def test_every_line_is_in_exactly_one_shard_by_key(text: bytes, count: int, piece: int) -> None:
    """With the numbers of the whole file, whatever the pieces: also lines that are too long to be held."""

    async def divided() -> tuple[list[Line], list[Line]]:
        whole = await read(FileSource([str(path)], max_line_bytes=LONGEST))
        shards = [
            KeyShard(Shard(index, count), ("a",), lambda raw: (raw[:1].decode("latin-1"),)) for index in range(count)
        ]
        parts = [await read(FileSource([str(path)], max_line_bytes=LONGEST, shard=shard)) for shard in shards]
        return whole, [line for part in parts for line in part]

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "PIECE_BYTES", piece)
        path = Path(folder) / "in"
        path.write_bytes(b"#" + text)
        whole, found = asyncio.run(divided())
        assert sorted(line.number for line in found) == [line.number for line in whole]
        assert sorted(map(place, found), key=repr) == sorted(map(place, whole), key=repr)


def test_what_has_no_ranges_is_refused(tmp_path: Path) -> None:
    """Before anything is read of any input; the message says what to do."""
    plain, packed, pipe = (str(tmp_path / name) for name in ("plain", "packed", "pipe"))
    Path(plain).write_bytes(b"a\n")
    Path(packed).write_bytes(gzip.compress(b"a\n"))
    os.mkfifo(pipe)
    shard = RangeShard(Shard(0, 2))
    with pytest.raises(SettingsError, match=r"packed is compressed, and can be read only as a whole.*--shard-by key"):
        FileSource([plain, packed], max_line_bytes=LONGEST, shard=shard)
    with pytest.raises(SettingsError, match=r"pipe is a stream, which has no ranges.*--shard-by key"):
        FileSource([plain, pipe], max_line_bytes=LONGEST, shard=shard)
    with Path(plain).open("rb") as file, pytest.raises(SettingsError, match="standard input is a stream"):
        FileSource(["-"], max_line_bytes=LONGEST, shard=shard, stdin=file)


async def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    """As of one that is read whole."""
    path = tmp_path / "in"
    path.write_bytes(b"a\nb\n")
    source = FileSource([str(path)], max_line_bytes=LONGEST, shard=RangeShard(Shard(1, 2)))
    path.unlink()
    with pytest.raises(InputFailed, match="No such file"):
        await read(source)
