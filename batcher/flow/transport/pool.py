"""aiohttp's connection pool, which hands out no connection that is known to be of no use."""

from __future__ import annotations

import functools
from collections.abc import Callable
from time import monotonic

from aiohttp import ClientTimeout, TCPConnector
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from batcher.core.slots import Wait
from batcher.errors import ConnectFailed, ConnectionLost
from batcher.flow.transport.heads import Heads
from batcher.flow.transport.reader import Reader
from batcher.flow.transport.seam import Waits
from batcher.flow.transport.upload import Body, Upload

IDLE = 10.0
"""Seconds that a connection is kept for without use: well below the 120 s after which IIS drops it."""

DISTRUST = 10.0
"""Seconds for which no connection is used again, once a request was lost on one that was.

A server that closes connections without a word loses those requests that leave in the moment before its end arrives.
"""

EXCUSED = 60.0
"""Seconds for which used connections are not blamed for a loss, once a request was lost on a new one too."""


class Pool(TCPConnector):
    """aiohttp's pool, bounded.

    Attributes:
        opened: connections that were made.
        waits: the time that exchanges have waited.
        distrusted_until: before then no connection is used again, by the loop's clock.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit=limit, limit_per_host=0, keepalive_timeout=IDLE)
        reader: Callable[..., ResponseHandler] = Reader
        self.waits = Waits(Wait(), Wait())
        self._factory = functools.partial(reader, self._loop, Heads(), self.waits.server)
        self.distrusted_until = 0.0
        self._excused_until = 0.0
        self.opened = 0

    @property
    def active(self) -> int:
        """Connections in use or being made."""
        return len(self._acquired)

    @property
    def idle(self) -> int:
        """Connections kept for the next exchange."""
        return sum(protocol.is_connected() for kept in self._conns.values() for protocol, _ in kept)

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for a connection."""
        return bool(self._waiters)

    def learn_from(self, error: BaseException) -> None:
        """Decide from the *error* that ended an exchange whether connections can be used more than once."""
        if not isinstance(error, ConnectionLost) or not error.sent:
            return
        now = self._loop.time()
        if error.fresh:
            self.distrusted_until = 0.0
            self._excused_until = now + EXCUSED
        elif self._excused_until <= now:
            self.distrusted_until = now + DISTRUST

    def takes_again(self, reader: Reader, now: float) -> bool:
        """Whether a used connection can be used again, as far as anybody can know."""
        return self.distrusted_until <= now < reader.until and reader.usable()

    def drop(self, protocol: ResponseHandler) -> None:
        """Cut an idle connection; one that is in use again by somebody else is left alone."""
        if protocol not in self._acquired:
            protocol.abort()

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:
        """A connection for *req*, new or idle and usable, noted in the request's upload."""
        if not isinstance(req.body, Body):
            raise TypeError("a request needs a Body")
        upload = req.body.upload
        self.waits.connect.begin(monotonic())
        try:
            return await self._usable(req, upload, traces, timeout)
        finally:
            self.waits.connect.end(monotonic())

    async def _usable(
        self, req: ClientRequest, upload: Upload, traces: list[Trace], timeout: ClientTimeout
    ) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            reader = connection.protocol
            if isinstance(reader, Reader) and (
                reader.usable() if upload.fresh else self.takes_again(reader, self._loop.time())
            ):
                upload.protocol = reader
                upload.transport = reader.transport
                return connection
            connection.close()
            if upload.fresh:
                raise ConnectFailed("the server spoke, or went away, before it was asked")

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> ResponseHandler:
        protocol = await super()._create_connection(req, traces, timeout)
        self.opened += 1
        if isinstance(req.body, Body):
            req.body.upload.fresh = True
        return protocol

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        if isinstance(protocol, Reader):
            protocol.rest()
        super()._release(key, protocol, should_close=should_close)
