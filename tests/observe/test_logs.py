from __future__ import annotations

import io
import logging
import re

import orjson
import pytest

from batcher.core.events import (
    AttemptEnded,
    Delivered,
    Draining,
    Event,
    LimitChanged,
    LoggedIn,
    Paused,
    RecordEnded,
    RecordRead,
    Resumed,
    RetryScheduled,
)
from batcher.core.result import Result
from batcher.core.verdict import Judgement, Outcome, Verdict
from batcher.observe.lines import Lines
from batcher.observe.logs import EventLog, log_event, logging_to
from batcher.observe.observers import Observers
from batcher.observe.tally import Tally

RARE: list[Event] = [
    RetryScheduled(7, Verdict.FAULTED, 0.12345, 7, "b.ndjson"),
    LimitChanged(32),
    Paused("outage", "connection\nrefused", None),
    Paused("throttled", "503", 2.04),
    Resumed("outage", 3.21),
    LoggedIn("success", ""),
    LoggedIn("refused", 'code "Not_Found"'),
    Draining("SIGTERM"),
]


def logged(events: list[Event], *, level: str = "info", style: str = "text") -> list[str]:
    stream = io.StringIO()
    with logging_to(Lines(stream), level=level, style=style):
        log = EventLog()
        for event in events:
            log.notice(event)
    return stream.getvalue().splitlines()


def test_rare_events_become_text_lines() -> None:
    """At info each event that changes the run's course is one line: time, level, name, facts."""
    lines = logged(RARE)
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line) for line in lines)
    assert [line.partition(" ")[2] for line in lines] == [
        'warning paused reason=outage detail="connection refused"',
        "warning paused reason=throttled seconds=2.0 detail=503",
        "info resumed reason=outage seconds=3.2",
        "info logged_in result=success",
        'warning login_failed result=refused detail="code \\"Not_Found\\""',
        "warning draining reason=SIGTERM",
    ]


def test_rare_events_become_json_lines() -> None:
    """At debug retries and limits are told too; each line is an object with the facts in JSON types."""
    told = [orjson.loads(line) for line in logged(RARE, level="debug", style="json")]
    assert all(line.pop("time").endswith("Z") for line in told)
    assert told == [
        {
            "level": "debug",
            "event": "retry_scheduled",
            "line": 7,
            "input": "b.ndjson",
            "reason": "faulted",
            "delay": 0.123,
        },
        {"level": "debug", "event": "limit_changed", "limit": 32},
        {"level": "warning", "event": "paused", "reason": "outage", "detail": "connection refused"},
        {"level": "warning", "event": "paused", "reason": "throttled", "seconds": 2.0, "detail": "503"},
        {"level": "info", "event": "resumed", "reason": "outage", "seconds": 3.2},
        {"level": "info", "event": "logged_in", "result": "success"},
        {"level": "warning", "event": "login_failed", "result": "refused", "detail": 'code "Not_Found"'},
        {"level": "warning", "event": "draining", "reason": "SIGTERM"},
    ]


def test_the_level_is_a_floor() -> None:
    """At error nothing of this is told."""
    assert logged(RARE, level="error") == []


def test_records_are_no_log_lines() -> None:
    """What happens with every record is not logged, even at debug."""
    result = Result(1, Outcome.DELIVERED, None, 1, 0.1, "0" * 16)
    attempt = AttemptEnded(1, Judgement(Verdict.UNCERTAIN), 502, 0.1, 1, 1, 1)
    assert logged([RecordRead(5), attempt, RecordEnded(result), Delivered(result, 200, 0.1, 1, 1)], level="debug") == []


def test_a_flood_is_grouped() -> None:
    """Of equal lines, numbers aside, five are written; the last of the rest follows at the end, with their number."""
    flood: list[Event] = []
    for number in range(1000):
        flood += [Paused("outage", f"HTTP 502 from node {number}", None), LimitChanged(number)]
    flood.insert(1000, Paused("throttled", "429", 2.0))
    assert [line.split(" ", 2)[2] for line in logged(flood)] == [
        *(f'paused reason=outage detail="HTTP 502 from node {number}"' for number in range(5)),
        "paused reason=throttled seconds=2.0 detail=429",
        'paused reason=outage detail="HTTP 502 from node 999" repeated=995',
    ]
    assert len(logged(flood, level="debug")) == 1007, "what is told at debug is told in full"


