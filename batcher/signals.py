"""SIGINT and SIGTERM: the first one drains a run, the second one leaves."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterator

from batcher.flow.pipeline import INTERRUPTED, Ending, Pipeline

_LAST_LINES = 2.0
"""Seconds for writing the last result lines, once a run was told to leave."""
_LAST_WORDS = 0.1
"""Seconds for counting what was in flight, once it was told so three times."""


@contextlib.contextmanager
def heard(hear: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Within the block *hear* is told each SIGINT and SIGTERM, in the running event loop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, hear, number)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def interrupted() -> Iterator[asyncio.Future[signal.Signals]]:
    """The first signal within the block, once it has come."""
    first: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()

    def hear(number: signal.Signals) -> None:
        if not first.done():
            first.set_result(number)

    with heard(hear):
        yield first


class Patience:
    """For how long the last results of a run are waited for.

    Attributes:
        limited: a signal has come: a reader who has stopped reading is waited for only where lines would be lost.
    """

    def __init__(self) -> None:
        self.limited = False
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(self) -> None:
        """Wait no more."""
        if not self._over.done():
            self._over.set_result(None)

    async def outlasts(self, work: Coroutine[None, None, None]) -> bool:
        """Do *work*; False once it is waited for no more: it is left as it is then: nothing may wake it."""
        task = asyncio.create_task(work)
        try:
            await asyncio.wait([task, self._over], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task])
            raise
        if not task.done():
            return False
        task.result()
        return True


@contextlib.contextmanager
def draining(pipeline: Pipeline, say: Callable[[str], None], drain_timeout: float) -> Iterator[Patience]:
    """Within the block the first signal drains the run, a second one leaves at once, a third one waits for no line.

    A thread that writes results to a pipe which nobody reads cannot be woken: patience with it ends a moment behind the
    drain timeout or the second signal.

    Args:
        pipeline: the run.
        say: takes a sentence for people.
        drain_timeout: seconds that what is in flight may take.
    """
    loop = asyncio.get_running_loop()
    patience = Patience()
    breaking_off: asyncio.TimerHandle | None = None
    count = 0

    def hear(number: signal.Signals) -> None:
        nonlocal breaking_off, count
        count += 1
        patience.limited = True
        if breaking_off is not None:
            breaking_off.cancel()
        if count == 1:
            if pipeline.submitter.gate.closed:
                say(f"{number.name} was received while the run ends; a second one leaves at once")
            else:
                pipeline.drain(Ending(INTERRUPTED, f"{number.name} was received"), "interrupted")
        elif count == 2:  # noqa: PLR2004 - the second signal
            pipeline.leave()
        left = {1: drain_timeout + _LAST_LINES, 2: _LAST_LINES}.get(count, _LAST_WORDS)
        breaking_off = loop.call_later(left, patience.end)

    with heard(hear):
        try:
            yield patience
        finally:
            if breaking_off is not None:
                breaking_off.cancel()
