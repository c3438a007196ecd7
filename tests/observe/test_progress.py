from __future__ import annotations

import asyncio
import io
import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.console import Console

from batcher.cli import main
from batcher.core.events import Draining, Paused, RecordEnded, RecordRead, RecordResumed, Resumed
from batcher.core.latency import Latency
from batcher.core.result import Result
from batcher.core.verdict import Outcome
from batcher.observe.lag import sample_lag
from batcher.observe.lines import Lines
from batcher.observe.live import LiveProgress
from batcher.observe.logs import log_event, logging_to
from batcher.observe.pace import Pace, seconds_left, share_done
from batcher.observe.plain import PlainProgress, progress_line, wait_after
from batcher.observe.progress import choose_mode, make_progress, shown
from batcher.observe.tally import Tally
from tests.e2e.program import many


class Terminal(io.StringIO):
    """A stream that says it is a terminal, and tells when something was written that a test waits for."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[tuple[str, asyncio.Event]] = []

    def isatty(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        written = super().write(text)
        for wanted, event in self._waiting:
            if wanted in self.getvalue():
                event.set()
        return written

    async def shows(self, wanted: str) -> None:
        event = asyncio.Event()
        self._waiting.append((wanted, event))
        if wanted not in self.getvalue():
            await event.wait()


def deliver(tally: Tally, count: int, size: int = 99) -> None:
    for line in range(count):
        tally.notice(RecordRead(size))
        tally.notice(RecordEnded(Result(line, Outcome.DELIVERED, None, 1, 0.03, "0" * 16)))


@pytest.mark.parametrize(
    ("mode", "is_terminal", "term", "chosen"),
    [
        ("auto", True, "xterm-256color", "live"),
        ("auto", False, "xterm-256color", "plain"),
        ("auto", True, "dumb", "plain"),
        ("live", False, "xterm-256color", "live"),
        ("live", True, "dumb", "plain"),
        ("plain", True, "xterm-256color", "plain"),
        ("off", True, "xterm-256color", "off"),
    ],
)
def test_the_view_fits_the_terminal(mode: str, term: str, chosen: str, *, is_terminal: bool) -> None:
    """By itself the view is live on a terminal and plain elsewhere; a dumb terminal never gets a live one."""
    assert choose_mode(mode, is_terminal=is_terminal, environ={"TERM": term}) == chosen


def test_views_are_made_as_chosen(tally: Tally) -> None:
    """Off is no view; a pipe gets plain lines; a terminal the live view, without colours where NO_COLOR is set."""
    assert make_progress("off", tally, Lines(Terminal()), {}) is None
    assert isinstance(make_progress("auto", tally, Lines(io.StringIO()), {}), PlainProgress)
    for environ, expected in (({}, False), ({"NO_COLOR": ""}, False), ({"NO_COLOR": "1"}, True)):
        view = make_progress("auto", tally, Lines(Terminal()), environ)
        assert isinstance(view, LiveProgress)
        assert view._console.no_color is expected


def test_rich_is_imported_for_the_live_view_alone() -> None:
    """Neither importing the views nor making plain ones imports rich."""
    script = (
        "import io, sys\n"
        "from batcher.observe import exporter, logs, metrics, observers, summary\n"
        "from batcher.observe.lines import Lines\n"
        "from batcher.observe.progress import make_progress\n"
        "from batcher.observe.tally import Tally\n"
        "make_progress('auto', Tally(), Lines(io.StringIO()), {})\n"
        "assert 'rich' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_plain_lines_grow_rare() -> None:
    """The first line comes after 5 s, the next ones each 10 s, in the end one a minute."""
    elapsed, at = 0.0, []
    while elapsed < 400:
        elapsed += wait_after(elapsed)
        at.append(elapsed)
    assert at[:7] == [5, 15, 25, 35, 45, 55, 65]
    assert all(late - early <= 60 for early, late in itertools.pairwise(at))
    assert wait_after(36_000) == 60


async def test_plain_progress_under_a_fake_clock(tally: Tally, now: list[float]) -> None:
    """Lines come when they are due, with rate, share and time left as they are then."""
    stream = io.StringIO()
    tally.input_size = 100 * 100

    async def sleep(seconds: float) -> None:
        if tally.seconds > 20:
            raise asyncio.CancelledError
        now[0] += seconds
        deliver(tally, 25)

    with pytest.raises(asyncio.CancelledError):
        await PlainProgress(tally, Lines(stream), sleep).run()
    assert stream.getvalue().splitlines() == [
        "0:05 25 of 25 read; delivered 25; 5/s; in flight 0/0; 25.00% done; about 0:15 left",
        "0:15 50 of 50 read; delivered 50; 2.5/s; in flight 0/0; 50.00% done; about 0:15 left",
        "0:25 75 of 75 read; delivered 75; 2.5/s; in flight 0/0; 75.00% done; about 0:08 left",
    ]


def test_plain_progress_tells_what_changes_the_course(told: Tally, now: list[float]) -> None:
    """A pause, its end and the drain each bring a line at once; a detail from outside stays within it."""
    stream = io.StringIO()
    view = PlainProgress(told, Lines(stream))
    for event in (Paused("outage", "connection\nrefused", None), Resumed("outage", 3.0), Draining("SIGTERM")):
        told.notice(event)
        view.notice(event)
        now[0] += 3
    view.notice(RecordRead(5))
    counted = "6 of 7 read; delivered 2, rejected 1, invalid 1, in doubt 1, unsent 1"
    state = "in flight 1/16; p50 p95 p99 40.0 ms 119 s 119 s"
    assert stream.getvalue().splitlines() == [
        f"0:10 {counted}; 0.6/s; {state}; paused for 0:00 (outage): connection refused",
        f"0:13 {counted}; 0.5/s; {state}",
        f"0:16 {counted}; 0.4/s; {state}; draining: SIGTERM",
    ]


def test_a_flood_of_pauses_is_told_now_and_then(told: Tally, now: list[float]) -> None:
    """Of pauses that come each second six changes a minute bring a line; the drain always does."""
    stream = io.StringIO()
    view = PlainProgress(told, Lines(stream))
    for _ in range(90):
        view.notice(Paused("throttled", "429", 1.0))
        now[0] += 1
        view.notice(Resumed("throttled", 1.0))
    assert stream.getvalue().count("\n") == 12
    view.notice(Draining("SIGTERM"))
    assert stream.getvalue().count("\n") == 13


def test_plain_progress_as_events(told: Tally) -> None:
    """Where programs read, a line of progress is an object with the same numbers and a name that stays."""
    lines = Lines(io.StringIO())
    assert isinstance(lines.stream, io.StringIO)
    with logging_to(lines, style="json"):
        told.notice(Draining("SIGTERM"))
        PlainProgress(told, lines).notice(Draining("SIGTERM"))
    event = orjson.loads(lines.stream.getvalue())
    assert event.pop("time").endswith("Z")
    assert event == {
        "level": "info", "event": "progress", "seconds": 10.0, "read": 7, "records": 6,
        "outcomes": {"delivered": 2, "rejected": 1, "invalid": 1, "in_doubt": 1, "unsent": 1},
        "records_per_second": 0.6, "in_flight": 1, "limit": 16, "waiting": 2,
        "request_seconds": event["request_seconds"], "share_done": None, "seconds_left": None,
        "standing": ["draining: SIGTERM"],
    }  # fmt: skip
    assert event["request_seconds"].keys() == {"p50", "p95", "p99", "largest"}


def test_the_rate_looks_back_ten_seconds(tally: Tally, now: list[float]) -> None:
    """The rate forgets what is older than ten seconds, and shows a stall as 0."""
    pace = Pace(tally)
    assert pace.mark() == 0
    deliver(tally, 1000)
    now[0] += 1
    assert pace.mark() == 1000
    rates = []
    for _ in range(11):
        now[0] += 1
        rates.append(pace.mark())
    assert rates[8:] == [100, 0, 0]


def test_share_and_time_left(tally: Tally, now: list[float]) -> None:
    """Nothing is claimed of an input of unknown size; what is read ahead is not done; done is never over 100%."""
    deliver(tally, 10)
    assert (share_done(tally), seconds_left(tally)) == (None, None)
    tally.input_size = 4000
    now[0] += 10
    assert (share_done(tally), seconds_left(tally)) == (0.25, 30)
    for _ in range(10):
        tally.notice(RecordRead(99))
    assert share_done(tally) == 0.25
    deliver(tally, 100)
    assert (share_done(tally), seconds_left(tally)) == (1.0, 0)


def test_what_is_only_looked_at_is_done(tally: Tally, now: list[float]) -> None:
    """A check has no outcome for good records: they count as done, with their rate and the time that is left."""
    pace = Pace(tally)
    tally.input_size = 4000
    for _ in range(10):
        tally.notice(RecordRead(99))
        tally.passed += 1
    now[0] += 10
    assert (share_done(tally), seconds_left(tally), pace.mark()) == (0.25, 30, 1)
    assert progress_line(tally, 1.0).startswith("0:10 10 of 10 read; 1/s; ")


def test_check_tells_how_much_it_has_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its end all records are done, good and bad ones."""
    given = tmp_path / "given"
    given.write_bytes(many(7) + b"{}\n")
    seen: list[Tally] = []

    def watched(mode: str, tally: Tally, *others: Any) -> object:
        seen.append(tally)
        return make_progress(mode, tally, *others)

    monkeypatch.setattr("batcher.dry.make_progress", watched)
    assert main(["check", str(given), "--results=none", "--progress=off"]) == 3
    assert [(share_done(tally), tally.done, tally.records) for tally in seen] == [(1.0, 8, 1)]


