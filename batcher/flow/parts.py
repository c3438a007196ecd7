"""The lines of a plain file that begin in one part of it: those of all parts are the file's, each once.

A line begins at the first byte of the file or behind an LF, and belongs to the part in which its first byte lies,
however far it reaches. So a part that a long line covers has no line at all.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterator

from batcher.core.shard import Part
from batcher.errors import SettingsError
from batcher.flow.inputs import STDIN, Unreadable, describe, is_compressed, open_input, read_chunks, reason

_MAGIC_BYTES = 4


def refuse_without_ranges(path: str, size: int | None) -> None:
    """Raise ``SettingsError`` unless the input is a plain file; *size* is its size, None where it is no file."""
    remedy = "unpack it first, or use --shard-by key"
    if size is None or path == STDIN:
        raise SettingsError("--shard-by", f"{describe(path)} is a stream, which has no ranges", "use --shard-by key")
    try:
        fd = open_input(path)
        try:
            compressed = is_compressed(os.read(fd, _MAGIC_BYTES))
        finally:
            os.close(fd)
    except OSError:
        return  # it is told when it is read
    if compressed:
        raise SettingsError("--shard-by", f"{describe(path)} is compressed, and can be read only as a whole", remedy)


def read_part(
    path: str, part: Part, wake: int, count: Callable[[int], None], begin_at: Callable[[int], None]
) -> Generator[bytes, None, None]:
    """The bytes of all lines that begin in *part* of a file, with their line ends, in pieces of bounded size.

    Args:
        path: of a plain file.
        part: of its bytes.
        wake: a descriptor that becomes readable when reading shall stop.
        count: hears how many bytes of the part were read, before what they hold is yielded.
        begin_at: hears at which byte the first line begins, where that is not the first one of the file.

    Raises:
        Unreadable: it cannot be read on.
        Stopped: *wake* became readable.
    """
    try:
        fd = open_input(path)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise Unreadable("is no file any more")
            at = max(part.begin - 1, 0)  # an LF there makes the part begin with a line
            os.lseek(fd, at, os.SEEK_SET)
            if part.begin < part.end:
                yield from _lines(read_chunks(fd, wake), at, part, count, begin_at)
        finally:
            os.close(fd)
    except OSError as error:
        raise Unreadable(reason(error)) from error


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
