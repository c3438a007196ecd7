"""Why nothing but a probe is sent for a while, and since when: an outage, a pause that was asked for, a login."""

from __future__ import annotations

from batcher.core.breaker import Breaker
from batcher.core.events import Observer, Paused, Resumed


class Pauses:
    """What keeps every record from being sent, whatever it is.

    Args:
        breaker: whether the service is taken to be down.
        observer: hears of pauses.

    Attributes:
        held: a login is under way.
        until: the server has asked for nothing before this instant.
    """

    def __init__(self, breaker: Breaker, observer: Observer) -> None:
        self._breaker = breaker
        self._observer = observer
        self.held = False
        self.until = 0.0
        self._told: dict[str, float] = {}  # since when, by reason

    def __bool__(self) -> bool:
        """Whether one was announced and has not ended."""
        return bool(self._told)

    @property
    def since(self) -> float | None:
        """Since when the longest one lasts that was announced."""
        return min(self._told.values(), default=None)

    def nothing_before(self, now: float) -> bool:
        """Whether *now* nothing is to be sent, not even a probe."""
        return self.held or now < self.until

    def last_until(self, instant: float) -> None:
        """Nothing is to be sent before *instant*; what was asked for before holds as well."""
        self.until = max(self.until, instant)

    def hold(self, now: float, *, quietly: bool) -> None:
        """Send nothing until ``release``, from *now* on; *quietly* nobody is told."""
        self.held = True
        if not quietly:
            self._told["session"] = now
            self._observer.notice(Paused("session", "logging in again", None))

    def release(self) -> None:
        """Undo ``hold``."""
        self.held = False

    def tell(self, now: float) -> None:
        """Announce those that have begun and those that have ended."""
        if not (self._told or self._breaker.is_open or now < self.until):
            return
        for reason, holds in (
            ("outage", self._breaker.is_open),
            ("throttled", now < self.until),
            ("session", self.held and "session" in self._told),
        ):
            if holds and reason not in self._told:
                self._told[reason] = now
                detail = self._breaker.detail if reason == "outage" else "the service asked for a pause"
                seconds = self.until - now if reason == "throttled" else None
                self._observer.notice(Paused(reason, detail, seconds))
            elif not holds and reason in self._told:
                self._observer.notice(Resumed(reason, now - self._told.pop(reason)))
