"""When a run is stopped because too much goes wrong."""

from __future__ import annotations

from batcher.core.verdict import Outcome
from batcher.values import Share

_FIRST = 100
_DELIVERED = Outcome.DELIVERED
_NOT_SENT = frozenset({Outcome.INVALID, Outcome.UNSENT})
"""While a run goes on, a record is unsent only for the sake of a strict order."""


class StopRule:
    """Tells when to stop.

    Args:
        after: how many records may end other than delivered before the run stops, a share counting from the first 100
            finished on; ``"default"`` stops when the first 100 that were sent were all rejected; None never stops.
    """

    def __init__(self, after: Share | str | None) -> None:
        self._after = after
        self._finished = 0
        self._undelivered = 0
        self._rejected = 0
        self._not_sent = 0

    def hear(self, outcome: Outcome) -> str | None:
        """Count a finished record; says why to stop, once it is time."""
        self._finished += 1
        if outcome is _DELIVERED and self._finished != _FIRST:
            return None  # no more than before were not delivered, of more
        self._undelivered += outcome is not Outcome.DELIVERED
        self._rejected += outcome is Outcome.REJECTED
        self._not_sent += outcome in _NOT_SENT
        if self._after is None:
            return None
        if not isinstance(self._after, Share):
            all_rejected = self._finished - self._not_sent == self._rejected == _FIRST
            return f"the first {_FIRST} records that were sent were all rejected" if all_rejected else None
        if self._after.percent and self._finished < _FIRST:
            return None
        if self._undelivered < max(self._after.of(self._finished), 1):
            return None
        return f"{self._undelivered} of {self._finished} records were not delivered (--stop-after {self._after})"