def test_share_and_time_left_of_a_run_that_was_resumed(tally: Tally, now: list[float]) -> None:
    """What earlier runs have brought to its end is done, and took no time of this one."""
    tally.input_size, tally.input_read = 1000, lambda: 600
    for _ in range(50):
        tally.notice(RecordResumed(9))
    now[0] += 10
    assert (share_done(tally), seconds_left(tally)) == (0.6, None)
    deliver(tally, 5)
    for _ in range(5):
        tally.notice(RecordRead(9))
    assert share_done(tally) == pytest.approx(0.55)
    # It has done a twentieth of the input in its ten seconds.
    assert seconds_left(tally) == pytest.approx(90)


@pytest.mark.parametrize("width", [80, 200])
def test_the_live_view_shows_the_run(told: Tally, width: int) -> None:
    """At any width: title, time, counts, rate, in flight, percentiles, problems and pauses; no line is too wide."""
    told.notice(Paused("outage", "connection refused " * 20, None))
    told.input_size = 1400
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=width, color_system=None, highlight=False)
    console.print(LiveProgress(told, Lines(stream), console, "veetro-batch to acme.worketc.com").picture())
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("veetro-batch to acme.worketc.com  ")
    assert lines[0].endswith("0:10, about 0:13 left")
    assert lines[1].endswith("43.29%  6 of 7 read")
    assert lines[2] == "delivered 2  rejected 1  invalid 1  in doubt 1  unsent 1"
    assert lines[3] == "0.6/s  in flight 1 of 16  waiting 2  retries 3"
    assert lines[4] == "request   p50 40.0 ms  p95 119 s  p99 119 s"
    assert lines[5].startswith("paused for 0:00 (outage): connection refused")
    assert lines[6] == "        2  server_fault (line 4) Transaction (Process ID 4) was deadlocked"
    assert lines[7] == "        1  bad_datetime (line 3) RemoteTimeStamp: '2024-13-01' is no date"
    assert len(lines) == 10


