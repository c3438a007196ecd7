"""A request's body on its way out, and what of it may have left us."""

from __future__ import annotations

import asyncio

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from batcher.flow.transport.reader import Reader

SLICE = 64 * 1024
"""Bytes handed over at once: asyncio's own high-water mark, so at most two slices wait in a transport's buffer."""


class Upload:
    """What happened to one request's body of *size* bytes.

    Attributes:
        left: bytes of it that the transport was not given.
        protocol: the connection's reader, once there is a connection.
        transport: the connection itself, once there is one.
        fresh: no exchange came before on that connection.
    """

    __slots__ = ("fresh", "left", "protocol", "transport")

    def __init__(self, size: int) -> None:
        self.left = size
        self.protocol: Reader | None = None
        self.transport: asyncio.Transport | None = None
        self.fresh = False

    @property
    def sent(self) -> bool:
        """False where the whole body certainly did not leave us; True is a perhaps."""
        return self.left <= 0 and self.transport is not None

    def hand_over(self, size: int) -> None:
        """The next *size* bytes are about to be given to the transport, which may send them from now on."""
        self.left -= size

    def withdraw(self) -> None:
        """Nothing of it left us, as we know by now."""
        self.left = 1


class Body(Payload):
    """A request's body as aiohttp takes it."""

    _autoclose = True

    def __init__(self, body: bytes, upload: Upload) -> None:
        super().__init__(body)
        self._size: int = len(body)
        self.upload = upload

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:  # noqa: ARG002 - it is the size, always
        """Hand the body over, large ones in slices, each when there is room for it."""
        if self.upload.protocol is not None:
            self.upload.protocol.wait()
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
        transport = self.upload.transport
        if transport is not None and not transport.is_closing():
            self.upload.hand_over(size)
