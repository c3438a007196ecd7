"""The records of a ledger that are open again, as the input of a run: in the order of the first one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from batcher.core.result import Origin
from batcher.flow.ledger.memory import Past
from batcher.flow.ledger.store import Store
from batcher.flow.lines import BATCH_BYTES, BATCH_LINES, Line, make_line

_AT_ONCE = 64
"""Lines that are asked for together; one may have 64 KiB."""


class Reopened:
    """A source, and what knows the past of its lines. For one reader.

    Args:
        store: a connection of its own to the ledger.
        max_line_bytes: a longer line is handed out as a problem.

    Attributes:
        total_bytes: of all lines.
        bytes_read: of those that were handed out.
    """

    def __init__(self, store: Store, max_line_bytes: int) -> None:
        self._store = store
        self._max_line_bytes = max_line_bytes
        self._doubtful = store.doubtful()
        self._ordinal = -1
        self._stopped = False
        self._pasts: deque[Past] = deque()
        self.total_bytes: int | None = store.chosen_bytes()
        self.bytes_read = 0

    async def read(self) -> list[Line]:
        """The next lines, at least one; none at the end or once stopped."""
        if self._stopped:
            return []
        rows = await asyncio.to_thread(self._fetch)
        return [self._line(*row) for row in rows]

    def stop(self) -> None:
        """Hand out nothing more."""
        self._stopped = True

    async def close(self) -> None:
        """Stop; the ledger is let go of by whoever opened it."""
        self.stop()

    async def look_up(self, first: int, lines: Sequence[Line]) -> None:
        """It is known already."""

    def recall(self, _number: int, _line: Line) -> Past:
        """The past of the next line: asked for once of each, in their order."""
        return self._pasts.popleft()

    def end(self, records: int) -> None:
        """Nothing can be missing."""

    def _fetch(self) -> list[tuple[int, str, bytes]]:
        found: list[tuple[int, str, bytes]] = []
        last = self._ordinal
        while len(found) < BATCH_LINES and sum(len(raw) for *_, raw in found) < BATCH_BYTES:
            rows = self._store.chosen(last, _AT_ONCE)
            if not rows:
                break
            found += rows
            last = rows[-1][0]
        return found

    def _line(self, ordinal: int, text: str, raw: bytes) -> Line:
        origin = Origin.read(text)
        self._ordinal = ordinal
        self._pasts.append(Past(ordinal, sent=ordinal in self._doubtful, origin=origin))
        self.bytes_read += len(raw)
        line = make_line(raw, origin.line, origin.offset or 0, self._max_line_bytes)
        return line._replace(input=origin.input, within=origin.offset is not None)
