"""The rare events of a run as log lines, as text or JSON, on standard error.

Each line has a stable name of what happened and its facts as fields; values are one line and capped. A record's own
fate is no log line: it stands in the results.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from batcher.core.events import Draining, Event, LimitChanged, LoggedIn, Paused, Resumed, RetryScheduled, Unprotected
from batcher.core.fingerprint import one_line
from batcher.observe.lines import Lines

FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")

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
            case RetryScheduled(line, reason, delay):
                log_event(logging.DEBUG, "retry_scheduled", line=line, reason=reason.value, delay=round(delay, 3))
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

    Those of other libraries from ``warning`` on. Afterwards logging is as it was.
    """
    root = logging.getLogger()
    before = (root.level, _log.level)
    handler = _LinesHandler(lines)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    wanted = logging.getLevelNamesMapping()[level.upper()]
    root.addHandler(handler)
    root.setLevel(max(wanted, logging.WARNING))
    _log.setLevel(wanted)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before[0])
        _log.setLevel(before[1])


class _LinesHandler(logging.Handler):
    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.write(self.format(record))


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.123Z warning paused reason=outage detail="connection refused"``; a traceback follows."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback's where there is one."""
        facts = "".join(f" {name}={_quoted(value)}" for name, value in _facts(record).items())
        line = f"{_time(record)} {record.levelname.lower()} {_message(record)}{facts}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


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


def _facts(record: logging.LogRecord) -> Mapping[str, Any]:
    facts: Mapping[str, Any] = getattr(record, "facts", {})
    return {name: one_line(value) if isinstance(value, str) else value for name, value in facts.items()}


def _message(record: logging.LogRecord) -> str:
    return one_line(record.getMessage(), 2000)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _quoted(value: object) -> str:
    """As it is, or as a JSON string where blanks, quotes or equals signs would make the line ambiguous."""
    text = str(value)
    plain = text and not any(mark in text for mark in ' "=\\')
    return text if plain else orjson.dumps(text).decode()
