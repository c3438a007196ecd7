"""Connections: kept, never trusted blindly, never more than allowed, and no place lost whatever happens."""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import random
import socket
from contextlib import suppress

import pytest

from batcher.errors import ConnectFailed, ConnectionLost, TransportError
from batcher.flow.transport import CountedTransport
from tests.flow.conftest import OK, Connect, Peer, Serve, all_arrived, answering


async def test_a_connection_is_kept_and_counted(serve: Serve, connect: Connect) -> None:
    """Exchanges that follow one another share one connection."""
    server = await serve(answering)
    transport = connect(server.url)
    assert transport.connections() == {"active": 0, "idle": 0}
    for _ in range(3):
        await transport.exchange(b"x", {})
    assert (server.accepted, transport.opened) == (1, 1)
    assert transport.connections() == {"active": 0, "idle": 1}


async def test_connection_close_is_honoured(serve: Serve, connect: Connect) -> None:
    """After an answer that says close, the next exchange has a connection of its own."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        await peer.gone()

    server = await serve(script)
    transport = connect(server.url)
    assert (await transport.exchange(b"1", {})).body == b"ok"
    assert transport.connections() == {"active": 0, "idle": 0}
    assert (await transport.exchange(b"2", {})).body == b"ok"
    assert (server.accepted, transport.opened) == (2, 2)


async def test_the_pool_is_bounded(serve: Serve, connect: Connect) -> None:
    """More exchanges than connections wait for one another."""
    server = await serve(answering)
    transport = connect(server.url, connections=3)
    answers = await asyncio.gather(*(transport.exchange(b"x", {}) for _ in range(20)))
    assert [answer.body for answer in answers] == [b"ok"] * 20
    assert (server.accepted, transport.opened, server.most_open) == (3, 3, 3)


async def test_a_post_is_never_sent_twice(serve: Serve, connect: Connect) -> None:
    """A server that reads a second request on a kept connection and closes has seen it once; the loss is not fresh."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()

    server = await serve(script)
    transport = connect(server.url)
    await transport.exchange(b"1", {})
    with pytest.raises(ConnectionLost) as caught:
        await transport.exchange(b"2", {})
    assert (caught.value.sent, caught.value.fresh) == (True, False)
    assert [request.body for request in server.requests] == [b"1", b"2"]
    assert (server.accepted, transport.opened) == (1, 1)

    assert (await transport.exchange(b"3", {})).body == b"ok"
    assert [request.body for request in server.requests] == [b"1", b"2", b"3"]


EXTRA = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"


@pytest.mark.parametrize(
    ("behind", "turns"),
    [(b"", 0), (EXTRA, 0), (EXTRA[:10], 0), (b"\0", 0), (b"", 20), (EXTRA, 20), (EXTRA[:10], 20), (b"\0", 20)],
)
async def test_an_unusable_connection_is_not_used_again(
    serve: Serve, connect: Connect, behind: bytes, turns: int
) -> None:
    """Where the server has closed, or sent more than its answer, since the last exchange, the next one is unharmed.

    This is seen at the last moment, when the event loop has had no turn to hear of it, and of course later.
    """
    peers: list[Peer] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        await answering(peer)

    server = await serve(script)
    transport = connect(server.url, connections=1)
    await transport.exchange(b"1", {})
    end = socket.socket(fileno=os.dup(peers[0].writer.get_extra_info("socket").fileno()))
    with end:
        if behind:
            end.send(behind)
        else:
            end.shutdown(socket.SHUT_WR)
        all_arrived(end)
        for _ in range(turns):
            await asyncio.sleep(0)
        assert (await transport.exchange(b"2", {})).body == b"ok"
    assert [request.body for request in server.requests] == [b"1", b"2"]
    assert (server.accepted, transport.opened) == (2, 2)
    assert transport.connections() == {"active": 0, "idle": 1}


