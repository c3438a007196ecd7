"""SIGINT and SIGTERM: the first one drains a run, the second one leaves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator

from batcher.errors import OutputFailed
from batcher.flow.pipeline import INTERRUPTED, Ending, Pipeline

_LAST_LINES = 2.0
"""Seconds for writing the last result lines, once a run was told to leave."""


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


@contextlib.contextmanager
def draining(pipeline: Pipeline, say: Callable[[str], None], drain_timeout: float, *, ledger: bool) -> Iterator[None]:
    """Within the block the first signal drains the run, a second one leaves at once, a third one does not even wait.

    A thread that writes results to a pipe which nobody reads cannot be woken: the process then ends without it.

    Args:
        pipeline: the run.
        say: takes a line for people.
        drain_timeout: seconds that what is in flight may take.
        ledger: the lines that cannot be written are kept.
    """
    loop = asyncio.get_running_loop()
    breaking_off: asyncio.TimerHandle | None = None
    count = 0

    def hear(number: signal.Signals) -> None:
        nonlocal breaking_off, count
        count += 1
        if breaking_off is not None:
            breaking_off.cancel()
        if count == 1:
            if pipeline.submitter.gate.closed:
                say(f"veetro-batch: {number.name} was received while the run ends; a second one leaves at once")
            else:
                pipeline.drain(Ending(INTERRUPTED, f"{number.name} was received"), "interrupted")
            breaking_off = loop.call_later(drain_timeout + _LAST_LINES, break_off)
        elif count == 2:  # noqa: PLR2004 - the second signal
            pipeline.leave()
            breaking_off = loop.call_later(_LAST_LINES, break_off)
        else:
            break_off()

    def break_off() -> None:
        left = "are in the ledger alone" if ledger else "are lost"
        say(f"veetro-batch: error: nobody reads the results: the last lines {left}")
        os._exit(OutputFailed.exit_code)

    with heard(hear):
        try:
            yield
        finally:
            if breaking_off is not None:
                breaking_off.cancel()