def test_a_flood_that_goes_on_is_told_of_each_minute() -> None:
    """When a minute has passed, what was held back is told before the next line, and five are written again."""
    stream = io.StringIO()
    with logging_to(Lines(stream), style="json"):
        (handler,) = (found for found in logging.getLogger().handlers if type(found).__name__ == "_LinesHandler")
        for second in range(150):
            record = logging.makeLogRecord({
                "name": "batcher", "levelno": logging.WARNING, "levelname": "WARNING", "msg": "login_failed",
                "created": 1_700_000_000.0 + second, "facts": {"result": "failed", "seconds": second},
            })  # fmt: skip
            handler.handle(record)
    told = [orjson.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["seconds"], line.get("repeated")) for line in told] == [
        *((second, None) for second in range(5)), (59, 55),
        *((second, None) for second in range(60, 65)), (119, 55),
        *((second, None) for second in range(120, 125)), (149, 25),
    ]  # fmt: skip


def test_values_are_capped() -> None:
    """A detail of any length takes 500 characters at most."""
    (line,) = logged([Paused("outage", "x" * 10_000, None)], style="json")
    assert orjson.loads(line)["detail"] == "x" * 499 + "…"


@pytest.mark.parametrize("style", ["text", "json"])
def test_other_libraries_are_heard_from_warning_on(style: str) -> None:
    """A library's warning goes the same way, with its traceback; its chatter does not."""
    stream = io.StringIO()
    with logging_to(Lines(stream), style=style):
        other = logging.getLogger("asyncio")
        other.info("chatter")
        try:
            _ = 1 / 0
        except ZeroDivisionError:
            other.exception("it %s", "failed")
    text = stream.getvalue()
    assert "chatter" not in text
    if style == "json":
        told = orjson.loads(text)
        assert (told["event"], told["level"], told["logger"]) == ("it failed", "error", "asyncio")
        assert told["exception"].endswith("ZeroDivisionError: division by zero")
    else:
        assert ' error it failed exception="Traceback ' in text
        assert text.endswith('ZeroDivisionError: division by zero"\n')
    assert text.count("\n") == 1


def test_logging_is_left_as_it_was() -> None:
    """After the block neither handler nor level of ours is left."""
    root, ours = logging.getLogger(), logging.getLogger("batcher")
    before = root.level, ours.level, list(root.handlers)
    stream = io.StringIO()
    with logging_to(Lines(stream), level="debug"):
        assert ours.isEnabledFor(logging.DEBUG)
    assert (root.level, ours.level, list(root.handlers)) == before
    log_event(logging.WARNING, "afterwards")
    assert stream.getvalue() == ""


def test_a_closed_standard_error_stops_nothing() -> None:
    """Lines for a stream that is closed or broken are dropped in silence."""

    class Broken(io.StringIO):
        def write(self, text: str, /) -> int:
            raise BrokenPipeError

    closed = io.StringIO()
    closed.close()
    for stream in (closed, Broken()):
        with logging_to(Lines(stream)):
            log_event(logging.WARNING, "paused", reason="outage")


def test_observers_hear_what_is_theirs(tally: Tally) -> None:
    """The tally hears everything; the others hear only what does not come with each record."""
    heard: list[Event] = []

    class Listener:
        def notice(self, event: Event, /) -> None:
            assert not isinstance(event, Paused) or tally.breaker_open, "the tally hears first"
            heard.append(event)

    result = Result(1, Outcome.DELIVERED, None, 1, 0.1, "0" * 16)
    doubtful = Result(2, Outcome.IN_DOUBT, None, 1, 0.1, "0" * 16)
    attempt = AttemptEnded(1, Judgement(Verdict.UNCERTAIN), 502, 0.1, 1, 1, 1)
    paused, draining = Paused("outage", "refused", None), Draining("SIGTERM")
    observers = Observers(tally, Listener(), Listener())
    for event in (RecordRead(5), attempt, RecordEnded(doubtful), Delivered(result, 200, 0.1, 1, 1), paused, draining):
        observers.notice(event)
    assert heard == [paused, paused, draining, draining]
    assert (tally.input_records, tally.records) == (1, 2)
    assert (tally.attempts[Verdict.ACCEPTED], tally.attempts[Verdict.UNCERTAIN]) == (1, 1)
    assert (tally.outcomes[Outcome.DELIVERED], tally.outcomes[Outcome.IN_DOUBT]) == (1, 1)