def test_the_live_view_takes_texts_as_they_are(tally: Tally) -> None:
    """Square brackets from outside are no markup, and an input of unknown size has no bar."""
    stream = io.StringIO()
    tally.notice(Paused("outage", "[bold]array[0][/bold]", None))
    console = Console(file=stream, force_terminal=True, width=80, color_system=None, highlight=False)
    console.print(LiveProgress(tally, Lines(stream), console).picture())
    assert "[bold]array[0][/bold]" in stream.getvalue()
    assert "0 of 0 read" in stream.getvalue()
    assert "left" not in stream.getvalue()


async def test_log_lines_go_above_the_live_view(
    told: Tally, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the view is drawn a log line is printed whole above it; afterwards lines go straight to the stream."""
    monkeypatch.setenv("COLUMNS", "80")
    terminal = Terminal()
    lines = Lines(terminal)
    detail = "a long detail " * 12
    with logging_to(lines):
        async with shown(make_progress("live", told, lines, {})):
            await terminal.shows("in flight 1 of 16")
            log_event(30, "paused", detail=detail.strip())
            await terminal.shows("paused")
            drawn = terminal.getvalue()
            sys.stdout.write("to standard output\n")
        log_event(20, "afterwards")
    before, _, after = drawn.partition(f'warning paused detail="{detail.strip()}"\n')
    assert "in flight 1 of 16" in before
    assert "in flight 1 of 16" in after
    assert terminal.getvalue().endswith(" info afterwards\n")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("to standard output\n", "")


async def test_the_terminal_is_left_as_it_was(told: Tally) -> None:
    """The cursor is hidden while the view is drawn and shown again at its end, also when the run fails."""
    terminal = Terminal()

    async def fail() -> None:
        async with shown(make_progress("live", told, Lines(terminal), {})):
            await terminal.shows("in flight")
            assert "\x1b[?25l" in terminal.getvalue()
            assert "\x1b[?25h" not in terminal.getvalue()
            raise ValueError("the run fails")

    with pytest.raises(ValueError, match="the run fails"):
        await fail()
    assert "\x1b[?25h" in terminal.getvalue()


async def test_a_terminal_that_goes_away_ends_only_the_view(told: Tally) -> None:
    """A hung-up terminal stops the drawing and nothing else."""

    class HungUp(Terminal):
        def write(self, text: str, /) -> int:
            raise OSError(5, "Input/output error")

    view = make_progress("live", told, Lines(HungUp()), {})
    assert view is not None
    await view.run()
    async with shown(view):
        pass


async def test_no_view_is_fine() -> None:
    """Where there is no view the block just runs."""
    async with shown(None):
        pass


async def test_a_bug_in_the_view_comes_out_at_the_end(tally: Tally) -> None:
    """An error in the drawing does not cut the run short, and is not swallowed either."""
    view = PlainProgress(tally, Lines(io.StringIO()), _fail)
    reached: list[Callable[[], object]] = []

    async def run() -> None:
        async with shown(view):
            await asyncio.sleep(0)
            reached.append(run)

    with pytest.raises(ZeroDivisionError):
        await run()
    assert reached


async def _fail(_seconds: float) -> None:
    raise ZeroDivisionError


async def test_lag_is_sampled() -> None:
    """Each wake-up of the sampler is one observation, and a loop that was held up shows it."""

    class Watched(Latency):
        def observe(self, seconds: float) -> None:
            super().observe(seconds)
            observed.set()

    lag, observed = Watched(), asyncio.Event()
    task = asyncio.create_task(sample_lag(lag, interval=0.001))
    await asyncio.sleep(0)
    held_up = 0.03

    import time

    time.sleep(held_up)  # noqa: ASYNC251 - holding up the loop is the point
    for _ in range(2):
        await observed.wait()
        observed.clear()
    task.cancel()
    await asyncio.wait([task])
    assert lag.total >= 2
    assert lag.largest >= held_up - 0.001
