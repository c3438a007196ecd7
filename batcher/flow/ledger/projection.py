"""The files that the ledger's lines are written to. They hold nothing that the ledger does not, and can be made again.

So a file needs no more care than this: its bytes count as *accounted* only once they are on the disk, and what lies
behind them is cut off and written anew by the next run.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import stat
from collections.abc import Iterator, Sequence

from batcher.flow.ledger.rows import Kind
from batcher.flow.ledger.store import Store
from batcher.flow.output import LineFile

_SYNC_BYTES = 8 << 20
"""After so many bytes a file is brought to the disk: what a crash of the machine makes the next run write again."""
_PIECE = 64 << 10
"""Bytes written at once: what a pipe holds, so that one who still reads is told from one who has stopped."""
_COMPARED = 64 << 10
"""Bytes before the end of what is accounted for by which a file is known for the one that was left."""


def _pieces(lines: Sequence[bytes]) -> Iterator[bytes]:
    """All bytes of *lines*, at most ``_PIECE`` at a time: a buffer for all would be large, and of any size."""
    first, size = 0, 0
    for end, line in enumerate(lines, 1):
        size += len(line)
        if size >= _PIECE or end == len(lines):
            piece = lines[first] if end == first + 1 else b"".join(lines[first:end])
            yield from (piece[at : at + _PIECE] for at in range(0, size, _PIECE))
            first, size = end, 0


class Projection:
    """Results and rejects, continued where an earlier run ended. Every method but ``accounted`` blocks.

    A file that the ledger knows is cut at its last accounted byte and continued from the ledger; one that is new,
    shorter than that or holds something else there is made from the ledger. Standard output, pipes and devices get this
    run's lines alone.

    Args:
        store: the ledger.
        results: path, ``-`` for standard output, or None.
        rejects: path or None.
        only_known: a file that the ledger does not know gets this run's lines alone as well.

    Raises:
        OutputFailed: a file cannot be opened or written.
    """

    def __init__(self, store: Store, results: str | None, rejects: str | None, *, only_known: bool = False) -> None:
        self.taken = 0
        self._outputs: dict[Kind, LineFile] = {}
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            if results is not None:
                self._outputs["results"] = _open(store, "results", results, only_known=only_known)
            if rejects is not None:
                self._outputs["rejects"] = _open(store, "rejects", rejects, only_known=only_known)
            stack.pop_all()

    def write_earlier(self, results: Sequence[bytes], rejects: Sequence[bytes]) -> None:
        """The same of lines of earlier runs that have come from other ledgers: for files that have all, and no pipe.

        Raises:
            OutputFailed: they cannot be written.
        """
        told: tuple[tuple[Kind, Sequence[bytes]], ...] = (("results", results), ("rejects", rejects))
        for kind, lines in told:
            output = self._outputs.get(kind)
            if lines and isinstance(output, _Continued):
                output.write(b"".join(lines))
                self.taken += 1

    def write(self, results: Sequence[bytes], rejects: Sequence[bytes]) -> None:
        """Write the lines of a commit that is durable.

        Raises:
            OutputFailed: they cannot be written.
        """
        for kind, lines in (("results", results), ("rejects", rejects)):
            if lines and kind in self._outputs:
                for piece in _pieces(lines):
                    self._outputs[kind].write(piece)
                    self.taken += 1

    def accounted(self) -> dict[str, int]:
        """By path: how many bytes of each file are on the disk for certain."""
        return {output.path: output.synced for output in self._outputs.values() if isinstance(output, _Continued)}

    def sync(self) -> None:
        """Bring all that is written to the disk, so that it is accounted for.

        Raises:
            OutputFailed: the disk does not take it.
        """
        for output in self._outputs.values():
            if isinstance(output, _Continued):
                output.sync()

    def close(self) -> None:
        """Let go of the files.

        Raises:
            OutputFailed: only now the system says that it could not write.
        """
        with contextlib.ExitStack() as stack:
            for output in self._outputs.values():
                stack.callback(output.close)


class _Continued(LineFile):
    """A regular file.

    Attributes:
        path: by which the ledger knows it; bytes of its name that are no text are written as escapes.
        synced: bytes of it that are on the disk for certain.
    """

    def __init__(self, store: Store, kind: Kind, path: str) -> None:
        path = os.path.realpath(path)
        self.path = _name(path)
        self.synced = self._size = _kept(store, kind, path, store.accounted(self.path) or 0)
        super().__init__(path, keep=self._size)
        try:
            self.cut()
            for piece in store.lines(kind, self._size):
                self.write(piece)
        except BaseException:
            self.close()
            raise

    def write(self, lines: bytes) -> None:
        super().write(lines)
        self._size += len(lines)
        if self._size - self.synced >= _SYNC_BYTES:
            self.sync()

    def sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise self._failed(error) from error
        self.synced = self._size


def _open(store: Store, kind: Kind, path: str, *, only_known: bool) -> LineFile:
    if only_known and store.accounted(_name(path)) is None:
        return LineFile(path)
    with contextlib.suppress(OSError):  # what cannot be looked at is for the opening to tell
        if path == "-" or not stat.S_ISREG(pathlib.Path(path).stat().st_mode):
            return LineFile(path)
    return _Continued(store, kind, path)


def _name(path: str) -> str:
    """By which the ledger knows a file."""
    return os.fsencode(os.path.realpath(path)).decode(errors="backslashreplace")


def _kept(store: Store, kind: Kind, path: str, accounted: int) -> int:
    """How many bytes at the file's beginning stay: all that are accounted for, or none where it is another file."""
    start = max(0, accounted - _COMPARED)
    try:
        with pathlib.Path(path).open("rb") as file:
            file.seek(start)
            found = file.read(accounted - start)
    except OSError:
        return 0
    expected = b""
    for piece in store.lines(kind, start):
        expected += piece
        if len(expected) >= accounted - start:
            break
    return accounted if found == expected[: accounted - start] else 0