async def test_an_extra_answer_in_the_same_breath_is_not_taken_for_the_next(serve: Serve, connect: Connect) -> None:
    """Two answers to one request: the first is ours, the second nobody's."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")

    server = await serve(script)
    transport = connect(server.url)
    for _ in range(3):
        assert (await transport.exchange(b"x", {})).body == b"ok"
    assert server.accepted == 3


async def test_an_idle_connection_that_the_server_closed_is_no_idle_connection(serve: Serve, connect: Connect) -> None:
    """What the server closed while nobody looked is not counted."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        peer.end()
        await peer.gone()

    server = await serve(script)
    transport = connect(server.url)
    await transport.exchange(b"1", {})
    await server.left.wait()
    assert transport.connections() == {"active": 0, "idle": 0}


EVERYTHING = {"Answer", "CancelledError", "ConnectionLost", "ReplyTimeout", "ReplyUnreadable"}


async def test_no_place_is_lost(serve: Serve, connect: Connect) -> None:
    """After hundreds of losses, garbage, late answers and cancellations at random moments, every place is there.

    At no time were more connections open than allowed.
    """
    chance = random.Random(7)
    all_places = asyncio.Barrier(8)
    server = await serve(functools.partial(moody, chance, all_places))
    transport = connect(server.url, connections=8, timeout=0.05)
    outcomes: list[str] = []

    async def worker() -> None:
        rounds = itertools.count(1)
        while next(rounds) <= 60 or not EVERYTHING.issubset(outcomes):  # on a slow machine little is answered in time
            attempt = asyncio.ensure_future(transport.exchange(bytes(chance.choice([1, 300_000])), {}))
            if chance.random() < 0.4:
                for _ in range(chance.randrange(12)):
                    await asyncio.sleep(0)
                attempt.cancel()
            [result] = await asyncio.gather(attempt, return_exceptions=True)
            outcomes.append(type(result).__name__)

    await asyncio.gather(*(worker() for _ in range(8)))
    assert set(outcomes) <= EVERYTHING | {"ConnectFailed"}  # some have not even connected in time there
    assert transport.connections()["active"] == 0

    vars(transport)["_deadlines"].timeout = 3600.0
    assert await asyncio.gather(*(patient(transport, b"sane") for _ in range(8))) == [b"ok"] * 8
    assert server.most_open == 8


async def moody(chance: random.Random, all_places: asyncio.Barrier, peer: Peer) -> None:
    """A script: most requests meet some mischief; ``sane`` ones never do, but wait until one is in each place."""
    while True:
        body = (await peer.request()).body
        if body == b"sane":
            await all_places.wait()
        mood = "fine" if body == b"sane" else chance.choice(["fine", "fine", "gone", "reset", "junk", "half", "wait"])
        match mood:
            case "fine":
                await peer.send(OK)
            case "junk":
                await peer.send(b"junk\r\n\r\n")
            case "half":
                await peer.send(OK[:-1])
                break
            case "reset":
                peer.reset()
                break
            case "wait":
                await peer.gone()
                break
            case _:
                break


async def patient(transport: CountedTransport, body: bytes) -> bytes:
    """The body of the first answer: kept connections whose script had ended are met first."""
    while True:
        with suppress(TransportError):
            return (await transport.exchange(body, {})).body


async def test_closing_ends_what_is_under_way(serve: Serve, connect: Connect) -> None:
    """Exchanges that wait for an answer, or for a place, end with an error of ours; so do later ones."""
    arrived = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        arrived.set()
        await peer.gone()

    server = await serve(script)
    transport = connect(server.url, connections=1)
    sent = asyncio.ensure_future(transport.exchange(b"1", {}))
    await arrived.wait()
    waiting = asyncio.ensure_future(transport.exchange(b"2", {}))
    await asyncio.sleep(0)
    await transport.close()
    with pytest.raises(ConnectionLost):
        await sent
    for late in (waiting, transport.exchange(b"3", {})):
        with pytest.raises(TransportError) as caught:
            await late
        assert type(caught.value) is ConnectFailed
