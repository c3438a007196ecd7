"""One writer a ledger: a lock file beside it, held by the kernel for as long as its process lives."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from batcher.errors import LedgerInUse, OutputFailed
from batcher.flow.ledger.sqlite.store import SqliteStore

_LOOK = 0.05
"""Seconds between two looks whether the lock is free."""
_GLANCE = 0.5
"""Seconds of patience with those who only make sure that nobody writes: they are quick."""


class Lock:
    """The right to write a ledger, from construction on until ``close`` or the end of the process, even by SIGKILL.

    The file stays when the lock is let go: to remove it would let two processes hold one each. Readers need no lock.

    Args:
        path: of the ledger, which need not be there yet; every path to the same file is locked by the same lock.
        wait: seconds to wait for another run to end; blocks.
        create: make the ledger where there is none, once it is opened.

    Raises:
        LedgerInUse: another run holds it still.
        OutputFailed: the lock file cannot be made, or its file system has no locks.
    """

    def __init__(self, path: str, wait: float, *, create: bool = False) -> None:
        self._path = path
        self._create = create
        beside = _beside(path)
        if not beside.parent.is_dir():
            raise OutputFailed(f"the ledger {path} cannot be made: there is no directory {beside.parent}")
        self._file: int | None = None
        with contextlib.ExitStack() as stack:
            try:
                file = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                stack.callback(os.close, file)
                held = _wait_for(file, wait)
            except OSError as error:
                raise OutputFailed(f"the ledger {path} cannot be locked: {error.strerror}") from error
            if not held:
                waited = f" after {wait:g} s" if wait else ""
                raise LedgerInUse(
                    f"another run is writing the ledger {path}{waited}; --ledger-wait S waits so many seconds for its"
                    " end"
                )
            stack.pop_all()
        self._file = file

    def open(self) -> SqliteStore:
        """The ledger, for writing under this lock.

        Raises:
            LedgerRefused: there is none, or it is no ledger of this format.
            OutputFailed: it cannot be opened or made.
        """
        store = SqliteStore(self._path, create=self._create, write=True)
        self._create = False  # one that is gone later was lost, and an empty one in its place would hide that
        return store

    def read(self) -> SqliteStore:
        """The ledger, for its writer to read."""
        return SqliteStore(self._path)

    def earlier(self) -> None:
        """A file is of one division alone."""

    def on_lost(self, lost: Callable[[OutputFailed], None]) -> None:
        """Nobody can take a lock over while its process lives."""

    def close(self) -> None:
        """Let others write."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextlib.contextmanager
def standing_still(path: str) -> Iterator[bool]:
    """Whether no run writes the ledger at *path*; if so none can begin to within the block.

    Raises:
        OutputFailed: nobody can tell.
    """
    with contextlib.ExitStack() as stack:
        still = True
        try:
            # Where there is no lock file nobody has ever written here.
            file = os.open(_beside(path), os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, file)
            still = _lock(file, fcntl.LOCK_SH)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise OutputFailed(f"the lock of the ledger {path} cannot be looked at: {error.strerror}") from error
        yield still


def _beside(path: str) -> pathlib.Path:
    return pathlib.Path(f"{os.path.realpath(path)}.lock")


def _lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_for(file: int, wait: float) -> bool:
    """Lock *file*, if need be within *wait* seconds; False if another one holds it still."""
    now = time.monotonic()
    until, glanced = now + wait, now + _GLANCE
    while not _lock(file, fcntl.LOCK_EX):
        now = time.monotonic()
        # A shared lock can be had beside those who look, and not beside one who writes.
        looked_at = now < glanced and _lock(file, fcntl.LOCK_SH)
        if looked_at:
            fcntl.flock(file, fcntl.LOCK_UN)
        elif now >= until:
            return False
        time.sleep(min(_LOOK, max(until - now, _LOOK / 10)))
    return True
