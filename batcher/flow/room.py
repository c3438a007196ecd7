"""How much may be read ahead: records and bytes that are held from their reading until their result lines are out."""

from __future__ import annotations

import asyncio

HELD_RECORDS = 1024
"""Records held at most; more where that many could not keep all workers busy."""
HELD_BYTES = 32 * 1024 * 1024


class Room:
    """Bounds what is held; reading waits for it.

    Args:
        workers: that are to be kept busy.

    Attributes:
        records: held now.
        size: of them, in bytes.
    """

    def __init__(self, workers: int) -> None:
        self.records = 0
        self.size = 0
        self._most = max(HELD_RECORDS, 4 * workers)
        self._freed = asyncio.Event()
        self._open = False

    @property
    def full(self) -> bool:
        """Whether no more may be read for now."""
        return not self._open and (self.records >= self._most or self.size >= HELD_BYTES)

    async def wait(self) -> None:
        """Wait until one more record may be read."""
        while self.full:
            self._freed.clear()
            await self._freed.wait()

    def free(self, records: int, size: int) -> None:
        """So much is held no longer; what ``clear`` has let go of may end later, and is not counted twice."""
        self.records = max(0, self.records - records)
        self.size = max(0, self.size - size)
        self._freed.set()

    def open(self) -> None:
        """Let nobody wait any more: what is read now ends at once."""
        self._open = True
        self._freed.set()

    def clear(self) -> None:
        """Nothing is held any more."""
        self.records = self.size = 0
        self._freed.set()
