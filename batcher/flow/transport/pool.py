"""aiohttp's connection pool, which hands out no connection that is known to be of no use."""

from __future__ import annotations

import functools
import select

from aiohttp import ClientTimeout, TCPConnector
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError
from aiohttp.tracing import Trace

from batcher.flow.transport.upload import Upload

IDLE = 10.0
"""Seconds that a connection is kept for without use: well below the 120 s after which IIS drops it."""

_HANGUP = getattr(select, "POLLRDHUP", select.POLLHUP)  # Linux alone has the former: the peer has ended its half


class _Reader(ResponseHandler):
    """aiohttp's reader, which also tells whoever reads a body that there is garbage in it.

    aiohttp notes broken chunked framing on the connection alone, where it finds it after the head was handed out: the
    body would be waited for until the deadline.
    """

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        super().set_exception(exc, exc_cause or exc)  # aiohttp takes an error that causes itself for one without cause
        body = self._payload
        if body is not None and isinstance(exc, HttpProcessingError) and not body.is_eof():
            body.set_exception(exc)


class Pool(TCPConnector):
    """aiohttp's pool, bounded, with *opened* counting the connections that were made.

    aiohttp itself hands out idle connections on which the peer's end, or bytes behind the last answer, are waiting to
    be read: a request would be lost in the first case and get a foreign answer in the second.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit=limit, limit_per_host=0, keepalive_timeout=IDLE)
        reader: type[ResponseHandler] = _Reader
        self._factory = functools.partial(reader, loop=self._loop)
        self.opened = 0

    @property
    def active(self) -> int:
        """Connections in use or being made."""
        return len(self._acquired)

    @property
    def idle(self) -> int:
        """Connections kept for the next exchange."""
        return sum(protocol.is_connected() for kept in self._conns.values() for protocol, _ in kept)

    def drop(self, protocol: ResponseHandler) -> None:
        """Cut an idle connection; one that is in use again by somebody else is left alone."""
        if protocol not in self._acquired:
            protocol.abort()

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:
        """A connection for *req*, new or idle and usable, noted in the request's upload."""
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if protocol is None or stale(protocol):
                connection.close()
                continue
            if isinstance(req.body, Upload):
                req.body.protocol = protocol
                req.body.transport = protocol.transport
            return connection

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> ResponseHandler:
        protocol = await super()._create_connection(req, traces, timeout)
        self.opened += 1
        if isinstance(req.body, Upload):
            req.body.fresh = True
        return protocol


def stale(protocol: ResponseHandler) -> bool:
    """Whether a connection between two exchanges has ended, or holds bytes that nobody asked for."""
    transport = protocol.transport
    if transport is None or transport.is_closing() or protocol.should_close:
        return True
    # Over TLS, input is normal between exchanges: session tickets.
    events = _HANGUP if transport.get_extra_info("sslcontext") else _HANGUP | select.POLLIN
    poll = select.poll()
    poll.register(transport.get_extra_info("socket"), events)
    return bool(poll.poll(0))
