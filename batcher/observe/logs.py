"""The rare events of a run as log lines, as text or JSON, on standard error.

Each line has a stable name of what happened and its facts as fields; values are one line and capped. A record's own
fate is no log line: it stands in the results. Of many equal lines only the first ones of a minute are written, and then
how many there were.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from batcher.core.events import Draining, Event, LimitChanged, LoggedIn, Paused, Resumed, RetryScheduled, Unprotected
from batcher.core.fingerprint import fingerprint, one_line
from batcher.observe.lines import Lines

FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")

_FLOOD_LINES, _FLOOD_SECONDS = 5, 60.0
"""So many equal lines are written within so long: a person sees that it goes on, and a night of it fills no disk."""

_log = logging.getLogger("batcher")


def log_event(level: int, event: str, **facts: object) -> None:
    """Log that *event* happened; its *facts* become fields, None left out."""
    if _log.isEnabledFor(level):
        _log.log(level, event, extra={"facts": {name: fact for name, fact in facts.items() if fact is not None}})


class EventLog:
    """An Observer that logs what changes the run's course; retries and the limit at debug."""

    def notice(self, event: Event, /) -> None:
        """Log *event*, unless it comes with every record."""
        match event:
            case RetryScheduled(line, reason, delay, _, source):
                facts = {"line": line, "input": source, "reason": reason.value, "delay": round(delay, 3)}
                log_event(logging.DEBUG, "retry_scheduled", **facts)
            case LimitChanged(limit):
                log_event(logging.DEBUG, "limit_changed", limit=limit)
            case Paused(reason, detail, seconds):
                rounded = None if seconds is None else round(seconds, 1)
                log_event(logging.WARNING, "paused", reason=reason, seconds=rounded, detail=detail)
            case Resumed(reason, seconds):
                log_event(logging.INFO, "resumed", reason=reason, seconds=round(seconds, 1))
            case LoggedIn(result, detail):
                level = logging.INFO if result == "success" else logging.WARNING
                log_event(
                    level, "logged_in" if result == "success" else "login_failed", result=result, detail=detail or None
                )
            case Draining(reason):
                log_event(logging.WARNING, "draining", reason=reason)
            case Unprotected(line):
                log_event(
                    logging.WARNING,
                    "no_ledger",
                    line=line,
                    detail="new records are sent without a ledger: if this run is killed, nobody knows which of those"
                    " in flight were created; --ledger PATH keeps count",
                )
            case _:
                pass


@contextlib.contextmanager
def logging_to(lines: Lines, *, level: str = "info", style: str = "text") -> Iterator[None]:
    """Within the block log lines from *level* on (one of ``LEVELS``) go to *lines*, as ``text`` or ``json``.

    Those of other libraries from ``warning`` on. As ``json``, what *lines* else would tell people is an event too,
    whatever the level. Afterwards logging is as it was.
    """
    root = logging.getLogger()
    before = (root.level, _log.level)
    handler = _LinesHandler(lines)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    lines.as_event = json_line if style == "json" else None
    wanted = logging.getLevelNamesMapping()[level.upper()]
    root.addHandler(handler)
    root.setLevel(max(wanted, logging.WARNING))
    _log.setLevel(wanted)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
        lines.as_event = None
        root.setLevel(before[0])
        _log.setLevel(before[1])


class _LinesHandler(logging.Handler):
    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines
        self._floods: dict[tuple[str, ...], _Flood] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(record.created - _FLOOD_SECONDS)
        if record.levelno > logging.DEBUG:  # who asks for those wants them all
            flood = self._floods.setdefault(_likeness(record), _Flood(record.created))
            if not flood.passes(record):
                return
        self._lines.write(self.format(record))

    def close(self) -> None:
        """Tell what has not been told."""
        self._tell(math.inf)
        super().close()

    def _tell(self, until: float) -> None:
        """End the floods that began before *until*."""
        for likeness, flood in [*self._floods.items()]:
            if flood.began <= until:
                del self._floods[likeness]
                if flood.last is not None:
                    flood.last.facts = {**_facts(flood.last), "repeated": flood.held_back}
                    self._lines.write(self.format(flood.last))


class _Flood:
    """Lines that are equal but for numbers, in the minute from the first one on.

    Attributes:
        began: the time of the first.
        held_back: how many were not written.
        last: the last of these.
    """

    def __init__(self, began: float) -> None:
        self.began = began
        self.held_back = 0
        self.last: logging.LogRecord | None = None
        self._passed = 0

    def passes(self, record: logging.LogRecord) -> bool:
        """Whether *record* is one of the few that are written; else it is counted."""
        if self._passed < _FLOOD_LINES:
            self._passed += 1
            return True
        self.held_back += 1
        self.last = record
        return False


def _likeness(record: logging.LogRecord) -> tuple[str, ...]:
    """The same for lines that differ only in numbers and values."""
    facts = [f"{name}={fingerprint(value)}" for name, value in _facts(record).items() if isinstance(value, str)]
    return (record.levelname, record.name, fingerprint(record.getMessage()), *facts)


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.123Z warning paused reason=outage detail="connection refused"``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback is one more fact."""
        facts = dict(_facts(record))
        if record.exc_info:
            facts["exception"] = self.formatException(record.exc_info)
        told = "".join(f" {name}={_quoted(value)}" for name, value in facts.items())
        return f"{_time(record)} {record.levelname.lower()} {_message(record)}{told}"


class JsonFormatter(logging.Formatter):
    """One object a line: ``time``, ``level``, ``event``, the facts; ``logger`` and ``exception`` for other sources."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        told: dict[str, object] = {"time": _time(record), "level": record.levelname.lower(), "event": _message(record)}
        told |= _facts(record)
        if record.name != _log.name:
            told["logger"] = record.name
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(told, default=str).decode()


def json_line(event: str, facts: Mapping[str, object]) -> str:
    """What is told anyway, in the form of ``JsonFormatter``."""
    at = _instant(time.time())
    return orjson.dumps({"time": at, "level": "info", "event": event, **facts}, default=str).decode()


def _facts(record: logging.LogRecord) -> Mapping[str, Any]:
    facts: Mapping[str, Any] = getattr(record, "facts", {})
    return {name: one_line(value) if isinstance(value, str) else value for name, value in facts.items()}


def _message(record: logging.LogRecord) -> str:
    return one_line(record.getMessage(), 2000)


def _time(record: logging.LogRecord) -> str:
    return _instant(record.created)


def _instant(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _quoted(value: object) -> str:
    """As it is, or as a JSON string where blanks, quotes or equals signs would make the line ambiguous."""
    text = str(value)
    plain = text and not any(mark in text for mark in ' "=\\\n')
    return text if plain else orjson.dumps(text).decode()
