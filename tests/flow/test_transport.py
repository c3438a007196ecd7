"""What goes out and what comes back: one table of answers for every implementation of the exchange."""

from __future__ import annotations

import gzip

import pytest

from batcher import __version__
from batcher.errors import ConnectionLost, ReplyUnreadable, TransportError
from batcher.flow.transport import MAX_ANSWER
from tests.flow.conftest import OK, Connect, Peer, Serve, answering

H = b"HTTP/1.1 200 OK\r\n"
CHUNKED = H + b"Transfer-Encoding: chunked\r\n\r\n"
GZIP = H + b"Content-Encoding: gzip\r\n"
LARGER = MAX_ANSWER + 1
ZIPPED = gzip.compress(b"ok")


def sized(head: bytes, body: bytes) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def test_a_request_goes_out_to_the_letter(serve: Serve, connect: Connect) -> None:
    """The body goes out as it is, with a length and the caller's headers; no Expect, no compression, no cookie."""
    server = await serve(answering)
    headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '"urn:x"', "VeetroSession": "key"}
    body = "<é/>".encode()

    answer = await connect(server.url).exchange(body, headers)

    assert (answer.status, answer.body, answer.headers["content-LENGTH"]) == (200, b"ok", "2")
    [request] = server.requests
    assert request.line == "POST /xml HTTP/1.1"
    assert request.body == body
    assert {name.lower(): value for name, value in request.headers} == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": f"veetro-batch/{__version__}",
        "accept": "*/*",
        "accept-encoding": "gzip",
        "content-type": "text/xml; charset=utf-8",
        "soapaction": '"urn:x"',
        "veetrosession": "key",
        "content-length": "5",
    }


async def test_a_large_body_goes_out_whole_and_with_its_length(serve: Serve, connect: Connect) -> None:
    """A body of many slices arrives as it was given, not chunked."""
    server = await serve(answering)
    body = bytes(range(256)) * 16 * 1024

    answer = await connect(server.url).exchange(body, {})

    assert answer.status == 200
    assert server.requests[0].body == body
    assert server.requests[0].header("Content-Length") == str(len(body))
    assert server.requests[0].header("Transfer-Encoding") is None


async def test_no_cookie_is_kept(serve: Serve, connect: Connect) -> None:
    """A cookie that a server sets does not come back to it; by name, since addresses have none in any case."""

    async def script(peer: Peer) -> None:
        for _ in range(2):
            await peer.request()
            await peer.send(sized(H + b"Set-Cookie: ASP.NET_SessionId=x; path=/\r\n", b""))

    server = await serve(script)
    transport = connect(server.url.replace("127.0.0.1", "localhost"))
    await transport.exchange(b"1", {})
    await transport.exchange(b"2", {})
    assert [request.header("Cookie") for request in server.requests] == [None, None]


async def test_a_header_that_would_be_two_is_not_sent(serve: Serve, connect: Connect) -> None:
    """A line break in a value, of a session key from a file say, is an error of ours, and nothing leaves."""
    server = await serve(answering)
    transport = connect(server.url)
    with pytest.raises(TransportError, match="control character") as caught:
        await transport.exchange(b"x", {"VeetroSession": "key\r\nX: y"})
    assert not caught.value.sent
    assert server.requests == []
    assert transport.connections() == {"active": 0, "idle": 0}


