"""Time limits, cancellation, and what of a request has left us by then."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace

import pytest

from batcher.errors import ConnectFailed, ConnectionLost, ReplyTimeout, TransportError
from batcher.flow.transport import Answer
from tests.flow.conftest import OK, Connect, Peer, Script, Serve, answering
from tests.flow.runs import until

LARGE = bytes(32 * 1024 * 1024)
"""More than the system buffers on a loopback connection, so that an unread request cannot leave as a whole."""


async def silent(peer: Peer) -> None:
    await peer.request()
    await peer.gone()


async def dripping_head(peer: Peer) -> None:
    await peer.request()
    while True:
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.sleep(0.01)


async def dripping_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        await peer.send(b"x")
        await asyncio.sleep(0.01)


class Clock:
    """The clock of the deadlines, in the place of the event loop's: the test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, call: Callable[[], None]) -> Clock:
        assert not self._timers, "one timer serves all exchanges of a transport"
        self._timers = [(at, call)]
        return self

    def cancel(self) -> None:
        """The timer."""
        self._timers = []

    def move(self, seconds: float) -> None:
        """Let so many pass."""
        self.now += seconds
        due = [call for at, call in self._timers if at <= self.now]
        if due:
            self._timers = []
        for call in due:
            call()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """For the one transport of a test."""
    clock = Clock()
    stand_in = SimpleNamespace(get_running_loop=lambda: clock, current_task=lambda _loop: asyncio.current_task())
    monkeypatch.setattr("batcher.flow.transport.deadlines.asyncio", stand_in)
    return clock


@pytest.mark.parametrize(("script", "parts"), [(silent, 0), (dripping_head, 3), (dripping_body, 3)])
async def test_the_deadline_is_for_the_whole_exchange(
    serve: Serve, connect: Connect, clock: Clock, script: Script, parts: int
) -> None:
    """No answer, or one that only drips, ends when the time is up; the request perhaps counts, the connection goes."""
    server = await serve(script)
    transport = connect(server.url, timeout=20.0)
    exchange = asyncio.ensure_future(transport.exchange(b"x", {}))
    await until(lambda: bool(server.requests) and server.parts >= parts)
    clock.move(19.0)
    await asyncio.sleep(0)
    assert not exchange.done()
    clock.move(1.0)
    with pytest.raises(ReplyTimeout) as caught:
        await exchange
    assert (caught.value.sent, caught.value.timed_out) == (True, True)
    assert len(server.requests) == 1
    await server.left.wait()
    assert transport.connections() == {"active": 0, "idle": 0}
    assert exchange.done()
    assert not exchange.cancelled()


async def test_a_deadline_is_reached_by_itself(serve: Serve, connect: Connect) -> None:
    """By a timer of the event loop, and it is no cancellation of the task that waits."""
    transport = connect((await serve(silent)).url, timeout=0.1)
    with pytest.raises(TransportError) as caught:
        await transport.exchange(b"x", {})
    assert caught.value.timed_out
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_deadlines_are_reached_in_turn(serve: Serve, connect: Connect, clock: Clock) -> None:
    """Many exchanges, begun at different times, some answered: the others all reach their own deadline."""

    async def script(peer: Peer) -> None:
        while (await peer.request()).body == b"answer":
            await peer.send(OK)
        await peer.gone()

    server = await serve(script)
    transport = connect(server.url, connections=30, timeout=20.0)
    waiting: list[tuple[float, asyncio.Task[Answer]]] = []
    for number in range(30):
        clock.move(0.125)
        answered = number % 3 == 0
        exchange = asyncio.create_task(transport.exchange(b"answer" if answered else b"do not", {}))
        await until(lambda count=number: len(server.requests) > count)  # type: ignore[misc]
        if answered:
            assert (await exchange).body == b"ok"
        else:
            waiting.append((clock.now, exchange))
    while waiting:
        begun, exchange = waiting.pop(0)
        clock.move(begun + 20.0 - clock.now)
        with pytest.raises(ReplyTimeout):
            await exchange
        assert not any(each.done() for _, each in waiting)


async def test_a_connection_has_its_own_time_limit(connect: Connect) -> None:
    """A peer that never takes part in the TLS handshake: nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        transport = connect(f"https://127.0.0.1:{listening.getsockname()[1]}/", connect_timeout=0.1)
        with pytest.raises(ConnectFailed) as caught:
            await transport.exchange(b"x", {})
        assert (caught.value.sent, caught.value.timed_out) == (False, True)
        assert transport.connections() == {"active": 0, "idle": 0}


async def test_the_deadline_covers_connecting_too(connect: Connect) -> None:
    """The whole exchange's time is up before the connection's."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        transport = connect(f"https://127.0.0.1:{listening.getsockname()[1]}/", timeout=0.1)
        with pytest.raises(ConnectFailed) as caught:
            await transport.exchange(b"x", {})
        assert caught.value.timed_out
        assert transport.connections() == {"active": 0, "idle": 0}


