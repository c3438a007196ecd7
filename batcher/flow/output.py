"""A file, a pipe or standard output that lines are appended to; every method blocks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import stat

from batcher.errors import OutputFailed


class LineFile:
    """A file that lines are appended to. It is readable by its owner alone, and one run at a time writes it.

    What it held before is lost with the first write, or when it is closed: not yet when it is opened, so that a run
    which cannot begin destroys nothing.

    Args:
        path: where; ``-`` is standard output.
        keep: bytes at its beginning that stay.

    Raises:
        OutputFailed: it cannot be opened, or another run writes it.
    """

    def __init__(self, path: str, *, keep: int = 0) -> None:
        self._name = "standard output" if path == "-" else path
        self._keep: int | None = None if path == "-" else keep  # until what lies behind is cut off
        try:
            if path == "-":
                self._fd = os.dup(1)
            else:
                self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
                if stat.S_ISREG(os.fstat(self._fd).st_mode):
                    self._lock()
                    _keep_to_owner(self._fd)
                else:
                    self._keep = None
        except OSError as error:
            raise self._failed(error) from error

    def write(self, lines: bytes) -> None:
        """Write all of *lines*; blocks.

        Raises:
            OutputFailed: they cannot be written.
        """
        view = memoryview(lines)
        try:
            self.cut()
            while view:
                try:
                    view = view[os.write(self._fd, view) :]
                except BlockingIOError:  # somebody who shares our standard output has made it non-blocking
                    self._wait_for_room()
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Let go of the file.

        Raises:
            OutputFailed: only now the system says that it could not write.
        """
        try:
            try:
                self.cut()
            finally:
                os.close(self._fd)
        except OSError as error:
            raise self._failed(error) from error

    def cut(self) -> None:
        """Cut off now what lies behind the bytes that stay, as the first write does.

        Raises:
            OutputFailed: that is not possible.
        """
        if self._keep is None:
            return
        try:
            os.ftruncate(self._fd, self._keep)
            os.lseek(self._fd, self._keep, os.SEEK_SET)
        except OSError as error:
            raise self._failed(error) from error
        self._keep = None

    def _lock(self) -> None:
        """Two runs that write one file would lose each other's lines without a word."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._fd)
            raise OutputFailed(f"{self._name} is being written by another run: give each its own") from error
        except OSError:
            pass  # a file system without locks

    def _wait_for_room(self) -> None:
        room = select.poll()
        room.register(self._fd, select.POLLOUT)
        room.poll()

    def _failed(self, error: OSError) -> OutputFailed:
        if isinstance(error, BrokenPipeError):
            return OutputFailed(f"{self._name} was closed by its reader")
        return OutputFailed(f"{self._name} cannot be written: {error.strerror}")


def _keep_to_owner(fd: int) -> None:
    """Close a file to others that was there before."""
    if os.fstat(fd).st_mode & 0o077:
        with contextlib.suppress(PermissionError):  # it is not ours, but we may write it
            os.fchmod(fd, 0o600)
