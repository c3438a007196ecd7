"""Bytes to numbered lines, by one rule for every input.

- A line ends at LF alone; U+2028, U+0085, NUL and a lone CR are text. One CR before the LF belongs to the line end.
- What follows the last LF is a line too, unless it is empty.
- A byte order mark at the very beginning of an input is no part of its first line.
- A line of nothing but spaces, tabs and CRs is blank: it counts in the numbers and is not handed out.
- A line over the size limit is handed out with its problem, its hash and its first 64 KiB; it is never held whole.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from hashlib import blake2b
from io import BytesIO
from typing import NamedTuple

from batcher.core.result import RAW_LIMIT
from batcher.core.shard import KeyShard
from batcher.errors import RecordError

BATCH_LINES = 512
"""Lines that are handed out together, at most."""
BATCH_BYTES = 256 * 1024
"""Their size together, about; one longer line makes a batch of its own."""

_BOM = codecs.BOM_UTF8
_BLANK = b" \t\r"
_HASH_BYTES = 8


class Line(NamedTuple):
    """One line of input that is not blank.

    Attributes:
        raw: the line without its line end; of a line that is too long, only the first 64 KiB.
        number: the physical line within its input, from 1, blank lines counted.
        hash: ``blake2b(line, digest_size=8)`` in hexadecimal, of the whole line.
        offset: bytes (uncompressed) into its input at which the line begins, after a byte order mark.
        input: the name of its input, where there are several.
        size: bytes of the whole line, without its line end.
        problem: why no record can be made of it, as far as reading can tell: ``line_too_long``.
        within: *number* counts from where a shard's part of the input begins, so that only *offset* tells the place.
    """

    raw: bytes
    number: int
    hash: str
    offset: int
    input: str | None
    size: int
    problem: RecordError | None
    within: bool = False

    @property
    def place(self) -> int | None:
        """The offset, where the number does not tell the place."""
        return self.offset if self.within else None


def _too_long(number: int, size: int, limit: int) -> RecordError:
    """The problem of a line of *size* bytes where *limit* are allowed."""
    message = f"the line has {size:,} bytes; --max-line-bytes allows {limit:,}"
    return RecordError("line_too_long", message, line=number)


def _is_blank(line: bytes) -> bool:
    """Whether a line holds nothing but spaces, tabs and CRs."""
    return not line.strip(_BLANK)


def make_line(raw: bytes, number: int, offset: int, limit: int) -> Line:
    """The Line of *raw*, the whole line without its line end, of an input that needs no name."""
    size = len(raw)
    problem = None if size <= limit else _too_long(number, size, limit)
    digest = blake2b(raw, digest_size=_HASH_BYTES).hexdigest()
    return Line(raw if problem is None else raw[:RAW_LIMIT], number, digest, offset, None, size, problem)


def is_in(shard: KeyShard, line: Line) -> bool:
    """Whether *shard* takes *line*; one that is not held whole goes by its hash."""
    return shard.takes(line.raw) if line.problem is None else shard.takes_hash(line.hash)


class Splitter:
    """Cuts one input into lines, whatever the sizes of the pieces in which it comes.

    Args:
        name: of the input, where there are several.
        max_line_bytes: of which a longer one is a problem.
        shard: hand out only the lines that it takes; the others count in the numbers.
        within: see ``Line``.

    Attributes:
        number: lines that have ended so far.
        offset: bytes up to the end of the last of them.
    """

    def __init__(
        self, name: str | None, max_line_bytes: int, shard: KeyShard | None = None, *, within: bool = False
    ) -> None:
        self.number = 0
        self.offset = 0
        self._shard = shard
        self._within = within
        self._name = name
        self._limit = max_line_bytes
        self._mark: bytes | None = b""  # what may become a byte order mark; None once that is settled
        self._begun = bytearray()  # of the line that has not ended yet, while it may be within the limit
        self._long: _LongLine | None = None  # the same line, once it cannot be

    def begin_at(self, offset: int) -> None:
        """What comes first is no beginning of the input, but that of a line which stands there at *offset*."""
        self.offset = offset
        self._mark = None

    @property
    def unfinished(self) -> bool:
        """Whether a line has begun of which the end is still to come."""
        return bool(self._mark or self._begun or self._long)

    def feed(self, piece: bytes) -> Iterator[list[Line]]:
        """Take the next bytes; yield the lines that end in them, at most ``BATCH_LINES`` at a time and lazily."""
        if self._mark is not None:
            piece = self._after_mark(piece)
        may_have_crs = b"\r\n" in piece  # to ask each line costs a tenth of what it costs in all
        ended = BytesIO(piece).readlines()  # a third of what split costs
        rest = b"" if not ended or ended[-1].endswith(b"\n") else ended.pop()
        if ended and (self._begun or self._long):
            yield self._end(ended.pop(0)[:-1], 1)
        for first in range(0, len(ended), BATCH_LINES):
            yield self._whole(ended[first : first + BATCH_LINES], may_have_crs=may_have_crs)
        self._begin(rest)

    def finish(self) -> list[Line]:
        """The last line, where it has no LF. The input must have ended as it should: else that line may be cut."""
        if self._mark:
            self._begin(self._mark)
            self._mark = None
        return self._end(b"", 0) if self.unfinished else []

    def _after_mark(self, piece: bytes) -> bytes:
        head = (self._mark or b"") + piece
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._mark = head
            return b""
        self._mark = None
        if head.startswith(_BOM):
            self.offset = len(_BOM)
            return head[len(_BOM) :]
        return head

    def _whole(self, ended: list[bytes], *, may_have_crs: bool) -> list[Line]:
        """Lines of which all bytes are here, LF included. The hot loop: a few hundred nanoseconds and the hash."""
        lines: list[Line] = []
        number, offset, limit, name = self.number, self.offset, self._limit, self._name
        shard, within = self._shard, self._within
        for text in ended:
            number += 1
            begin = offset
            offset += len(text)
            raw = text[:-2] if may_have_crs and text.endswith(b"\r\n") else text[:-1]
            if not raw.strip(_BLANK):
                continue
            size = len(raw)
            if shard is not None and size <= limit and not shard.takes(raw):
                continue
            problem = None if size <= limit else _too_long(number, size, limit)
            digest = blake2b(raw, digest_size=_HASH_BYTES).hexdigest()
            if shard is not None and size > limit and not shard.takes_hash(digest):
                continue
            kept = raw if problem is None else raw[:RAW_LIMIT]
            # Line(…) costs twice as much: it goes through a __new__ written in Python.
            lines.append(tuple.__new__(Line, (kept, number, digest, begin, name, size, problem, within)))
        self.number, self.offset = number, offset
        return lines

    def _begin(self, text: bytes) -> None:
        """Keep the beginning of a line of which the end is still to come, in whatever form its size allows."""
        # One byte over the limit may still be the CR of a line end.
        if self._long is None and len(self._begun) + len(text) > self._limit + 1:
            self._long = _LongLine()
            self._long.add(bytes(self._begun))
            self._begun = bytearray()
        if self._long is None:
            self._begun += text
        else:
            self._long.add(text)

    def _end(self, text: bytes, line_end: int) -> list[Line]:
        """The line that was begun and ends with *text*; *line_end* is 1 where an LF follows, else 0."""
        self._begin(text)
        if self._long is None:
            line = bytes(self._begun)
            self._begun = bytearray()
            if line_end:
                return self._whole([line + b"\n"], may_have_crs=True)
            # Without an LF, a CR at the end is text.
            self.number += 1
            begin, self.offset = self.offset, self.offset + len(line)
            last = make_line(line, self.number, begin, self._limit)
            if _is_blank(line) or (self._shard is not None and not is_in(self._shard, last)):
                return []
            return [last._replace(input=self._name, within=self._within)]
        long, self._long = self._long, None
        return self._end_long(long, line_end)

    def _end_long(self, long: _LongLine, line_end: int) -> list[Line]:
        self.number += 1
        begin, self.offset = self.offset, self.offset + long.total + line_end
        digest, size = long.finish(lf=line_end == 1)
        if long.blank or (self._shard is not None and not self._shard.takes_hash(digest)):
            return []
        problem = _too_long(self.number, size, self._limit)
        return [Line(bytes(long.head), self.number, digest, begin, self._name, size, problem, self._within)]


class _LongLine:
    """A line over the limit, of which only the beginning, the size and the hash are kept.

    Attributes:
        head: its first 64 KiB.
        total: bytes so far.
        blank: nothing but blanks so far.
    """

    def __init__(self) -> None:
        self.head = bytearray()
        self.total = 0
        self.blank = True
        self._hash = blake2b(digest_size=_HASH_BYTES)
        self._held = b""  # a CR at the end, which is text unless an LF follows

    def add(self, text: bytes) -> None:
        """Take the next bytes of the line."""
        if not text:
            return
        self.total += len(text)
        self.blank = self.blank and _is_blank(text)
        self._take(self._held)
        self._held = b"\r" if text.endswith(b"\r") else b""
        self._take(text[:-1] if self._held else text)

    def finish(self, *, lf: bool) -> tuple[str, int]:
        """Hash and size of the whole line; *lf* tells whether an LF ended it."""
        if not lf:
            self._take(self._held)
            self._held = b""
        return self._hash.hexdigest(), self.total - len(self._held)

    def _take(self, text: bytes) -> None:
        self._hash.update(text)
        self.head += text[: RAW_LIMIT - len(self.head)]
