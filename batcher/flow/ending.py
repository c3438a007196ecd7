"""Why a run ends before its input does, and how long its end may take."""

from __future__ import annotations

from typing import NamedTuple

INTERRUPTED, STOPPED = 6, 5
"""Exit codes."""


class Ending(NamedTuple):
    """Why a run ends before its input does: an exit code, and the reason for people."""

    exit_code: int
    reason: str


class Times(NamedTuple):
    """Seconds: how long an outage may last, and how long what is in flight may take once reading has stopped."""

    max_outage: float
    drain: float
