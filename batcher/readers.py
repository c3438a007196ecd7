"""Named pipes that results are to go to: opening one waits for its reader, and that wait can be ended by a signal."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterable

from batcher.errors import RunAborted
from batcher.flow.pipeline import INTERRUPTED
from batcher.signals import interrupted

_LOOK = 0.05
"""Seconds between two looks whether a reader has come: no system call waits for that and for signals as well."""


@contextlib.asynccontextmanager
async def read_by_others(paths: Iterable[str], say: Callable[[str], None]) -> AsyncIterator[None]:
    """Within the block each of *paths* that is a named pipe has a reader, so that opening it does not block.

    Args:
        paths: of files that will be written.
        say: takes a sentence for people.

    Raises:
        RunAborted: a signal came before the reader.
    """
    with contextlib.ExitStack() as stack:
        for path in paths:
            if _is_named_pipe(path):
                stack.callback(os.close, await _wait(path, say))
        yield


def _is_named_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)  # noqa: PTH116 - a path is a text here
    except OSError:
        return False  # whoever opens it says what is wrong


async def _wait(path: str, say: Callable[[str], None]) -> int:
    """A descriptor of our own, which holds the reader until the file is opened for good."""
    fd = _open(path)
    if fd is not None:
        return fd
    with interrupted() as signalled:
        say(f"waiting for somebody to read {path}")
        while (fd := _open(path)) is None:
            await asyncio.wait([signalled], timeout=_LOOK)
            if signalled.done():
                error = RunAborted(f"{signalled.result().name} was received while nobody read {path}")
                error.exit_code = INTERRUPTED
                raise error
    return fd


def _open(path: str) -> int | None:
    try:
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)  # whoever opens it says what is wrong
