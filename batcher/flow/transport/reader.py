"""One connection, as aiohttp's protocol reads it, made fit for use by one exchange after the other."""

from __future__ import annotations

import asyncio
import select
from time import monotonic
from typing import Any, TypeAlias

from aiohttp import StreamReader
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import set_exception
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.streams import EofStream

from batcher.core.slots import Wait
from batcher.errors import ReplyUnreadable
from batcher.flow.transport.heads import Heads
from batcher.flow.transport.seam import Answer

RENEWED = 300.0
"""Seconds after which a connection is not used again: names and balancers are asked anew."""

_OVERHEAD = 512 * 1024
"""Bytes of an answer that are not its body, at most: heads, interim answers, sizes and extensions of chunks.

A body of the largest size leaves room for it in chunks of as few as 128 bytes. Without a bound, answers that never come
to their body, or send it byte by byte, would keep the event loop busy until their deadline.
"""

Arrived: TypeAlias = Answer | tuple[RawResponseMessage, StreamReader]
"""An answer, or its head and what the body is to be read from."""

_HANGUP = getattr(select, "POLLRDHUP", select.POLLHUP)  # Linux alone has the former: the peer has ended its half


class Reader(ResponseHandler):
    """aiohttp's reader, which takes nothing between two exchanges for an answer.

    Attributes:
        clean: the last request has its whole answer, and nothing has happened since: nothing that ``should_close`` asks
            about can have changed, and nothing is expected.
        over_tls: whether what we write is encrypted first.
        until: when it is too old to be used again, by the loop's clock.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, heads: Heads, wait: Wait) -> None:
        super().__init__(loop)
        self._wait = wait
        self._heads = heads
        self._asked = False
        self._waiting = False
        self._arrived = 0
        self._answer: asyncio.Future[Arrived] | None = None
        self._message: Any = None
        self.clean = False
        self.over_tls = False
        self.until = 0.0
        self._look = select.poll()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; the event loop calls it."""
        super().connection_made(transport)
        self.over_tls = transport.get_extra_info("sslcontext") is not None
        self.until = self._loop.time() + RENEWED
        # Over TLS, input is normal between exchanges: session tickets.
        events = _HANGUP if self.over_tls else _HANGUP | select.POLLIN
        self._look.register(transport.get_extra_info("socket"), events)

    def usable(self) -> bool:
        """Whether a request can be written now, as far as anybody can know.

        A connection may have ended, or hold bytes that nobody asked for, without the event loop having read that yet:
        a request would be lost in the first case and get a foreign answer in the second. So the system is asked.
        """
        transport = self.transport
        if transport is None or transport.is_closing() or not (self.clean or not self.should_close):
            return False
        return not self._look.poll(0)

    def ask(self) -> asyncio.Future[Arrived]:
        """Expect the answer to one request, which begins to leave us; it is given back."""
        self._asked = True
        self.clean = False
        self._answer = answer = self._loop.create_future()
        self._wait.begin(monotonic())
        return answer

    def wait(self) -> None:
        """Wait for an answer that aiohttp expects by itself: its request begins to leave us."""
        if not self._waiting:
            self._waiting = True
            self._wait.begin(monotonic())

    def answer(self) -> asyncio.Future[Arrived]:
        """The answer behind an interim one."""
        self._answer = answer = self._loop.create_future()
        if self._buffer:
            answer.set_result(self._buffer.popleft()[0])
        elif self._eof:
            answer.set_exception(self._exception or EofStream())
        return answer

    def rest(self) -> None:
        """Expect nothing: without a parser, whatever arrives is kept as it is, and shows in ``should_close``."""
        if self._asked or self._waiting:
            self._asked = self._waiting = False
            self._wait.end(monotonic())
        self._parser = self._answer = self._message = None

    def data_received(self, data: bytes) -> None:
        """Read what has arrived; the event loop calls it."""
        if not (self._asked and data):
            self.clean = False
            if self._waiting:
                self._waiting = False
                self._wait.end(monotonic())
            self._arrived += len(data)
            super().data_received(data)
            if self._arrived > _OVERHEAD:
                self._bound_overhead()
            return
        self._asked = False
        self._wait.end(monotonic())
        whole = self._heads.whole(data)
        if whole is not None:
            if self._answer is not None and not self._answer.done():
                self.clean = True
                self._answer.set_result(whole)
            else:
                super().feed_data(whole)  # type: ignore[arg-type]  # answer() tells it from what is read
            return
        # A parser for each answer: the last one may have seen half of a stray head, and would add this answer to it.
        self.set_response_params(read_until_eof=True, auto_decompress=False)
        self._arrived = len(data)
        self._message = None
        super().data_received(data)
        if self._message is not None and not self._buffer:
            self._heads.learn(data, *self._message)

    def set_response_params(self, **options: Any) -> None:
        """Expect another answer, with a parser of its own."""
        self._arrived = 0
        super().set_response_params(**options)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Hand out the head of an answer, and what its body is to be read from, as aiohttp's parser has made them."""
        self._message = data
        if self._answer is None or self._answer.done():
            super().feed_data(data, size)
        else:
            self._answer.set_result(data)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """Note what ended the connection.

        Told to whoever reads a body too: aiohttp notes broken chunked framing on the connection alone, where it finds
        it after the head was handed out, and the body would be waited for until the deadline.
        """
        self.clean = False
        cause = exc_cause or exc  # aiohttp takes an error that causes itself for one without cause
        super().set_exception(exc, cause)
        if self._answer is not None:
            set_exception(self._answer, exc, cause)
        body = self._payload
        if body is not None and isinstance(exc, HttpProcessingError | ReplyUnreadable) and not body.is_eof():
            body.set_exception(exc)

    async def drain(self) -> None:
        """Wait until there is room for more to write.

        Raises:
            OSError: the connection has ended.
        """
        await self._drain_helper()

    def _bound_overhead(self) -> None:
        """Refuse an answer that is hardly a body, once all that has arrived is parsed."""
        if self._reading_paused or self._parser is None or self._exception is not None:
            return
        body = 0 if self._payload is None else self._payload.total_bytes
        if self._arrived - body > _OVERHEAD:
            self.set_exception(ReplyUnreadable(f"the answer has more than {_OVERHEAD // 1024} KiB beside its body"))
