"""What of an exchange counts as waiting for the server, by a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from batcher.errors import ConnectFailed, ConnectionLost
from batcher.flow.transport import CountedTransport
from tests.flow.conftest import Connect, Peer, Serve
from tests.flow.runs import until

BODIES = pytest.mark.parametrize("size", [1, 200_000], ids=["small", "sliced"])


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The transport's clock."""
    now = [1000.0]
    for module in ("reader", "pool"):
        monkeypatch.setattr(f"batcher.flow.transport.{module}.monotonic", lambda: now[0])
    return now


def server_wait(transport: CountedTransport, now: list[float]) -> tuple[float, bool]:
    """Seconds that the server was waited for, and whether it is waited for now."""
    wait = transport.waits.server
    return wait.seconds(now[0]), wait.seconds(now[0] + 1.0) > wait.seconds(now[0])


def waits(transport: CountedTransport, now: list[float]) -> Callable[[], bool]:
    return lambda: server_wait(transport, now)[1]


@BODIES
async def test_the_server_is_waited_for_until_its_answer_begins(
    serve: Serve, connect: Connect, now: list[float], size: int
) -> None:
    """Up to the first byte of the answer, not to its end; and each exchange on a kept connection counts anew."""
    asked, begin, finish = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            asked.set()
            await begin.wait()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            await finish.wait()
            await peer.send(b"ok")

    server = await serve(script)
    transport = connect(server.url)
    for round_ in (1, 2):
        exchange = asyncio.create_task(transport.exchange(bytes(size), {}))
        await asked.wait()
        assert server_wait(transport, now) == (4.0 * (round_ - 1), True)
        now[0] += 4.0
        begin.set()
        await until(lambda: not waits(transport, now)())
        now[0] += 16.0
        finish.set()
        assert (await exchange).body == b"ok"
        assert server_wait(transport, now) == (4.0 * round_, False)
        for event in (asked, begin, finish):
            event.clear()
    assert (server.accepted, transport.waits.connect.seconds(now[0])) == (1, 0.0)


@BODIES
@pytest.mark.parametrize("how", ["lost", "cancelled"])
async def test_a_wait_ends_with_its_exchange(
    serve: Serve, connect: Connect, now: list[float], size: int, how: str
) -> None:
    """An exchange that gets no answer, or is cancelled, waits no longer."""
    lose = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await lose.wait()
        peer.reset()

    server = await serve(script)
    transport = connect(server.url)
    exchange = asyncio.create_task(transport.exchange(bytes(size), {}))
    await until(lambda: bool(server.requests))
    now[0] += 4.0
    exchange.cancel() if how == "cancelled" else lose.set()
    with pytest.raises(asyncio.CancelledError if how == "cancelled" else ConnectionLost):
        await exchange
    assert server_wait(transport, now) == (4.0, False)


async def test_a_connection_that_is_not_to_be_had_is_waited_for(
    serve: Serve, connect: Connect, now: list[float]
) -> None:
    """A handshake that goes on for ever counts as connecting, and not as the server, and ends with the attempt."""
    spoken, refuse = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        spoken.set()
        await refuse.wait()
        peer.reset()

    server = await serve(script)
    transport = connect(server.url.replace("http:", "https:"))
    exchange = asyncio.create_task(transport.exchange(b"x", {}))
    await spoken.wait()
    now[0] += 4.0
    refuse.set()
    with pytest.raises(ConnectFailed):
        await exchange
    now[0] += 100.0
    assert transport.waits.connect.seconds(now[0]) == 4.0
    assert server_wait(transport, now) == (0.0, False)
