"""The exchange over connections that are leased from aiohttp's pool and kept from one exchange to the next.

aiohttp makes the connections, bounds their number, and parses what comes back. What ClientSession does for a request
beyond that costs more than the rest of an exchange together, and is of no use here: one URL, one method, no redirect,
no cookie, headers that hardly change.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from math import inf

from aiohttp import ClientTimeout, StreamReader, hdrs
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage

from batcher.errors import ConnectFailed
from batcher.flow.transport.deadlines import Deadlines
from batcher.flow.transport.failures import ending
from batcher.flow.transport.head import Head
from batcher.flow.transport.pool import IDLE, Pool
from batcher.flow.transport.reader import Arrived
from batcher.flow.transport.reading import decode_body, read_body
from batcher.flow.transport.seam import Answer, Route, Waits
from batcher.flow.transport.upload import SLICE, Body, Upload
from batcher.flow.transport.way import Way


class Lease:
    """A connection of the pool that is ours until we give it back.

    Attributes:
        connection: its place in the pool.
        reader: its incoming half.
        transport: its outgoing half.
        until: when it was kept for too long to be used again, by the loop's clock.
    """

    __slots__ = ("_sending", "connection", "reader", "transport", "until")

    def __init__(self, connection: Connection, upload: Upload) -> None:
        if upload.protocol is None or upload.transport is None:
            raise RuntimeError("the pool notes every connection")
        self.connection = connection
        self.reader = upload.protocol
        self.transport = upload.transport
        self.until = 0.0
        self._sending: asyncio.Task[None] | None = None

    def send(self, head: bytes, body: bytes, upload: Upload) -> asyncio.Future[Arrived]:
        """Send a request, whose answer is given back; a large one goes on its way while that is waited for."""
        reader, transport = self.reader, self.transport
        answer = reader.ask()
        if upload.left > SLICE:
            # Beside the reader: a server that does not want the request may say so before it has all of it.
            self._sending = asyncio.create_task(self._send_slices(head, memoryview(body), upload))
            return answer
        upload.left = 0  # it may have left us from now on
        transport.write(head + body)
        if transport.is_closing() and not reader.over_tls:
            # The system refused the very first bytes. Below TLS that could have been any bytes, of a ticket say.
            upload.withdraw()
        return answer

    async def _send_slices(self, head: bytes, body: memoryview, upload: Upload) -> None:
        with contextlib.suppress(OSError):  # the reader hears of it too
            while body and not self.transport.is_closing():
                part = body[:SLICE]
                upload.hand_over(len(part))
                self.transport.write(b"".join((head, part)))
                head, body = b"", body[SLICE:]
                if body:
                    await self.reader.drain()

    async def finish(self, message: RawResponseMessage, content: StreamReader, upload: Upload) -> Answer:
        """The whole answer, of which *message* has come: skips interim answers and reads the body."""
        # What is said in between is skipped; but 101 is an answer, if to another question.
        while 100 <= message.code <= 199 and message.code != 101:  # noqa: PLR2004
            arrived = await self.reader.answer()
            if isinstance(arrived, Answer):
                return arrived
            message, content = arrived
        body = await read_body(message.headers, content, upload)
        return Answer(message.code, message.headers, decode_body(message.headers, body))

    def reusable(self, upload: Upload) -> bool:
        """Whether the answer that was read has left nothing behind, and came after the whole *upload* had left."""
        reader = self.reader
        return (
            (reader.clean or not reader.should_close)
            and upload.left <= 0
            and not self.transport.get_write_buffer_size()
        )

    def end(self) -> None:
        """Cut the connection and give its place back.

        Cut before it is closed: a transport that is only closed goes on sending what it has buffered.
        """
        if self._sending is not None:
            self._sending.cancel()
        self.transport.abort()
        self.connection.close()


class LeaseTransport:
    """Exchanges with one URL over a bounded pool of kept connections; made within a running event loop.

    Raises:
        SettingsError: a certificate file cannot be used, or the proxy is none.
    """

    def __init__(self, route: Route) -> None:
        self._loop = asyncio.get_running_loop()
        self._way = Way.of(route)
        self._head = Head(self._way)
        self._connecting = ClientTimeout(total=None, connect=route.connect_timeout)
        self._deadlines = Deadlines(route.timeout)
        self._pool = Pool(route.connections)
        self._idle: list[Lease] = []
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def opened(self) -> int:
        """Connections made so far."""
        return self._pool.opened

    @property
    def waits(self) -> Waits:
        """The time that exchanges have waited."""
        return self._pool.waits

    def connections(self) -> dict[str, int]:
        """Connections by state: ``active`` (in use or being made) and ``idle``."""
        kept = sum(lease.reader.is_connected() for lease in self._idle)
        return {"active": self._pool.active - len(self._idle), "idle": self._pool.idle + kept}

    async def exchange(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """POST *body* once, never twice, and read the whole answer.

        Raises:
            TransportError: there is no whole answer. Nothing else is raised but the caller's own cancellation.
        """
        upload = Upload(len(body))
        lease: Lease | None = None
        task = self._deadlines.begin()
        try:
            head = self._head.of(headers, len(body))
            lease = self._take(upload) or await self._connect(upload)
            arrived = await lease.send(head, body, upload)
            answer = arrived if isinstance(arrived, Answer) else await lease.finish(*arrived, upload)
        except BaseException as error:
            if lease is not None:
                lease.end()
            reason = ending(error, self._deadlines, task, upload)
            self._pool.learn_from(reason)
            if reason is error:
                raise
            raise reason from error
        self._deadlines.end(task)
        self._keep(lease, upload)
        return answer

    async def close(self) -> None:
        """Close every connection; exchanges under way end with a TransportError."""
        self._deadlines.close()
        if self._sweep is not None:
            self._sweep.cancel()
        self._end_idle(inf)
        await self._pool.close()

    def _take(self, upload: Upload) -> Lease | None:
        """The kept connection that was used last, if one is of use; the others grow old and go."""
        now = self._loop.time()
        while self._idle:
            lease = self._idle.pop()
            if now < lease.until and self._pool.takes_again(lease.reader, now):
                upload.protocol = lease.reader
                upload.transport = lease.transport
                return lease
            lease.end()
        return None

    async def _connect(self, upload: Upload) -> Lease:
        """A connection from the pool, which may make one, or wait until one is given back to it."""
        if self._deadlines.closed:
            raise ConnectFailed("no connection: the transport was closed")
        way = self._way
        request = ClientRequest(
            hdrs.METH_POST,
            way.url,
            data=Body(b"", upload),
            loop=self._loop,
            ssl=way.tls,
            proxy=way.proxy,
            proxy_headers=way.proxy_headers,
        )
        return Lease(await self._pool.connect(request, [], self._connecting), upload)

    def _keep(self, lease: Lease, upload: Upload) -> None:
        """Keep the connection for the next exchange, unless somebody waits for it, or it is of no more use."""
        if self._deadlines.closed or not lease.reusable(upload):
            lease.end()
        elif self._pool.wanted:
            lease.connection.release()
        else:
            if not lease.reader.clean:
                lease.reader.rest()
            lease.until = self._loop.time() + IDLE
            self._idle.append(lease)
            if self._sweep is None:
                self._sweep = self._loop.call_later(IDLE, self._sweep_idle)

    def _sweep_idle(self) -> None:
        self._end_idle(self._loop.time())
        self._sweep = self._loop.call_later(IDLE, self._sweep_idle) if self._idle else None

    def _end_idle(self, now: float) -> None:
        """End the connections that are kept for too long, at *now*."""
        for lease in self._idle:
            if lease.until <= now:
                lease.end()
        self._idle = [lease for lease in self._idle if lease.until > now]
