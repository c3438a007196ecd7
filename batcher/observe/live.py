"""The live view: drawn by rich on the terminal at standard error, five times a second.

Importing rich takes a tenth of a second: import this module only where the view is used.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from batcher.core.events import Event
from batcher.core.verdict import Outcome
from batcher.observe.lines import Lines
from batcher.observe.pace import Pace, share_done, standing, time_left
from batcher.observe.summary import Percentiles
from batcher.observe.tally import Tally
from batcher.observe.words import duration, number, percent, span

INTERVAL = 0.2
"""Seconds between two pictures."""

_SHOWN_PROBLEMS = 4
_COLOURS = {Outcome.DELIVERED: "green", Outcome.REJECTED: "red", Outcome.INVALID: "red", Outcome.IN_DOUBT: "yellow"}


class LiveProgress:
    """Draws while its ``run`` is awaited and leaves nothing behind; an Observer that needs to hear nothing."""

    def __init__(self, tally: Tally, lines: Lines, console: Console, title: str = "veetro-batch") -> None:
        self._tally = tally
        self._lines = lines
        self._console = console
        self._title = title
        self._pace = Pace(tally)

    async def run(self) -> None:
        """Draw, until cancelled; a terminal that goes away ends only the drawing."""
        # Only standard error is ours: what strangers write there goes above the view too.
        live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)
        with contextlib.suppress(OSError), self._lines.through(self._print), live:
            while True:
                live.update(self.picture(), refresh=True)
                await asyncio.sleep(INTERVAL)

    def notice(self, _event: Event, /) -> None:
        """The next picture shows it."""

    def _print(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)

    def picture(self) -> RenderableType:
        """The view as it is now."""
        return Group(*self._rows(self._pace.mark()))

    def _rows(self, rate: float) -> Iterator[RenderableType]:
        tally = self._tally
        yield _ends(
            Text(self._title, style="bold"), Text(", ".join(filter(None, (span(tally.seconds), time_left(tally)))))
        )
        share = share_done(tally)
        read = f"{number(tally.done)} of {number(tally.input_records)} read"
        if share is None:
            yield Text(read)
        else:
            yield _beside(
                ProgressBar(total=1.0, completed=share, complete_style="blue", finished_style="blue"),
                Text(f"{percent(share, 1)}  {read}"),
            )
        yield self._outcomes()
        yield self._effort(rate)
        percentiles = Percentiles.of_attempts(tally)
        if percentiles.p50 is not None:
            yield _line(
                f"request   p50 {duration(percentiles.p50)}  p95 {duration(percentiles.p95)}"
                f"  p99 {duration(percentiles.p99)}"
            )
        for text in standing(tally):
            yield _line(text, "bold yellow")
        yield from self._problems()

    def _outcomes(self) -> Text:
        text = Text(no_wrap=True, overflow="ellipsis")
        for outcome, count in self._tally.outcomes.items():
            style = _COLOURS.get(outcome, "") if count else "dim"
            text.append(f"{outcome.value.replace('_', ' ')} {number(count)}  ", style)
        return text

    def _effort(self, rate: float) -> Text:
        gauges = self._tally.gauges()
        retries = sum(self._tally.retries.values())
        return _line(
            f"{number(rate)}/s  in flight {number(gauges.in_flight)} of {number(gauges.limit)}"
            f"  waiting {number(gauges.waiting)}  retries {number(retries)}"
        )

    def _problems(self) -> Iterator[RenderableType]:
        for group in self._tally.problems.top(_SHOWN_PROBLEMS):
            yield _line(f"{number(group.count):>9}  {group.kind} ({group.example.where}) {group.example.gist}", "dim")


def _line(text: str, style: str = "") -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")


def _ends(left: Text, right: Text) -> Table:
    """One line: *left* at its beginning, *right* at its end."""
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    grid.add_column(justify="right", no_wrap=True)
    grid.add_row(left, right)
    return grid


def _beside(bar: ProgressBar, text: Text) -> Table:
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True)
    grid.add_row(bar, text)
    return grid