async def test_nobody_listens(connect: Connect, port: int) -> None:
    """A refused connection is certainly nothing sent, and no time-out."""
    with pytest.raises(ConnectFailed) as caught:
        await connect(f"http://127.0.0.1:{port}/").exchange(b"x", {})
    assert (caught.value.sent, caught.value.timed_out) == (False, False)
    assert str(caught.value) == "no connection: Connection refused"


async def test_a_name_that_does_not_exist(connect: Connect) -> None:
    """No address, no request; RFC 6761 reserves the name."""
    with pytest.raises(ConnectFailed) as caught:
        await connect("http://service.invalid/").exchange(b"x", {})
    assert not caught.value.sent


async def test_cancellation_comes_through(serve: Serve, connect: Connect) -> None:
    """Who cancels an exchange sees CancelledError, and the connection is cut."""
    arrived = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        arrived.set()
        await peer.gone()

    server = await serve(script)
    transport = connect(server.url)
    exchange = asyncio.ensure_future(transport.exchange(b"x", {}))
    await arrived.wait()
    exchange.cancel()
    with pytest.raises(asyncio.CancelledError):
        await exchange
    await server.left.wait()
    assert transport.connections() == {"active": 0, "idle": 0}


async def test_a_timeout_around_an_exchange_is_the_callers(serve: Serve, connect: Connect) -> None:
    """asyncio.timeout works around an exchange as around anything else."""
    server = await serve(silent)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await connect(server.url).exchange(b"x", {})


async def test_a_cancelled_request_stops_leaving(serve: Serve, connect: Connect) -> None:
    """What was not handed to the system when an exchange is cancelled never arrives."""
    begun, cancelled = asyncio.Event(), asyncio.Event()
    arrived = 0

    async def script(peer: Peer) -> None:
        nonlocal arrived
        await peer.head()
        begun.set()
        await cancelled.wait()
        while part := await peer.reader.read(2**20):
            arrived += len(part)
        peer.server.left.set()

    server = await serve(script)
    exchange = asyncio.ensure_future(connect(server.url).exchange(LARGE, {}))
    await begun.wait()
    exchange.cancel()
    with pytest.raises(asyncio.CancelledError):
        await exchange
    cancelled.set()
    await server.left.wait()
    assert arrived < len(LARGE)


async def test_a_request_that_did_not_leave_as_a_whole_is_not_sent(serve: Serve, connect: Connect) -> None:
    """The connection breaks while most of the body is still here: it cannot have been applied."""

    async def resetting(peer: Peer) -> None:
        await peer.head()
        peer.reset()

    server = await serve(resetting)
    with pytest.raises(ConnectionLost) as lost:
        await connect(server.url).exchange(LARGE, {})
    assert (lost.value.sent, lost.value.fresh) == (False, True)


async def test_a_request_that_is_stuck_is_not_sent(serve: Serve, connect: Connect, clock: Clock) -> None:
    """The same where the time is up."""
    begun, release = asyncio.Event(), asyncio.Event()

    async def stuck(peer: Peer) -> None:
        await peer.head()
        begun.set()
        await release.wait()

    server = await serve(stuck)
    exchange = asyncio.ensure_future(connect(server.url, timeout=20.0).exchange(LARGE, {}))
    await begun.wait()
    clock.move(20.0)
    with pytest.raises(ReplyTimeout) as late:
        await exchange
    assert not late.value.sent
    release.set()


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize("body", [b"", b"too large"])
async def test_an_early_answer_is_read(serve: Serve, connect: Connect, body: bytes, *, closes: bool) -> None:
    """A 413 that comes while the body is still going out is the answer, and that connection is not used again."""

    async def script(peer: Peer) -> None:
        if peer.ordinal:
            await answering(peer)
        await peer.head()
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: %d\r\n\r\n" % len(body), body)
        if not closes:
            await asyncio.Event().wait()

    server = await serve(script)
    transport = connect(server.url, connections=1)
    answer = await transport.exchange(LARGE, {})
    assert (answer.status, answer.body) == (413, body)
    assert (await transport.exchange(b"x", {})).body == b"ok"
    assert server.accepted == 2
    assert established(server.port) == 1


def established(port: int) -> int:
    """Connections to *port* that this process has open, by the system's own word.

    Its table of all connections may tell one twice, or not at all, while others come and go.
    """
    count = 0
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers, not paths
        with suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(name))) as end:
                if end.family == socket.AF_INET and end.getpeername()[1] == port:
                    count += end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x01"
    return count
