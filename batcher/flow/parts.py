"""The lines of a plain file or object that begin in one part of it: those of all parts are the file's, each once.

A line begins at the first byte of the file or behind an LF, and belongs to the part in which its first byte lies,
however far it reaches. So a part that a long line covers has no line at all.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from batcher.core.shard import Part
from batcher.errors import SettingsError
from batcher.flow.inputs import Input
from batcher.flow.unpacking import is_compressed


def refuse_without_ranges(given: Input) -> None:
    """Raise ``SettingsError`` unless the input is a plain file or object."""
    head = given.head()
    if head is None:
        raise SettingsError("--shard-by", f"{given.title} is a stream, which has no ranges", "use --shard-by key")
    if is_compressed(head):
        problem = f"{given.title} is compressed, and can be read only as a whole"
        raise SettingsError("--shard-by", problem, "unpack it first, or use --shard-by key")


def read_part(
    given: Input, part: Part, wake: int, count: Callable[[int], None], begin_at: Callable[[int], None]
) -> Generator[bytes, None, None]:
    """The bytes of all lines that begin in *part* of an input, with their line ends, in pieces of bounded size.

    Args:
        given: plain, and with ranges.
        part: of its bytes.
        wake: a descriptor that becomes readable when reading shall stop.
        count: hears how many bytes of the part were read, before what they hold is yielded.
        begin_at: hears at which byte the first line begins, where that is not the first one of the input.

    Raises:
        Unreadable: it cannot be read on.
        Stopped: *wake* became readable.
    """
    if part.begin == part.end:
        return
    at = max(part.begin - 1, 0)  # an LF there makes the part begin with a line
    with closing(given.chunks(wake, at, part.end)) as chunks:
        yield from _lines(chunks, at, part, count, begin_at)


def _lines(
    chunks: Iterator[bytes], at: int, part: Part, count: Callable[[int], None], begin_at: Callable[[int], None]
) -> Iterator[bytes]:
    """What of *chunks*, which begin *at* a byte of the file, belongs to lines of *part*."""
    begun = part.begin == 0
    for chunk in chunks:
        after = at + len(chunk)
        count(max(0, min(after, part.end) - max(at, part.begin)))
        first = 0
        if not begun:
            first = chunk.find(b"\n", 0, max(0, part.end - 1 - at)) + 1
            if first:
                begun = True
                begin_at(at + first)
        if begun:
            end = chunk.find(b"\n", max(first, part.end - 1 - at)) + 1
            if first < len(chunk):
                yield chunk[first : end or None]
            if end:
                return
        elif after >= part.end - 1:
            count(max(0, part.end - after))
            return
        at = after
