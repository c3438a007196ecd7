"""Services for the program to talk to, on an event loop in a thread of its own: a test may wait for a process."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias, TypeVar

from batcher.sandbox import Sandbox, SandboxSettings

T = TypeVar("T")
PATIENCE_S = 240.0


class Background:
    """An event loop that runs in a thread while it is entered."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="servers")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do *work* on the loop and wait for what comes of it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    @contextlib.contextmanager
    def holding(self, context: contextlib.AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Enter *context* on the loop for as long as this one lasts."""
        value = self.do(_enter(context))
        try:
            yield value
        finally:
            self.do(_leave(context))

    def sandbox(
        self, settings: SandboxSettings | None = None, tls: ssl.SSLContext | None = None
    ) -> contextlib.AbstractContextManager[Sandbox]:
        """A sandbox that runs for as long as the context lasts."""
        return self.holding(Sandbox(settings or SandboxSettings(), tls))


async def _enter(context: contextlib.AbstractAsyncContextManager[T]) -> T:
    return await context.__aenter__()


async def _leave(context: contextlib.AbstractAsyncContextManager[T]) -> None:
    await context.__aexit__(None, None, None)


@dataclass(frozen=True)
class Request:
    """What came: its *number* counts the server's requests from 1."""

    number: int
    head: str
    body: bytes

    @property
    def source_id(self) -> str:
        """The SourceID in its envelope; empty where there is none."""
        found = re.search(b"<SourceID>([^<]*)", self.body)
        return found[1].decode() if found else ""


@dataclass
class Raw:
    """A server whose answers are the bytes that a test says; see `raw_server`."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    open: int = 0
    most_open: int = 0
    arrival: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, count: int) -> None:
        """Wait until so many requests have come."""
        with self.arrival:
            assert self.arrival.wait_for(lambda: len(self.requests) >= count, PATIENCE_S), len(self.requests)

    def source_ids(self) -> list[str]:
        """Of all requests, in order of arrival."""
        return [request.source_id for request in self.requests]


class Held:
    """Answers well, but only once it was released; for `raw_server`."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._released = asyncio.Event()

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        await self._released.wait()
        writer.write(http("200 OK", saved(request)))

    def release(self) -> None:
        """Let all answers out, those to come as well."""
        self._background.do(self._set())

    async def _set(self) -> None:
        self._released.set()


Answer: TypeAlias = "Callable[[Request, asyncio.StreamWriter], Awaitable[None]]"


@contextlib.asynccontextmanager
async def raw_server(answer: Answer) -> AsyncIterator[Raw]:
    """Serve HTTP; *answer* writes each answer, and may close the connection. Counts requests and open connections."""
    raw = Raw()
    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw.open += 1
        raw.most_open = max(raw.most_open, raw.open)
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                size = re.search(r"(?i)content-length: (\d+)", head)
                body = await reader.readexactly(int(size[1]) if size else 0)
                with raw.arrival:
                    request = Request(len(raw.requests) + 1, head, body)
                    raw.requests.append(request)
                    raw.arrival.notify_all()
                await answer(request, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            raw.open -= 1
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        served.add(task)
        task.add_done_callback(served.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    raw.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/xml"
    try:
        yield raw
    finally:
        server.close()
        for task in served:
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)


def http(status: str, body: bytes, *headers: str, kind: str = "text/xml; charset=utf-8") -> bytes:
    """An answer with a length."""
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def saved(request: Request) -> bytes:
    """The good answer's body: a copy of the record."""
    found = re.search(b"<Record>(.*)</Record>", request.body, re.DOTALL)
    return _envelope(b"SetOutlookSyncRecord", found[1] if found else b"")


def logged_in(key: str) -> bytes:
    """A good login's body."""
    return _envelope(b"AuthenticateWebSafe", f"<Code>Success</Code><SessionKey>{key}</SessionKey>".encode())


def _envelope(operation: bytes, result: bytes) -> bytes:
    return (
        b'<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
        b'<%(name)sResponse xmlns="http://schema.veetro.com"><%(name)sResult>%(result)s</%(name)sResult>'
        b"</%(name)sResponse></s:Body></s:Envelope>" % {b"name": operation, b"result": result}
    )
