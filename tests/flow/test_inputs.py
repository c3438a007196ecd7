"""Compressed inputs: all members and frames, cut, damaged, padded, and bombs."""

from __future__ import annotations

import gzip
import random
import sys
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batcher.flow.inputs import PIECE_BYTES, Unreadable
from batcher.flow.unpacking import unpacked

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TEXT = b"".join(b'{"SourceID":"S-%d","CurrentStatus":"InProgress"}\n' % n for n in range(4000))
GZIPPED = gzip.compress(b"a\n", mtime=0)
SKIPPABLE = b"\x5a\x2a\x4d\x18\x03\0\0\0abc"
PARTS = st.lists(st.binary(max_size=50) | st.sampled_from([TEXT, b"a" * 600_000]), min_size=1, max_size=5)


def decoded(raw: bytes, step: int | None = None) -> tuple[bytes, str | None]:
    """What comes out, and what is said to be wrong."""
    step = step or max(len(raw), 1)
    pieces = []
    counted: list[int] = []
    try:
        for piece in unpacked((raw[begin : begin + step] for begin in range(0, len(raw), step)), counted.append):
            assert 0 < len(piece) <= max(PIECE_BYTES, len(raw))
            pieces.append(piece)
    except Unreadable as error:
        return b"".join(pieces), str(error)
    assert sum(counted) == len(raw)
    return b"".join(pieces), None


def ignore(_size: int) -> None:
    """Nobody wants to know how far it was read."""


def inflated(raw: bytes) -> tuple[bytes, bool]:
    """The most that zlib can tell of perhaps damaged members, fed byte by byte; and whether they are whole."""
    text = b""
    member = zlib.decompressobj(wbits=31)
    try:
        for byte in raw:
            if member.eof:
                member = zlib.decompressobj(wbits=31)
            text += member.decompress(bytes([byte]))
    except zlib.error:
        return text, False
    return text, member.eof


@settings(deadline=None, max_examples=50)
@given(parts=PARTS, step=st.sampled_from([1, 3, 100, 9000, 1 << 20]), padding=st.sampled_from([b"", b"\0" * 700]))
def test_all_gzip_members_are_read(parts: list[bytes], step: int, padding: bytes) -> None:
    """Members one after another, zeros between and behind them, in any pieces: the text of all."""
    raw = b"".join(gzip.compress(part, 6) + padding for part in parts)
    assert decoded(raw, step) == (b"".join(parts), None)


@settings(deadline=None, max_examples=50)
@given(parts=PARTS, step=st.sampled_from([1, 3, 100, 9000, 1 << 20]), first=st.sampled_from([b"", SKIPPABLE]))
def test_all_zstd_frames_are_read(parts: list[bytes], step: int, first: bytes) -> None:
    """Frames one after another, skippable ones before, between and behind them, in any pieces: the text of all."""
    raw = first + b"".join(zstd.compress(part) + first for part in parts)
    assert decoded(raw, step) == (b"".join(parts), None)


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress])
def test_what_was_read_keeps_pace_with_what_it_holds(compress: Callable[[bytes], bytes]) -> None:
    """Of a compressed input that is had in one raw read, so much counts as read as its text so far has taken."""
    text = random.Random(1).randbytes(500_000).hex().encode()
    raw = compress(text)
    counted: list[int] = []
    had = 0
    for piece in unpacked(iter([raw]), counted.append):
        had += len(piece)
        assert abs(sum(counted) / len(raw) - had / len(text)) < 0.05
    assert (sum(counted), had) == (len(raw), len(text))


@pytest.mark.parametrize("raw", [b"", b"\x1f", b"(", b"(\xb5/", b"P", b"P*M", b"plain\n", b"\x1f\x8c", b"(\xb5\n"])
@pytest.mark.parametrize("step", [1, 100])
def test_what_only_begins_like_a_compressed_file_is_plain(raw: bytes, step: int) -> None:
    """Bytes that are not a whole magic number are text as they are."""
    assert decoded(raw, step) == (raw, None)


@settings(deadline=None)
@given(data=st.data())
def test_all_that_a_damaged_gzip_still_tells_is_told(data: st.DataObject) -> None:
    """Cut or with a changed byte anywhere: every byte that zlib can tell before the error, and then an error."""
    raw = bytearray(gzip.compress(TEXT[:20_000], 6, mtime=0) + gzip.compress(TEXT[:300], 6, mtime=0))
    place = data.draw(st.integers(10, len(raw) - 1))
    if data.draw(st.booleans()):
        damaged = bytes(raw[:place])
    else:
        raw[place] ^= data.draw(st.integers(1, 255))
        damaged = bytes(raw)
    text, problem = decoded(damaged)
    assert (text, problem is None) == inflated(damaged)


@settings(deadline=None)
@given(place=st.integers(4, len(zstd.compress(TEXT)) - 1))
def test_a_zstd_frame_that_is_cut_off_gives_what_it_holds(place: int) -> None:
    """All whole blocks of a cut frame come out, and the cut is told."""
    frame = zstd.compress(TEXT)
    text, problem = decoded(zstd.compress(b"whole\n") + frame[:place])
    assert text == b"whole\n" + zstd.ZstdDecompressor().decompress(frame[:place])
    assert problem == "its zstd data is cut off"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (GZIPPED + b"{}\n", "something that is not gzip follows its compressed part"),
        (GZIPPED + b"\0\0\x1f\x8c", "its gzip data is corrupt (Error -3 while decompressing data: "),
        (GZIPPED[:-8] + bytes(8), "its gzip data is corrupt (Error -3 while decompressing data: "),
        (GZIPPED + b"\x1f", "its gzip data is cut off"),
        (GZIPPED[:-1], "its gzip data is cut off"),
        (zstd.compress(b"a\n") + b"{}{}\n", "its zstd data is corrupt or needs too much memory ("),
        (zstd.compress(b"a\n") + b"\x28", "its zstd data is cut off"),
        (SKIPPABLE[:-1], "its zstd data is cut off"),
    ],
)
def test_what_is_wrong_is_said_after_what_could_be_read(raw: bytes, problem: str) -> None:
    """Whatever follows a whole member or frame, its text comes first, and then the right complaint."""
    text, told = decoded(raw)
    assert text == (b"" if raw == SKIPPABLE[:-1] else b"a\n")
    assert told is not None
    assert told.startswith(problem)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_bomb_does_not_grow_beyond_its_pieces(kind: str) -> None:
    """128 MiB of text out of a few KiB need less than 4 MiB of memory."""
    member = gzip.compress(b"a" * (16 << 20)) if kind == "gzip" else zstd.compress(b"a" * (16 << 20))
    raw = member * 8
    size = 0
    tracemalloc.start()
    try:
        for piece in unpacked(iter([raw]), ignore):
            size += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size == 128 << 20
    assert peak < 4 << 20


def test_many_tiny_members_are_read_as_they_come() -> None:
    """One member a record, as appending programs write them: thousands in one read."""
    member = gzip.compress(b"x\n")

    assert b"".join(unpacked(iter([member * 5000]), ignore)) == b"x\n" * 5000
