"""Files that are there whole or not at all: written beside their place, then put into it."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator

from batcher.errors import OutputFailed


def refuse_unwritable(path: str) -> None:
    """Find out now what would else be found out at the end of a night's run.

    Raises:
        OutputFailed: ``replace`` could not write *path*.
    """
    with _failing(path):
        if _is_ordinary(path):
            with _beside(path) as (_, made):
                os.unlink(made)  # noqa: PTH108 - a path is a text here, as everywhere in settings


def replace(path: str, content: bytes, *, keep_mode: bool = False) -> None:
    """Let *path* hold *content*, readable by its owner alone; whoever reads it finds the old or the new, never a part.

    Args:
        path: of the file; what is no ordinary file, such as a pipe, is written to as it is.
        content: all of it.
        keep_mode: a file that is there already keeps its permissions, which its reader may need.

    Raises:
        OutputFailed: it cannot be written; what was there is there still.
    """
    with _failing(path):
        if not _is_ordinary(path):
            with open(path, "wb") as file:  # noqa: PTH123
                file.write(content)
            return
        with _beside(path) as (descriptor, made):
            with open(descriptor, "wb", closefd=False) as file:
                file.write(content)
            os.fsync(descriptor)
            with contextlib.suppress(FileNotFoundError):
                if keep_mode:
                    os.fchmod(descriptor, stat.S_IMODE(os.stat(path).st_mode))  # noqa: PTH116
            os.replace(made, os.path.realpath(path))  # noqa: PTH105


@contextlib.contextmanager
def _beside(path: str) -> Iterator[tuple[int, str]]:
    """A new file in the same directory; its descriptor and its path, where it is no more unless it was moved away."""
    directory, name = os.path.split(os.path.realpath(path))
    descriptor, made = tempfile.mkstemp(prefix=f".{name}.", dir=directory)
    try:
        yield descriptor, made
    finally:
        os.close(descriptor)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(made)  # noqa: PTH108


def _is_ordinary(path: str) -> bool:
    """Whether *path* is a regular file, or can become one."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except FileNotFoundError:
        return True
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(21, "it is a directory")
    return stat.S_ISREG(mode)


@contextlib.contextmanager
def _failing(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputFailed(f"{path} cannot be written: {error.strerror}") from error
