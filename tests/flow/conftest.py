"""A server that does exactly what a script says, on a real socket; and what every test of a run asks for."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import pytest
import trustme
import uvloop

from batcher.flow.transport import CountedTransport, Route
from batcher.flow.transport.lease import LeaseTransport
from batcher.flow.transport.session import SessionTransport
from tests.flow.leaps import Leaping, follow
from tests.flow.runs import hurry

Script: TypeAlias = "Callable[[Peer], Awaitable[None]]"

LEAPING = {"test_matrix.py", "test_outages.py", "test_slots.py", "test_submit.py"}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The transport is held to both event loops, all else to asyncio's own; where seconds count, to one that leaps."""
    name = Path(item.path).name
    if name.startswith("test_transport"):
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": Leaping if name in LEAPING else asyncio.new_event_loop}


class Connect(Protocol):
    """Make a transport to a URL; the options are those of Route."""

    def __call__(self, url: str, **options: Any) -> CountedTransport: ...


class Serve(Protocol):
    """Start a server that runs *script* for each connection."""

    async def __call__(self, script: Script, tls: ssl.SSLContext | None = None) -> RawServer: ...


@dataclass
class Request:
    """What came over the wire for one request."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The only value of a header, None where it is absent."""
        values = [value for given, value in self.headers if given.lower() == name.lower()]
        assert len(values) < 2, values
        return values[0] if values else None


@dataclass
class Peer:
    """The server's end of one connection."""

    server: RawServer
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ordinal: int

    async def request(self) -> Request:
        """Read one request whole; ends the script where the client ends the connection instead."""
        head = await self.head()
        head.body = await self.reader.readexactly(int(head.header("Content-Length") or 0))
        self.server.requests.append(head)
        return head

    async def head(self) -> Request:
        """Read the head of a request and leave the body."""
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        return Request(first, headers, b"")

    async def send(self, *parts: bytes) -> None:
        """Send each part by itself, so that the client reads it by itself."""
        for part in parts:
            if self.writer.transport.is_closing():  # uvloop would call writing to it a RuntimeError
                raise ConnectionResetError
            self.writer.write(part)
            self.server.parts += 1
            await self.writer.drain()
            # The parts arrive apart only if the client's end has run in between: a few turns of the shared loop.
            for _ in range(4):
                await asyncio.sleep(0)

    async def gone(self) -> None:
        """Read and forget until the client ends the connection."""
        with suppress(ConnectionError):
            while await self.reader.read(2**16):
                pass
        self.server.left.set()

    def end(self) -> None:
        """Close in good order."""
        self.writer.close()

    def reset(self) -> None:
        """Send a RST."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


@dataclass
class RawServer:
    """Runs *script* for every connection and keeps what it saw."""

    script: Script
    scheme: str = "http"
    port: int = 0
    accepted: int = 0
    most_open: int = 0
    requests: list[Request] = field(default_factory=list)
    faults: list[BaseException] = field(default_factory=list)
    parts: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)
    _peers: dict[asyncio.Task[None], Peer] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Of the only path."""
        return f"{self.scheme}://127.0.0.1:{self.port}/xml"

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The life of one connection."""
        task = asyncio.current_task()
        assert task is not None
        peer = self._peers[task] = Peer(self, reader, writer, self.accepted)
        self.accepted += 1
        self.most_open = max(self.most_open, sum(map(still_open, self._peers.values())))
        try:
            await self.script(peer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            self.left.set()  # the client has left, or the test is over
        except Exception as error:  # noqa: BLE001 - told at the end of the test
            self.faults.append(error)
            self.left.set()
        finally:
            del self._peers[task]
            if not writer.transport.is_closing():
                writer.close()

    async def stop(self) -> None:
        """End every connection; a script that failed fails the test."""
        tasks = list(self._peers)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.faults:
            raise self.faults[0]


def all_arrived(end: socket.socket) -> None:
    """Wait, without a turn of the loop, until the other end's system has all that *end* has sent, its end included.

    As a rule it has at once what is sent on loopback; not where its interrupts are late.
    """
    while any(end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28)[24:28]):  # tcpi_unacked
        pass


def still_open(peer: Peer) -> bool:
    """Whether the client's end of the connection is there, by the system's own word."""
    ours = peer.writer.get_extra_info("socket")
    descriptor = -1 if ours is None else ours.fileno()  # TLS that was broken off has none any more
    poll = select.poll()
    poll.register(max(descriptor, 0), select.POLLRDHUP)
    return descriptor >= 0 and not poll.poll(0)


@pytest.fixture(params=[LeaseTransport, SessionTransport], ids=["lease", "session"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Make transports; each test that asks for it runs once for every implementation."""
    made: list[CountedTransport] = []

    def make(url: str, **options: Any) -> CountedTransport:
        options = {"connections": 4, "timeout": 3600.0, "connect_timeout": 3600.0} | options
        transport: CountedTransport = request.param(Route(url, **options))
        made.append(transport)
        return transport

    yield make
    for transport in made:
        await transport.close()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server that runs a script for each connection; stopped when the test ends."""
    running: list[tuple[RawServer, asyncio.Server]] = []

    async def start(script: Script, tls: ssl.SSLContext | None = None) -> RawServer:
        server = RawServer(script, "https" if tls else "http")
        listening = await asyncio.start_server(server.converse, "127.0.0.1", 0, ssl=tls)
        server.port = listening.sockets[0].getsockname()[1]
        running.append((server, listening))
        return server

    yield start
    for server, listening in running:
        listening.close()
        await server.stop()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A private certificate authority."""
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    """Its certificate, as --ca-file takes it."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """A server's side of TLS, for 127.0.0.1."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


async def answering(peer: Peer) -> None:
    """A script: every request gets ``ok``."""
    while True:
        await peer.request()
        await peer.send(OK)


@pytest.fixture
def leaping(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's clock is that of the event loop, which leaps; waits between attempts and probes are short."""
    hurry(monkeypatch, look=0.2)
    follow(monkeypatch)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts and probes are short."""
    hurry(monkeypatch)


@pytest.fixture
async def no_task_is_left() -> AsyncIterator[None]:
    """No run leaves a task behind."""
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set()


@pytest.fixture
def port() -> Iterator[int]:
    """A port of this machine that nobody listens on, and that is the test's: it may listen there later."""
    with kept_port() as kept:
        yield kept


@contextmanager
def kept_port() -> Iterator[int]:
    """The same, for as long as the context lasts.

    Whoever only looked for a free port and let go of it may meet another server there, or itself: a connection to a
    port that is nobody's can be given that very port for its own end.
    """
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))
        yield int(kept.getsockname()[1])
