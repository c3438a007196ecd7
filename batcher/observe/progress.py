"""Which view of the progress there is, and its task."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from batcher.core.events import Observer
from batcher.observe.lines import Lines
from batcher.observe.plain import PlainProgress
from batcher.observe.tally import Tally

MODES = ("auto", "live", "plain", "off")


class Progress(Observer, Protocol):
    """A view: hears the rare events, and draws while its ``run`` is awaited."""

    async def run(self) -> None:
        """Draw until cancelled."""


def choose_mode(mode: str, *, is_terminal: bool, environ: Mapping[str, str]) -> str:
    """``live``, ``plain`` or ``off`` for one of ``MODES``.

    A dumb terminal cannot move its cursor, so it gets plain lines also where ``live`` was asked for.
    """
    if mode == "auto":
        mode = "live" if is_terminal else "plain"
    return "plain" if mode == "live" and environ.get("TERM", "").lower() in ("dumb", "unknown") else mode


def make_progress(
    mode: str, tally: Tally, lines: Lines, environ: Mapping[str, str], title: str = "veetro-batch"
) -> Progress | None:
    """The view that *mode*, the stream behind *lines* and the environment ask for; None for none."""
    chosen = choose_mode(mode, is_terminal=lines.stream.isatty(), environ=environ)
    if chosen == "off":
        return None
    if chosen == "plain":
        return PlainProgress(tally, lines)
    # Only here: rich takes a tenth of a second to import, and most runs have no terminal.
    from rich.console import Console  # noqa: PLC0415

    from batcher.observe.live import LiveProgress  # noqa: PLC0415

    # https://no-color.org: any value that is not empty.
    console = Console(
        file=lines.stream, force_terminal=True, no_color=bool(environ.get("NO_COLOR")), highlight=False, markup=False
    )
    return LiveProgress(tally, lines, console, title)


@contextlib.asynccontextmanager
async def shown(progress: Progress | None) -> AsyncIterator[None]:
    """Draw *progress* in a task of its own within the block; the terminal is as before when the block is left.

    An error in the drawing comes out where the block ends: it is a bug of ours, but it does not cost records.
    """
    if progress is None:
        yield
        return
    task = asyncio.create_task(progress.run(), name="progress")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()