WHOLE: dict[str, tuple[list[bytes], str, int, bytes]] = {
    "length": ([OK], "keep", 200, b"ok"),
    "byte by byte": ([OK[i : i + 1] for i in range(len(OK))], "keep", 200, b"ok"),
    "chunked": ([CHUNKED, b"1\r\no\r\n", b"1;x=y\r\nk\r\n", b"0\r\n", b"\r\n"], "keep", 200, b"ok"),
    "chunked with a trailer": ([CHUNKED + b"2\r\nok\r\n0\r\nX: y\r\n\r\n"], "keep", 200, b"ok"),
    "to the end of the connection": ([H + b"\r\n", b"o", b"k"], "end", 200, b"ok"),
    "connection: close": ([sized(H + b"Connection: close\r\n", b"ok")], "end", 200, b"ok"),
    "HTTP/1.0": ([b"HTTP/1.0 200 OK\r\n\r\no", b"k"], "end", 200, b"ok"),
    "HTTP/1.0 with length": ([sized(b"HTTP/1.0 200 OK\r\n", b"ok")], "keep", 200, b"ok"),
    "reset behind a whole answer": ([OK], "reset", 200, b"ok"),
    "100 and 103 before": ([b"HTTP/1.1 100 C\r\n\r\n", b"HTTP/1.1 103 H\r\nLink: x\r\n\r\n", OK], "keep", 200, b"ok"),
    "101": ([b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"], "keep", 101, b""),
    "204": ([b"HTTP/1.1 204 No Content\r\n\r\n"], "keep", 204, b""),
    "204 with a length": ([b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"], "keep", 204, b""),
    "302 is not followed": ([sized(b"HTTP/1.1 302 F\r\nLocation: /login\r\n", b"")], "keep", 302, b""),
    "307 is not followed": ([sized(b"HTTP/1.1 307 F\r\nLocation: /xml\r\n", b"")], "keep", 307, b""),
    "400 without a body": ([sized(b"HTTP/1.1 400 Bad Request\r\n", b"")], "keep", 400, b""),
    "407": ([sized(b"HTTP/1.1 407 P\r\nProxy-Authenticate: Basic\r\n", b"no")], "keep", 407, b"no"),
    "408": ([sized(b"HTTP/1.1 408 T\r\n", b"no")], "keep", 408, b"no"),
    "500": ([sized(b"HTTP/1.1 500 Internal Server Error\r\n", b"<Fault/>")], "keep", 500, b"<Fault/>"),
    "999 without a reason": ([sized(b"HTTP/1.1 999\r\n", b"no")], "keep", 999, b"no"),
    "line ends without CR": ([b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"], "keep", 200, b"ok"),
    "gzip": ([sized(GZIP, ZIPPED)], "keep", 200, b"ok"),
    "gzip byte by byte": ([GZIP + b"\r\n", *(ZIPPED[i : i + 1] for i in range(len(ZIPPED)))], "end", 200, b"ok"),
    "gzip under its old name": ([sized(H + b"Content-Encoding: X-GZip\r\n", ZIPPED)], "keep", 200, b"ok"),
    "gzip of two members": ([sized(GZIP, gzip.compress(b"o") + gzip.compress(b"k"))], "keep", 200, b"ok"),
    "gzip said of an empty body": ([sized(GZIP, b"")], "keep", 200, b""),
    "identity": ([sized(H + b"Content-Encoding: identity\r\n", b"ok")], "keep", 200, b"ok"),
    "the largest": ([sized(H, bytes(MAX_ANSWER))], "keep", 200, bytes(MAX_ANSWER)),
    "the largest, gzip": ([sized(GZIP, gzip.compress(bytes(MAX_ANSWER), 1))], "keep", 200, bytes(MAX_ANSWER)),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
async def test_whole_answers_are_read(serve: Serve, connect: Connect, name: str) -> None:
    """However an answer is framed, cut into pieces or numbered: its status and body come out, for one request."""
    parts, end, status, body = WHOLE[name]

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*parts)
        await finish(peer, end)

    server = await serve(script)
    answer = await connect(server.url).exchange(b"request", {})
    assert answer.status == status
    assert answer.body == body
    assert len(server.requests) == 1


BROKEN: dict[str, tuple[list[bytes], str, type[TransportError]]] = {
    "nothing": ([], "end", ConnectionLost),
    "nothing, reset": ([], "reset", ConnectionLost),
    "half a head": ([H + b"Content-Le"], "end", ConnectionLost),
    "half a head, reset": ([H + b"Content-Le"], "reset", ConnectionLost),
    "a head without its blank line": ([H + b"Content-Length: 0\r\n"], "end", ConnectionLost),
    "only a 100": ([b"HTTP/1.1 100 Continue\r\n\r\n"], "end", ConnectionLost),
    "less than its length": ([sized(H, b"okay")[:-1]], "end", ConnectionLost),
    "less than its length, reset": ([sized(H, b"okay")[:-1]], "reset", ConnectionLost),
    "chunks without an end": ([CHUNKED + b"2\r\nok\r\n"], "end", ConnectionLost),
    "chunks cut within the end": ([CHUNKED + b"2\r\nok\r\n0\r\n"], "end", ConnectionLost),
    "no length, reset": ([H + b"\r\n", b"ok"], "reset", ConnectionLost),
    "another protocol": ([b"SSH-2.0-OpenSSH_9.2\r\n"], "keep", ReplyUnreadable),
    "a TLS alert": ([b"\x15\x03\x01\x00\x02\x02\x16"], "end", ReplyUnreadable),
    "no number": ([b"HTTP/1.1 OK\r\n\r\n"], "keep", ReplyUnreadable),
    "broken chunk size": ([CHUNKED + b"zz\r\nok"], "keep", ReplyUnreadable),
    "broken chunk size, later": ([CHUNKED + b"2\r\nok\r\n", b"zz\r\nok"], "keep", ReplyUnreadable),
    "two equal lengths": ([H + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok"], "keep", ReplyUnreadable),
    "two lengths": ([H + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"], "keep", ReplyUnreadable),
    "length and chunks": ([H + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"], "keep", ReplyUnreadable),
    "negative length": ([H + b"Content-Length: -2\r\n\r\nok"], "keep", ReplyUnreadable),
    "more than its length, at once": ([sized(H, b"ok") + b" and more"], "keep", ReplyUnreadable),
    "many headers": ([H + b"X: y\r\n" * 1000], "keep", ReplyUnreadable),
    "a long header": ([H + b"X: " + b"y" * 100_000], "keep", ReplyUnreadable),
    "a long reason": ([b"HTTP/1.1 200 " + b"y" * 100_000], "keep", ReplyUnreadable),
    "gzip that is none": ([sized(GZIP, b"ok")], "keep", ReplyUnreadable),
    "gzip cut": ([sized(GZIP, ZIPPED[:-1])], "keep", ReplyUnreadable),
    "gzip without its trailer": ([sized(GZIP, ZIPPED[:-8])], "keep", ReplyUnreadable),
    "gzip with a wrong sum": ([sized(GZIP, ZIPPED[:-8] + bytes(4) + ZIPPED[-4:])], "keep", ReplyUnreadable),
    "gzip with junk behind": ([sized(GZIP, ZIPPED + b"junk")], "keep", ReplyUnreadable),
    "gzip of two members, the second cut": ([sized(GZIP, ZIPPED + ZIPPED[:-1])], "keep", ReplyUnreadable),
    "deflate, not offered": ([sized(H + b"Content-Encoding: deflate\r\n", b"ok")], "keep", ReplyUnreadable),
    "gzip twice": ([sized(GZIP + b"Content-Encoding: gzip\r\n", ZIPPED)], "keep", ReplyUnreadable),
    "a length over the limit": ([H + b"Content-Length: %d\r\n\r\n" % (LARGER)], "keep", ReplyUnreadable),
    "chunks over the limit": ([CHUNKED + b"%x\r\n" % (LARGER) + bytes(LARGER)], "keep", ReplyUnreadable),
    "no length, over the limit": ([H + b"\r\n" + bytes(LARGER)], "keep", ReplyUnreadable),
    "gzip over the limit": ([sized(GZIP, gzip.compress(bytes(LARGER), 1))], "keep", ReplyUnreadable),
    "members over the limit": ([sized(GZIP, gzip.compress(bytes(MAX_ANSWER), 1) + ZIPPED)], "keep", ReplyUnreadable),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
async def test_broken_answers_are_errors_of_ours(serve: Serve, connect: Connect, name: str) -> None:
    """Whatever is wrong with an answer ends in the right error, at once; the request went out once and perhaps counts.

    The connection is not used again, and its place in the pool is free.
    """
    parts, end, error = BROKEN[name]

    async def script(peer: Peer) -> None:
        if peer.ordinal:
            return await answering(peer)
        await peer.request()
        await peer.send(*parts)
        return await finish(peer, end)

    server = await serve(script)
    transport = connect(server.url, connections=1)
    with pytest.raises(TransportError) as caught:
        await transport.exchange(b"request", {})
    assert type(caught.value) is error
    assert caught.value.sent
    assert not caught.value.timed_out
    if error is ConnectionLost:
        assert caught.value.fresh
    assert transport.connections() == {"active": 0, "idle": 0}
    if end == "keep":
        await server.left.wait()

    assert (await transport.exchange(b"another", {})).body == b"ok"
    assert [request.body for request in server.requests] == [b"request", b"another"]


async def finish(peer: Peer, end: str) -> None:
    """End the connection in the way that a table names."""
    if end == "keep":
        await peer.gone()
    elif end == "reset":
        peer.reset()
    else:
        peer.end()
