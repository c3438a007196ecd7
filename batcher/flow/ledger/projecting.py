"""The thread that writes result lines to their files, once the ledger holds them.

It is a daemon: a write to a pipe that nobody reads cannot be woken, and must not keep the process from its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from batcher.errors import OutputFailed
from batcher.flow.ledger.projection import Projection

_PAUSE = 0.05
"""Seconds between two writes at least, for which lines are gathered; a line is to be out within 0.2 s."""
_STUCK = 0.5
"""Seconds without a byte taken after which a reader counts as one who has stopped reading."""
_LOOK = 0.05


def _unheard(_count: int, _size: int) -> None:
    """Nobody keeps the books any more."""


class Durable(NamedTuple):
    """What a commit holds: lines, how many results they are of, and the sum of those results' sizes.

    Attributes:
        earlier: they are of earlier runs, and have come from another ledger.
    """

    results: Sequence[bytes]
    rejects: Sequence[bytes]
    ended: int
    size: int
    earlier: bool = False


class Projecting:
    """Writes durable lines on a thread of its own, for as long as they can be written.

    Made within the event loop, which hears what comes of it.

    Args:
        projection: the files.
        written: is told how many results are out, and the sum of their sizes; or that they will never be out, once the
            files cannot be written.
        broken: is told why they cannot, once.

    Attributes:
        gone: set once the thread has ended.
    """

    def __init__(
        self,
        projection: Projection,
        written: Callable[[int, int], None],
        broken: Callable[[OutputFailed], None],
    ) -> None:
        self._projection = projection
        self._written = written
        self._broken = broken
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Durable | None] = queue.SimpleQueue()
        self._hurry = threading.Event()
        self.gone = asyncio.Event()
        self._left = [0, 0]
        self._failed = False
        self._writing = threading.Thread(target=self._run, name="results", daemon=True)
        self._writing.start()

    def put(self, durable: Durable) -> None:
        """Write these behind the others."""
        self._left[0] += durable.ended
        self._left[1] += durable.size
        self._queue.put(durable)

    def finish(self) -> None:
        """Nothing more will be put."""
        self._hurry.set()
        self._queue.put(None)

    async def join(self, *, patient: Callable[[], bool]) -> bool:
        """Wait until all is written; False once no reader takes anything any more and nobody is *patient*."""
        taken, since = self._projection.taken, time.monotonic()
        while not self.gone.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.gone.wait(), _LOOK)
            if self._projection.taken != taken or patient():
                taken, since = self._projection.taken, time.monotonic()
            elif time.monotonic() - since >= _STUCK:
                self._written(*self._left)
                self._written = _unheard
                return False
        return True

    def join_now(self) -> bool:
        """The same, blocking; nobody is told any more."""
        self._written = _unheard
        taken = -1
        while self._writing.is_alive() and taken != self._projection.taken:
            taken = self._projection.taken
            self._writing.join(_STUCK)
        return not self._writing.is_alive()

    def _run(self) -> None:
        last, due = False, 0.0
        while not last:
            batch = [self._queue.get()]
            self._hurry.wait(max(0.0, due - time.monotonic()))
            with contextlib.suppress(queue.Empty):
                while batch[-1] is not None:
                    batch.append(self._queue.get_nowait())
            last = batch[-1] is None
            self._write([durable for durable in batch if durable is not None])
            due = time.monotonic() + _PAUSE
        self._tell(self.gone.set)

    def _write(self, batch: Sequence[Durable]) -> None:
        if not self._failed:
            try:
                for earlier, group in itertools.groupby(batch, lambda durable: durable.earlier):
                    alike = list(group)
                    write = self._projection.write_earlier if earlier else self._projection.write
                    write(
                        [line for durable in alike for line in durable.results],
                        [line for durable in alike for line in durable.rejects],
                    )
            except OutputFailed as error:
                self._failed = True
                self._tell(functools.partial(self._broken, error))
        count, size = sum(durable.ended for durable in batch), sum(durable.size for durable in batch)
        self._tell(lambda: self._out(count, size))

    def _out(self, count: int, size: int) -> None:
        self._left[0] -= count
        self._left[1] -= size
        self._written(count, size)

    def _tell(self, what: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed: the run broke off
            self._loop.call_soon_threadsafe(what)
