"""A request's body on its way out, and what of it may have left us."""

from __future__ import annotations

import asyncio

from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.payload import Payload

SLICE = 64 * 1024
"""Bytes handed over at once: asyncio's own high-water mark, so at most two slices wait in a transport's buffer."""


class Upload(Payload):
    """One request's body: aiohttp takes it as data, the pool marks in it which connection it got.

    Attributes:
        protocol: the connection's reader, once there is a connection.
        transport: the connection itself, once there is one.
        fresh: no exchange came before on that connection.
    """

    _autoclose = True

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._size: int = len(body)
        self._handed_over = 0
        self.protocol: ResponseHandler | None = None
        self.transport: asyncio.Transport | None = None
        self.fresh = False

    @property
    def sent(self) -> bool:
        """False where the whole body certainly did not leave us; True is a perhaps."""
        return self._handed_over >= self._size and self.transport is not None

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:  # noqa: ARG002 - it is the size, always
        """Hand the body over, large ones in slices, each when there is room for it."""
        if self._size <= SLICE:
            self._hand_over(self._size)
            await writer.write(self._value)
            return
        rest = memoryview(self._value)
        while rest:
            self._hand_over(min(SLICE, len(rest)))
            await writer.write(rest[:SLICE])
            rest = rest[SLICE:]

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Hand the whole body over."""
        await self.write_with_length(writer, self._size)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text; aiohttp asks its payloads to have it."""
        return str(self._value, encoding, errors)

    def _hand_over(self, size: int) -> None:
        # Counted before the write, which may wait for room and be cancelled there. To a closing transport the writer
        # writes nothing and raises.
        if self.transport is not None and not self.transport.is_closing():
            self._handed_over += size
