"""One writer a ledger: a lock file beside it, held by the kernel for as long as its process lives."""

from __future__ import annotations

import os
import pathlib
from types import TracebackType
from typing import Self

import filelock

from batcher.errors import LedgerInUse, OutputFailed


class Lock:
    """The right to write a ledger, from construction on until ``close`` or the end of the process, even by SIGKILL.

    The file stays when the lock is let go: to remove it would let two processes hold one each. Readers need no lock.

    Args:
        path: of the ledger, which need not be there yet; every path to the same file is locked by the same lock.
        wait: seconds to wait for another run to end; blocks.

    Raises:
        LedgerInUse: another run holds it still.
        OutputFailed: the lock file cannot be made, or its file system has no locks.
    """

    def __init__(self, path: str, wait: float) -> None:
        beside = pathlib.Path(f"{os.path.realpath(path)}.lock")
        if not beside.parent.is_dir():  # filelock would make it
            raise OutputFailed(f"the ledger {path} cannot be made: there is no directory {beside.parent}")
        self._lock = filelock.FileLock(
            beside,
            timeout=wait,
            mode=0o600,
            thread_local=False,  # who opens the ledger and who closes it may be different threads
            fallback_to_soft=False,  # a file that is there or not would outlive a killed writer
        )
        try:
            self._lock.acquire()
        except filelock.Timeout as error:
            waited = f" after {wait:g} s" if wait else ""
            raise LedgerInUse(
                f"another run is writing the ledger {path}{waited}; --ledger-wait S waits so many seconds for its end"
            ) from error
        except OSError as error:
            raise OutputFailed(f"the ledger {path} cannot be locked: {error.strerror}") from error

    def close(self) -> None:
        """Let others write."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
