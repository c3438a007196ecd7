"""Files, pipes and standard input as uncompressed bytes, in pieces of bounded size.

gzip and zstd are known by their first bytes; all their members and frames are read, and so are zero bytes that pad a
gzip file (tapes and block devices leave them; gzip(1) accepts them too).
"""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
import zlib
from collections.abc import Callable, Generator, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from batcher.core.fingerprint import display_name
from batcher.errors import InputFailed

STDIN = "-"
PIECE_BYTES = 256 * 1024
"""Bytes that are read or decompressed at once, at most: a bomb grows no further before its lines are taken."""

# Decoders hand back what follows the end of a member or frame as a copy: small steps keep inputs of many tiny members
# from being copied over and over, and lose little where zstd finds an error and gives nothing of that step.
_STEP_BYTES = 8 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
# RFC 8878: a frame, or one of the sixteen kinds of skippable frames.
_ZSTD_MAGICS = (b"\x28\xb5\x2f\xfd", *(bytes([kind]) + b"\x2a\x4d\x18" for kind in range(0x50, 0x60)))
_MAGICS = (_GZIP_MAGIC, *_ZSTD_MAGICS)


class Unreadable(Exception):
    """An input cannot be read on; its text says what is wrong with it, for a sentence that begins with its name."""


class Stopped(Exception):
    """Reading was told to stop: the input has not ended."""


def check(path: str, stdin: int) -> int | None:
    """The size of an input in bytes, None where nobody knows it.

    Nothing is read, and pipes are not opened: a writer that waits for its reader would take that for the reader.

    Raises:
        InputFailed: it does not exist, is a directory, or may not be read.
    """
    try:
        found = os.fstat(stdin) if path == STDIN else Path(path).stat()
        if stat.S_ISDIR(found.st_mode):
            raise InputFailed(f"{describe(path)}: is a directory; name the files in it")
        if not stat.S_ISREG(found.st_mode):
            if path != STDIN and not os.access(path, os.R_OK):
                raise InputFailed(f"{describe(path)}: {os.strerror(errno.EACCES)}; nothing was read")
            return None
        if path == STDIN:
            return max(found.st_size - os.lseek(stdin, 0, os.SEEK_CUR), 0)
        os.close(open_input(path))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise InputFailed(f"{describe(path)}: {reason(error)}; nothing was read") from error
    return found.st_size


def describe(path: str) -> str:
    """The input's name for people."""
    return "standard input" if path == STDIN else display_name(path)


def reason(error: Exception) -> str:
    """What the operating system says, without number and path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def descriptor(stdin: BinaryIO | int | None) -> int:
    """The descriptor behind a stream; standard input's own where none is given."""
    if stdin is None:
        return 0
    return stdin if isinstance(stdin, int) else stdin.fileno()


def read_pieces(path: str, stdin: int, wake: int, count: Callable[[int], None]) -> Generator[bytes, None, None]:
    """The uncompressed bytes of one input, in pieces of at most ``PIECE_BYTES``.

    Args:
        path: a path, or ``-`` for the descriptor *stdin*, which is left open and whose flags are left alone.
        stdin: the descriptor of standard input.
        wake: a descriptor that becomes readable when reading shall stop.
        count: hears the size of each raw part before what it holds is yielded.

    Raises:
        Unreadable: after every byte that could be read was yielded.
        Stopped: *wake* became readable.
    """
    try:
        if path == STDIN:
            yield from _decoded(read_chunks(stdin, wake), count)
            return
        fd = open_input(path)
        try:
            yield from _decoded(read_chunks(fd, wake), count)
        finally:
            os.close(fd)
    except OSError as error:
        raise Unreadable(reason(error)) from error


def open_input(path: str) -> int:
    """A descriptor of its own for an input that is not standard input."""
    # Non-blocking, for a pipe without a writer would hold the open itself, where nothing can wake us. It is a new
    # description that nobody shares, also where the path is /dev/fd/63.
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)


