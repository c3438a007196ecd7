"""An event loop whose clock goes on only while nothing happens, and then at once to the next timer.

Hours of waiting take no time on it, and a machine that is slow, or busy with something else, lets none pass: what a
test says of seconds is true on every machine.
"""

from __future__ import annotations

import asyncio
import selectors
import time

import pytest

_TURN = 2e-5
"""Seconds that a turn of the loop takes: what comes later has a later time, as on any clock."""
_QUIET = 0.005
"""Real seconds in which nothing has come: sockets and threads of this machine have done by then what they have to."""


class _Leaps(selectors.DefaultSelector):
    """Waits for nothing but what is about to come: the clock goes on to where the wait would have ended."""

    def __init__(self, quiet: float) -> None:
        super().__init__()
        self._quiet = quiet
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += _TURN
        if timeout is None:  # no timer: something else is to wake us up
            return super().select()
        found = super().select(min(max(0.0, timeout), self._quiet))
        if not found:
            self.now += timeout
        return found


class Leaping(asyncio.SelectorEventLoop):
    """The loop; *quiet* is how long, in real seconds, nothing happens before the clock leaps."""

    def __init__(self, quiet: float = _QUIET) -> None:
        self._leaps = _Leaps(quiet)
        super().__init__(self._leaps)

    def time(self) -> float:
        return self._leaps.now


def follow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the program's own clock be that of the loop it runs in."""
    really = time.monotonic

    def now() -> float:
        loop = asyncio._get_running_loop()
        return loop.time() if isinstance(loop, Leaping) else really()

    monkeypatch.setattr(time, "monotonic", now)
    for module in ("pool", "reader"):
        monkeypatch.setattr(f"batcher.flow.transport.{module}.monotonic", now)
