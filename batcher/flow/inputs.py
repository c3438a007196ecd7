"""What is read: files, pipes and standard input here, objects in a store beside it; all give raw bytes in pieces."""

from __future__ import annotations

import errno
import os
import select
import stat
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from batcher.core.fingerprint import display_name
from batcher.errors import InputFailed

STDIN = "-"
PIECE_BYTES = 256 * 1024
"""Bytes that are read or decompressed at once, at most: a bomb grows no further before its lines are taken."""
HEAD_BYTES = 4
"""So many first bytes tell whether an input is compressed."""


class Unreadable(Exception):
    """An input cannot be read on; its text says what is wrong with it, for a sentence that begins with its name."""


class Stopped(Exception):
    """Reading was told to stop: the input has not ended."""


class Input(Protocol):
    """One input, of which it is known that it can be read.

    Attributes:
        name: as results tell it.
        title: as people call it.
        size: in bytes, None where nobody knows it.
    """

    name: str
    title: str
    size: int | None

    def head(self) -> bytes | None:
        """Its first ``HEAD_BYTES``; None where it has no ranges, so that it can be read only from where it stands."""

    def chunks(self, wake: int, begin: int = 0, end: int | None = None) -> Generator[bytes, None, None]:
        """Its raw bytes, in pieces of at most ``PIECE_BYTES``.

        Args:
            wake: a descriptor that becomes readable when reading shall stop.
            begin: the first byte, of an input that has ranges.
            end: from here on only a little is wanted; it ends no sooner than the input does.

        Raises:
            Unreadable: after every byte that could be read was yielded.
            Stopped: *wake* became readable.
        """


class FileInput:
    """A file, a pipe or standard input. Nothing is read yet.

    Pipes are not opened: a writer that waits for its reader would take that for the reader.

    Args:
        path: a path, or ``-`` for the descriptor *stdin*, which is left open and whose flags are left alone.
        stdin: the descriptor of standard input.

    Raises:
        InputFailed: it does not exist, is a directory, or may not be read.
    """

    def __init__(self, path: str, stdin: int) -> None:
        self._path = path
        self._stdin = stdin
        self.name = display_name(path)
        self.title = "standard input" if path == STDIN else self.name
        self.size = self._check()

    def head(self) -> bytes | None:
        """Its first bytes; what is wrong with it is told when it is read."""
        if self.size is None or self._path == STDIN:
            return None
        try:
            fd = _open(self._path)
        except OSError:
            return b""
        try:
            return os.read(fd, HEAD_BYTES)
        except OSError:
            return b""
        finally:
            os.close(fd)

    def chunks(self, wake: int, begin: int = 0, end: int | None = None) -> Generator[bytes, None, None]:
        """Its raw bytes, as they come."""
        try:
            if self._path == STDIN:
                yield from _read(self._stdin, wake)
                return
            fd = _open(self._path)
            try:
                if begin or end is not None:
                    if not stat.S_ISREG(os.fstat(fd).st_mode):
                        raise Unreadable("is no file any more")
                    os.lseek(fd, begin, os.SEEK_SET)
                yield from _read(fd, wake)
            finally:
                os.close(fd)
        except OSError as error:
            raise Unreadable(_reason(error)) from error

    def _check(self) -> int | None:
        path = self._path
        try:
            found = os.fstat(self._stdin) if path == STDIN else Path(path).stat()
            if stat.S_ISDIR(found.st_mode):
                raise InputFailed(f"{self.title}: is a directory; name the files in it")
            if not stat.S_ISREG(found.st_mode):
                if path != STDIN and not os.access(path, os.R_OK):
                    raise InputFailed(f"{self.title}: {os.strerror(errno.EACCES)}; nothing was read")
                return None
            if path == STDIN:
                return max(found.st_size - os.lseek(self._stdin, 0, os.SEEK_CUR), 0)
            os.close(_open(path))
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise InputFailed(f"{self.title}: {_reason(error)}; nothing was read") from error
        return found.st_size


def descriptor(stdin: BinaryIO | int | None) -> int:
    """The descriptor behind a stream; standard input's own where none is given."""
    if stdin is None:
        return 0
    return stdin if isinstance(stdin, int) else stdin.fileno()


def _reason(error: Exception) -> str:
    """What the operating system says, without number and path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _open(path: str) -> int:
    """A descriptor of its own for an input that is not standard input."""
    # Non-blocking, for a pipe without a writer would hold the open itself, where nothing can wake us. It is a new
    # description that nobody shares, also where the path is /dev/fd/63.
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)


def _read(fd: int, wake: int) -> Iterator[bytes]:
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
