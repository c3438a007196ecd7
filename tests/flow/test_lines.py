"""What a line is: proved against a plain definition, for any bytes in any pieces."""

from __future__ import annotations

import hashlib
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batcher.flow.lines import BATCH_LINES, Line, Splitter

BOM = b"\xef\xbb\xbf"
PARTS = st.sampled_from(
    [b"\n", b"\r\n", b"\r", b" ", b"\t", b"\0", BOM, b"{}", "\u2028\u0085é".encode(), b"\xff", b"xyz"]
)
TEXTS = st.one_of(st.binary(max_size=60), st.lists(PARTS, max_size=40).map(b"".join))


def expected(text: bytes, limit: int) -> list[tuple[bytes, int, str, int, int, str | None]]:
    """The definition, for a text that is held whole."""
    offset = len(BOM) if text.startswith(BOM) else 0
    *ended, last = text[offset:].split(b"\n")
    lines = [(line + b"\n", line.removesuffix(b"\r")) for line in ended] + [(last, last)] * bool(last)
    found = []
    for number, (physical, raw) in enumerate(lines, 1):
        if raw.strip(b" \t\r"):
            digest = hashlib.blake2b(raw, digest_size=8).hexdigest()
            kind = "line_too_long" if len(raw) > limit else None
            found.append((raw, number, digest, offset, len(raw), kind))
        offset += len(physical)
    return found


def facts(lines: list[Line]) -> list[tuple[bytes, int, str, int, int, str | None]]:
    return [(x.raw, x.number, x.hash, x.offset, x.size, x.problem.kind if x.problem else None) for x in lines]


def split(pieces: list[bytes], limit: int = 1 << 20) -> list[Line]:
    splitter = Splitter(None, limit)
    return [line for piece in pieces for batch in splitter.feed(piece) for line in batch] + splitter.finish()


@settings(deadline=None)
@given(text=TEXTS, cuts=st.lists(st.integers(0, 60), max_size=8), limit=st.integers(1, 20))
@example(text=b"abc\r\nabcd\r\nabc\r", cuts=[4, 9], limit=3)
@example(text=b"abcd\r\r\n", cuts=[5, 6], limit=3)
@example(text=b"    \r\n    \rx\n    ", cuts=[2, 5], limit=1)
@example(text=BOM[:2], cuts=[1], limit=1)
def test_lines_are_as_defined_whatever_the_pieces(text: bytes, cuts: list[int], limit: int) -> None:
    """Any bytes in any pieces, with any limit, give the lines, numbers, hashes, offsets and problems as defined."""
    bounds = [0, *sorted(cuts), len(text)]
    pieces = [text[begin:end] for begin, end in zip(bounds, [*bounds[1:], len(text)], strict=True)]
    assert facts(split(pieces, limit)) == expected(text, limit)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"", []),
        (b"\n\r\n \t\n", []),
        (b"a\n\nb", [(1, b"a"), (3, b"b")]),
        (b"a\r\r\nb\rc\nd\r", [(1, b"a\r"), (2, b"b\rc"), (3, b"d\r")]),
        (BOM + b"a\n" + BOM + b"b\n", [(1, b"a"), (2, BOM + b"b")]),
        (BOM + b"\na", [(2, b"a")]),
        (BOM, []),
        (BOM[:2], [(1, BOM[:2])]),
        ("a\u2028b\u0085c\x0b\x0cd\n\x0b\n".encode(), [(1, "a\u2028b\u0085c\x0b\x0cd".encode()), (2, b"\x0b")]),
        (b"\0\n\0", [(1, b"\0"), (2, b"\0")]),
    ],
)
def test_odd_line_ends(text: bytes, lines: list[tuple[int, bytes]]) -> None:
    """LF alone ends a line, one CR before it is taken off, blank lines count, and only a leading mark is skipped."""
    assert [(line.number, line.raw) for line in split([text])] == lines


def test_a_line_that_is_too_long_keeps_its_first_64_kib_and_the_hash_of_the_whole() -> None:
    """Of a long line, size and hash are of the whole, and the message names size, limit and option."""
    text = bytes(range(32, 127)) * 5000
    [long, short] = split([text[:100_000], text[100_000:] + b"\r\nok\n"], limit=200_000)
    assert (long.raw, long.size, long.number, long.offset) == (text[:65536], 475_000, 1, 0)
    assert long.hash == hashlib.blake2b(text, digest_size=8).hexdigest()
    assert str(long.problem) == "line 1: the line has 475,000 bytes; --max-line-bytes allows 200,000 (line_too_long)"
    assert (short.raw, short.number, short.offset, short.problem) == (b"ok", 2, 475_002, None)


def test_a_line_without_end_is_never_held() -> None:
    """64 MiB of one line need less than 2 MiB of memory, limit included."""
    splitter = Splitter(None, 512 * 1024)
    piece = b"x" * 65536
    tracemalloc.start()
    try:
        for _ in range(1024):
            assert list(splitter.feed(piece)) == []
        [line] = splitter.finish()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (line.size, len(line.raw)) == (64 << 20, 65536)
    assert peak < 2 << 20


def test_lines_come_in_batches_lazily() -> None:
    """A piece of many short lines is handed out in bounded batches, each made when it is asked for."""
    splitter = Splitter("name", 10)
    batches = splitter.feed(b"a\n" * (BATCH_LINES + 1))
    assert len(next(batches)) == BATCH_LINES
    assert splitter.number == BATCH_LINES
    assert [(line.number, line.input) for line in next(batches)] == [(BATCH_LINES + 1, "name")]
