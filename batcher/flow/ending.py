"""Why a run ends before its input does, and how long its end may take."""

from __future__ import annotations

from dataclasses import dataclass

INTERRUPTED, STOPPED = 6, 5
"""Exit codes."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a run ends before its input does: an exit code, and the reason for people."""

    exit_code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds: how long an outage may last, and how long what is in flight may take once reading has stopped."""

    max_outage: float
    drain: float
