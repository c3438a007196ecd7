"""Writes replies to the client's connection itself, so that they can also go wrong on the way.

aiohttp reads the requests and owns the connections; a `Sending` takes the place of its response.
"""

import asyncio
import socket
import struct
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from aiohttp import web

from batcher.sandbox.answers import Reply

__all__ = ["Sending"]

_CHUNKS: Final = 4
_DRIBBLE_BYTES: Final = 48
_DRIBBLE_PAUSE: Final = 0.001
_GARBAGE: Final = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is no HTTP \x00\xff\r\n\r\n"
_IIS: Final = "Server: Microsoft-IIS/10.0\r\nX-AspNet-Version: 4.0.30319\r\nX-Powered-By: ASP.NET\r\n"
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}
# Closing with a linger time of 0 sends a reset instead of an orderly end.
_RESET: Final = struct.pack("ii", 1, 0)


class Sending(web.StreamResponse):
    """A reply and the *way* it goes: whole where None, else a fault kind that changes how it is written.

    No reply at all: nothing is written and the connection is closed.
    """

    def __init__(self, reply: Reply | None, way: str | None = None) -> None:
        super().__init__()
        self._reply = reply
        self._way = way
        self._again = False

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection takes another request afterwards."""
        return self._again

    async def prepare(self, request: web.BaseRequest) -> None:
        """Writes all that the client will see of this reply."""
        transport = request.transport
        if transport is None:
            return
        if self._way in ("reset", "reset_applied"):
            _reset(transport)
        elif self._way == "garbage":
            transport.write(_GARBAGE)
        elif self._reply is not None:
            await self._write(transport, request, self._reply)

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing: `prepare` wrote it all."""

    async def _write(self, transport: asyncio.Transport, request: web.BaseRequest, reply: Reply) -> None:
        whole = self._way in (None, "dribble", "chunked")
        # What is left of a request that was answered unread would be taken for the next one.
        self._again = whole and request.keep_alive and request.content.at_eof()
        body = reply.body
        if self._way == "chunked":
            size = len(body) // _CHUNKS + 1
            pieces = [body[start : start + size] for start in range(0, len(body), size)]
            body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
            framing = "Transfer-Encoding: chunked\r\n"
        elif self._way == "close":
            framing = ""
        else:
            framing = f"Content-Length: {len(body)}\r\n"
        head = _head(reply, framing, again=self._again)
        if request.method == "HEAD":
            body = b""
        if self._way == "cut":
            body = body[: len(body) // 2]
        if self._way == "dribble":
            await _dribble(transport, head + body)
        else:
            transport.write(head + body)


def _head(reply: Reply, framing: str, *, again: bool) -> bytes:
    media = f"Content-Type: {reply.content_type}\r\n" if reply.content_type else ""
    more = "".join(f"{name}: {value}\r\n" for name, value in reply.headers)
    connection = "" if again else "Connection: close\r\n"
    date = _date(int(time.time()))
    return (
        f"HTTP/1.1 {reply.status} {_REASONS[reply.status]}\r\n{more}{media}{_IIS}{date}{connection}{framing}\r\n"
    ).encode("latin-1")


class _DateLine:
    """The Date header of the current second."""

    def __init__(self) -> None:
        self._second = -1
        self._line = ""

    def __call__(self, second: int) -> str:
        if second != self._second:
            self._second = second
            self._line = f"Date: {formatdate(second, usegmt=True)}\r\n"
        return self._line


_date: Final = _DateLine()


async def _dribble(transport: asyncio.Transport, data: bytes) -> None:
    for start in range(0, len(data), _DRIBBLE_BYTES):
        if transport.is_closing():
            return
        transport.write(data[start : start + _DRIBBLE_BYTES])
        await asyncio.sleep(_DRIBBLE_PAUSE)


def _reset(transport: asyncio.Transport) -> None:
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
