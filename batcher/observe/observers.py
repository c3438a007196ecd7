"""Several observers behind the one that the flow knows."""

from __future__ import annotations

from batcher.core.events import AttemptEnded, Delivered, Event, Observer, RecordEnded, RecordRead
from batcher.observe.tally import Tally

_OF_EVERY_RECORD = frozenset((RecordRead, AttemptEnded, RecordEnded, Delivered))


class Observers:
    """The tally hears every event, *others* only those that do not come with each record.

    What comes with each record costs here; a second listener would cost as much again, and who wants numbers reads the
    tally.
    """

    def __init__(self, tally: Tally, *others: Observer) -> None:
        self._count = tally.notice
        self._at_once = {kind: tally.takes[kind] for kind in _OF_EVERY_RECORD}
        self._others = others

    def notice(self, event: Event, /) -> None:
        """Pass *event* on."""
        count = self._at_once.get(type(event))
        if count is not None:
            count(event)
            return
        self._count(event)
        for other in self._others:
            other.notice(event)