def read_chunks(fd: int, wake: int) -> Iterator[bytes]:
    """What *fd* gives from where it stands, as it comes; raises Stopped once *wake* is readable."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    poller.register(wake, select.POLLIN)
    while True:
        if any(ready == wake for ready, _ in poller.poll()):
            raise Stopped
        try:
            chunk = os.read(fd, PIECE_BYTES)
        except BlockingIOError:  # somebody who shares the descriptor was quicker
            continue
        if not chunk:
            return
        yield chunk


class _Decoder(Protocol):
    def decode(self, raw: bytes) -> Iterator[bytes]:
        """The bytes that come of the next few raw bytes; raises Unreadable where they are corrupt."""

    def finish(self) -> None:
        """The input has ended; raises Unreadable where it should not have."""


def _decoded(chunks: Iterator[bytes], count: Callable[[int], None]) -> Iterator[bytes]:
    head = b""
    for chunk in chunks:
        head += chunk
        if not any(magic.startswith(head) for magic in _MAGICS if len(head) < len(magic)):
            break
    decoder = _decoder(head)
    if decoder is None:
        for chunk in chain((head,) if head else (), chunks):
            count(len(chunk))
            yield chunk
        return
    while head:
        for begin in range(0, len(head), _STEP_BYTES):
            step = head[begin : begin + _STEP_BYTES]
            count(len(step))
            yield from decoder.decode(step)
        head = next(chunks, b"")
    decoder.finish()


def is_compressed(head: bytes) -> bool:
    """Whether an input that begins with *head*, its first four bytes, is gzip or zstd."""
    return head.startswith(_MAGICS)


def _decoder(head: bytes) -> _Decoder | None:
    if head.startswith(_GZIP_MAGIC):
        return _Gzip()
    return _Zstd() if head.startswith(_ZSTD_MAGICS) else None


class _Gzip:
    """Members one after another, padded with zeros or not (RFC 1952)."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)

    def decode(self, raw: bytes) -> Iterator[bytes]:
        piece = b""
        while raw or piece:  # after the last raw byte, there may be more inside
            if self._member.eof:
                raw = raw.lstrip(b"\0")
                if not raw:
                    return
                if raw[:1] != _GZIP_MAGIC[:1]:
                    raise Unreadable("something that is not gzip follows its compressed part")
                self._member = zlib.decompressobj(wbits=31)
            piece, raw = self._decompress(raw)
            if piece:
                yield piece

    def _decompress(self, raw: bytes) -> tuple[bytes, bytes]:
        """What the next bytes hold, and those that are still to be taken."""
        # zlib gives nothing of a call that meets an error: try again with less, so that all before it is had.
        size = len(raw)
        while True:
            before = self._member.copy()
            try:
                piece = self._member.decompress(raw[:size], PIECE_BYTES)
            except zlib.error as error:
                if size <= 1:
                    raise Unreadable(f"its gzip data is corrupt ({error})") from error
                self._member = before
                size //= 2
            else:
                return piece, (self._member.unused_data or self._member.unconsumed_tail) + raw[size:]

    def finish(self) -> None:
        if not self._member.eof:
            raise Unreadable("its gzip data is cut off")


class _Zstd:
    """Frames one after another, skippable ones among them (RFC 8878)."""

    def __init__(self) -> None:
        self._frame: zstd.ZstdDecompressor | None = None

    def decode(self, raw: bytes) -> Iterator[bytes]:
        while raw or self._frame:
            self._frame = self._frame or zstd.ZstdDecompressor()
            try:
                piece = self._frame.decompress(raw, PIECE_BYTES)
            except zstd.ZstdError as error:
                raise Unreadable(f"its zstd data is corrupt or needs too much memory ({error})") from error
            if piece:
                yield piece
            raw = b""
            if self._frame.eof:
                raw = self._frame.unused_data
                self._frame = None
            elif self._frame.needs_input:
                return

    def finish(self) -> None:
        if self._frame:
            raise Unreadable("its zstd data is cut off")
