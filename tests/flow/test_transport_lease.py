"""What an implementation that keeps connections and heads for itself could get wrong: the same cases for every one."""

from __future__ import annotations

import asyncio
import gzip
import select
import socket
from collections.abc import Callable

import pytest

from batcher.errors import ConnectFailed, ConnectionLost, ReplyUnreadable, TransportError
from batcher.flow.transport import Route
from batcher.flow.transport.lease import LeaseTransport
from batcher.flow.transport.reader import Reader
from tests.flow.conftest import OK, Connect, Peer, Serve, answering

HEAD = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 2\r\n\r\n"
LF = b"HTTP/1.1 200 OK\nContent-Length: 6\n\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ZIPPED = gzip.compress(b"ok")
GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(ZIPPED)


def always(*parts: bytes) -> Callable[[Peer], object]:
    """A script: every request gets *parts*."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(*parts)

    return script


REPEATED: dict[str, tuple[list[bytes], bytes]] = {
    "in one piece": ([HEAD + b"ok"], b"ok"),
    "in two": ([HEAD, b"ok"], b"ok"),
    "behind an interim answer": ([b"HTTP/1.1 100 C\r\n\r\n" + HEAD + b"ok"], b"ok"),
    "behind an interim answer by itself": ([b"HTTP/1.1 100 C\r\n\r\n", HEAD + b"ok"], b"ok"),
    "behind blank lines": ([b"\r\n\r\n" + HEAD + b"ok"], b"ok"),
    "a head of LF, blank lines in the body": ([LF + b"ab\r\n\r\n"], b"ab\r\n\r\n"),
    "blank lines in the body": ([LF.replace(b"\n", b"\r\n") + b"\r\n\r\nab"], b"\r\n\r\nab"),
    "no body": ([b"HTTP/1.1 500 E\r\nContent-Length: 0\r\n\r\n"], b""),
    "no content": ([b"HTTP/1.1 204 N\r\n\r\n"], b""),
    "chunked": ([CHUNKED + b"2\r\nok\r\n0\r\n\r\n"], b"ok"),
    "gzip": ([GZIP + ZIPPED], b"ok"),
}


@pytest.mark.parametrize("name", REPEATED)
async def test_an_answer_that_repeats_is_read_the_same_way(serve: Serve, connect: Connect, name: str) -> None:
    """Three times the same bytes are three times the same answer, on one connection."""
    parts, body = REPEATED[name]
    server = await serve(always(*parts))  # type: ignore[arg-type]
    transport = connect(server.url)
    for _ in range(3):
        assert (await transport.exchange(b"x", {})).body == body
    assert server.accepted == 1


async def test_a_known_head_says_nothing_about_the_body(serve: Serve, connect: Connect) -> None:
    """One head, another body each time, whole or in pieces: each request gets its own."""
    bodies = [b"%02d" % number for number in range(20)]

    async def script(peer: Peer) -> None:
        for number, body in enumerate(bodies):
            await peer.request()
            await peer.send(*([HEAD + body], [HEAD, body], [HEAD[:9], HEAD[9:] + body])[number % 3])

    server = await serve(script)
    transport = connect(server.url)
    assert [(await transport.exchange(b"x", {})).body for _ in bodies] == bodies
    assert server.accepted == 1


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ([HEAD + b"o"], ConnectionLost),
        ([HEAD], ConnectionLost),
        ([HEAD[:-1]], ConnectionLost),
        ([b"junk" + HEAD + b"ok"], ReplyUnreadable),
        ([HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n") + b"ok"], ReplyUnreadable),
        ([HEAD.replace(b"Server: x", b"Content-Encoding: gzip") + b"ok"], ReplyUnreadable),
    ],
)
async def test_a_broken_answer_behind_good_ones(
    serve: Serve, connect: Connect, parts: list[bytes], error: type[TransportError]
) -> None:
    """What went well before on a connection makes no broken answer a good one."""

    async def script(peer: Peer) -> None:
        for _ in range(2):
            await peer.request()
            await peer.send(HEAD + b"ok")
        await peer.request()
        await peer.send(*parts)

    server = await serve(script)
    transport = connect(server.url)
    for _ in range(2):
        assert (await transport.exchange(b"x", {})).body == b"ok"
    with pytest.raises(TransportError) as caught:
        await transport.exchange(b"x", {})
    assert type(caught.value) is error
    assert caught.value.sent
    assert transport.connections() == {"active": 0, "idle": 0}


async def test_a_known_answer_with_more_behind_it(serve: Serve, connect: Connect) -> None:
    """An extra answer under a known head is nobody's: it is not handed out, and its connection is not used again."""
    extra = HEAD + b"no"

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD + b"ok")
        await peer.request()
        await peer.send(HEAD + b"ok" + extra)
        await peer.gone()

    server = await serve(script)
    transport = connect(server.url)
    for _ in range(6):
        assert (await transport.exchange(b"x", {})).body == b"ok"
    assert server.accepted == 3


async def test_a_connection_that_idles_is_closed(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before the server would; and nobody has to ask for it."""
    for module in ("lease", "pool"):
        monkeypatch.setattr(f"batcher.flow.transport.{module}.IDLE", 0.05)
    server = await serve(answering)
    transport = connect(server.url)
    await transport.exchange(b"1", {})
    await server.left.wait()
    assert transport.connections() == {"active": 0, "idle": 0}
    assert (await transport.exchange(b"2", {})).body == b"ok"
    assert server.accepted == 2


async def test_a_connection_does_not_live_for_ever(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a few minutes the name is asked again, and a balancer may choose anew."""
    monkeypatch.setattr("batcher.flow.transport.reader.RENEWED", 0.0)
    server = await serve(answering)
    transport = connect(server.url, connections=1)
    for _ in range(3):
        assert (await transport.exchange(b"x", {})).body == b"ok"
    assert (server.accepted, server.most_open) == (3, 1)


@pytest.mark.parametrize(("spell", "accepted"), [(3600.0, 5), (0.0, 3)])
async def test_after_a_loss_connections_are_not_used_twice_for_a_while(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, spell: float, accepted: int
) -> None:
    """A server that gives up connections without a word costs one doubtful request, not one after the other."""
    monkeypatch.setattr("batcher.flow.transport.pool.DISTRUST", spell)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        if peer.ordinal < 2:
            await peer.request()
        else:
            await answering(peer)

    server = await serve(script)
    transport = connect(server.url)
    both = await asyncio.gather(*(transport.exchange(b"x", {}) for _ in range(2)))
    assert [answer.body for answer in both] == [b"ok"] * 2
    lost = await asyncio.gather(*(transport.exchange(b"x", {}) for _ in range(2)), return_exceptions=True)
    assert [type(result) for result in lost] == [ConnectionLost] * 2
    for _ in range(3):
        assert (await transport.exchange(b"x", {})).body == b"ok"
    assert server.accepted == accepted


async def test_a_server_that_loses_requests_on_new_connections_too(serve: Serve, connect: Connect) -> None:
    """Where using connections twice is not to blame, they are used twice."""

    async def script(peer: Peer) -> None:
        while b"lose" not in (await peer.request()).body:
            await peer.send(OK)

    server = await serve(script)
    transport = connect(server.url)
    await transport.exchange(b"x", {})
    for _ in range(3):
        with pytest.raises(ConnectionLost):
            await transport.exchange(b"lose", {})
        for _ in range(2):
            assert (await transport.exchange(b"x", {})).body == b"ok"
    # The first loss was on a used connection, so the two behind it had one each, and the second was on a new one.
    assert server.accepted == 1 + 2 + 1 + 1 + 1


async def test_closing_ends_a_connection_in_the_making(connect: Connect) -> None:
    """Whoever waits for a handshake hears at once that nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        transport = connect(f"https://127.0.0.1:{listening.getsockname()[1]}/")
        exchange = asyncio.ensure_future(transport.exchange(b"x", {}))
        for _ in range(20):
            await asyncio.sleep(0)
        assert transport.connections()["active"] == 1
        await transport.close()
        with pytest.raises(ConnectFailed) as caught:
            await exchange
        assert (caught.value.sent, caught.value.timed_out) == (False, False)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


async def test_closing_ends_an_answer_under_way(serve: Serve, connect: Connect) -> None:
    """Half an answer is no reason to wait for the other half."""
    half = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK[:-1])
        half.set()
        await peer.gone()

    server = await serve(script)
    transport = connect(server.url)
    exchange = asyncio.ensure_future(transport.exchange(b"x", {}))
    await half.wait()
    await transport.close()
    with pytest.raises(ConnectionLost) as caught:
        await exchange
    assert caught.value.sent


@pytest.mark.parametrize("greeting", [b"", b"220 mail.example ESMTP\r\n"])
async def test_a_server_that_does_not_wait_to_be_asked(serve: Serve, connect: Connect, greeting: bytes) -> None:
    """A peer that talks or closes as soon as it is reached gets no request, and is not tried over and over."""
    accepted = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.send(greeting)
        peer.end()
        accepted.set()

    server = await serve(script)
    transport = connect(server.url)
    results = await asyncio.gather(*(transport.exchange(b"x", {}) for _ in range(4)), return_exceptions=True)
    await accepted.wait()
    for result in results:
        assert isinstance(result, TransportError)
        assert result.sent == (not isinstance(result, ConnectFailed))
    assert server.accepted <= len(results)
    assert transport.connections() == {"active": 0, "idle": 0}


async def test_a_request_that_the_system_refuses_was_not_sent(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the very first write of a request fails on plain TCP, none of it can have been applied.

    It takes a connection that ends between the last look at it and the write: here nobody looks.
    """
    monkeypatch.setattr(Reader, "usable", lambda reader: True)
    peers: list[Peer] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        await answering(peer)

    server = await serve(script)
    transport = LeaseTransport(Route(server.url))
    await transport.exchange(b"1", {})
    ours = select.poll()
    ours.register(transport._idle[0].transport.get_extra_info("socket"), select.POLLIN)
    peers[0].reset()
    await asyncio.sleep(0)
    assert ours.poll(), "the reset comes, at once as a rule, and nobody looks"
    with pytest.raises(ConnectionLost) as caught:
        await transport.exchange(b"2", {})
    assert (caught.value.sent, caught.value.fresh) == (False, False)
    assert [request.body for request in server.requests] == [b"1"]
    await transport.close()


async def test_headers_that_change_are_sent_as_they_are(serve: Serve, connect: Connect) -> None:
    """A new session's key goes out with the very next request, and one that was taken away does not."""
    server = await serve(answering)
    transport = connect(server.url)
    headers = {"SOAPAction": '"urn:x"', "VeetroSession": "first"}
    await transport.exchange(b"1", headers)
    headers["VeetroSession"] = "second"
    await transport.exchange(b"22", headers)
    del headers["VeetroSession"]
    await transport.exchange(b"", headers | {"user-agent": "other"})
    seen = [(request.header("VeetroSession"), request.header("Content-Length")) for request in server.requests]
    assert seen == [("first", "1"), ("second", "2"), (None, "0")]
    assert [request.header("User-Agent") == "other" for request in server.requests] == [False, False, True]


async def test_a_head_that_repeats_is_parsed_once(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of five like answers the first alone is read by a parser; an interim answer before one is read by it again."""
    parsed: list[Reader] = []
    begin = Reader.set_response_params

    def note(reader: Reader, **options: object) -> None:
        parsed.append(reader)
        begin(reader, **options)

    monkeypatch.setattr(Reader, "set_response_params", note)

    async def script(peer: Peer) -> None:
        for parts in ([HEAD + b"ok"], [HEAD + b"ok"], [HEAD + b"ok"], [b"HTTP/1.1 100 C\r\n\r\n" + HEAD + b"ok"]):
            await peer.request()
            await peer.send(*parts)

    server = await serve(script)
    transport = LeaseTransport(Route(server.url))
    try:
        for times in (1, 1, 1, 2):
            assert (await transport.exchange(b"x", {})).body == b"ok"
            assert len(parsed) == times
    finally:
        await transport.close()
