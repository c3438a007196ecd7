"""The way through HTTP proxies: a small one of our own that shows what arrived, and a real one."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from batcher.errors import ConnectFailed
from tests.flow.conftest import Connect, Peer, Request, Script, Serve, answering, kept_port

AUTHORIZATION = "Basic dXNlcjpww6Rzczp3b3Jk"
"""user:päss:word in UTF-8."""


def tunnel(seen: list[Request], reply: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> Script:
    """A proxy: CONNECT opens a tunnel, in both directions until either end closes."""

    async def script(peer: Peer) -> None:
        request = await peer.head()
        seen.append(request)
        await peer.send(reply)
        if b" 200 " not in reply:
            return await peer.gone()
        host, port = request.line.split()[1].split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        return await asyncio.wait_for(join(peer, reader, writer), 30)

    return script


async def join(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while part := await source.read(2**16):
                sink.write(part)
                await sink.drain()
        finally:
            sink.close()

    await asyncio.gather(pump(peer.reader, writer), pump(reader, peer.writer), return_exceptions=True)


def through(proxy_url: str, credentials: str = "") -> str:
    scheme, rest = proxy_url.removesuffix("/xml").split("://")
    return f"{scheme}://{credentials}{rest}"


async def test_plain_targets_are_asked_for_in_absolute_form(serve: Serve, connect: Connect) -> None:
    """The proxy gets the whole URL and the credentials, and the connection to it is kept."""
    proxy = await serve(answering)
    transport = connect("http://service.example/xml?a=b", proxy=through(proxy.url, "user:p%C3%A4ss%3Aword@"))
    for _ in range(2):
        assert (await transport.exchange(b"x", {"VeetroSession": "key"})).body == b"ok"
    assert (proxy.accepted, transport.opened) == (1, 1)
    for request in proxy.requests:
        assert request.line == "POST http://service.example/xml?a=b HTTP/1.1"
        assert request.header("Host") == "service.example"
        assert request.header("Proxy-Authorization") == AUTHORIZATION
        assert request.header("VeetroSession") == "key"


@pytest.mark.parametrize("outer", [False, True], ids=["http proxy", "https proxy"])
async def test_tls_targets_are_reached_through_a_tunnel(
    serve: Serve, connect: Connect, server_tls: ssl.SSLContext, ca_file: str, *, outer: bool
) -> None:
    """One CONNECT a connection; the proxy gets the credentials, the service does not see them."""
    seen: list[Request] = []
    server = await serve(answering, server_tls)
    proxy = await serve(tunnel(seen), server_tls if outer else None)
    transport = connect(server.url, ca_file=ca_file, proxy=through(proxy.url, "user:p%C3%A4ss%3Aword@"))
    for _ in range(2):
        assert (await transport.exchange(b"x", {"VeetroSession": "key"})).body == b"ok"
    [request] = seen
    assert request.line == f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"
    assert request.header("Proxy-Authorization") == AUTHORIZATION
    assert request.header("VeetroSession") is None
    assert [asked.header("Proxy-Authorization") for asked in server.requests] == [None, None]
    assert (server.accepted, transport.opened) == (1, 1)


async def test_the_certificate_behind_a_tunnel_is_verified(
    serve: Serve, connect: Connect, server_tls: ssl.SSLContext
) -> None:
    """A proxy cannot vouch for the service."""
    server = await serve(answering, server_tls)
    proxy = await serve(tunnel([]))
    with pytest.raises(ConnectFailed, match="certificate is not accepted"):
        await connect(server.url, proxy=through(proxy.url)).exchange(b"x", {})
    assert server.requests == []


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno", "the proxy refused: 407 Proxy"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "the proxy refused: 502 Bad Gateway"),
        (b"HTTP/1.0 503 \r\n\r\n", "the proxy refused: 503"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no connection"),
    ],
)
async def test_a_refused_tunnel_has_sent_nothing(serve: Serve, connect: Connect, reply: bytes, reason: str) -> None:
    """Whatever the proxy says to CONNECT but yes, the request never left."""
    proxy = await serve(tunnel([], reply))
    transport = connect("https://service.example/xml", proxy=through(proxy.url))
    with pytest.raises(ConnectFailed, match=reason) as caught:
        await transport.exchange(b"x", {})
    assert (caught.value.sent, caught.value.timed_out) == (False, False)
    await proxy.left.wait()
    assert transport.connections() == {"active": 0, "idle": 0}


async def test_a_proxy_that_goes_away_or_keeps_silent(serve: Serve, connect: Connect, port: int) -> None:
    """No answer to CONNECT is no connection either."""

    async def closing(peer: Peer) -> None:
        await peer.head()

    async def silent(peer: Peer) -> None:
        await peer.gone()

    url = "https://service.example/xml"
    with pytest.raises(ConnectFailed) as caught:
        await connect(url, proxy=through((await serve(closing)).url)).exchange(b"x", {})
    assert not caught.value.timed_out
    with pytest.raises(ConnectFailed) as caught:
        await connect(url, proxy=through((await serve(silent)).url), connect_timeout=0.1).exchange(b"x", {})
    assert caught.value.timed_out
    with pytest.raises(ConnectFailed):
        await connect(url, proxy=f"http://127.0.0.1:{port}").exchange(b"x", {})


async def test_the_environment_names_the_proxy(serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --proxy the usual variables count, but never for this machine itself; with it they do not."""
    proxy, service = await serve(answering), await serve(answering)
    monkeypatch.setenv("http_proxy", through(proxy.url))
    await connect("http://service.example/xml").exchange(b"1", {})
    assert (len(proxy.requests), len(service.requests)) == (1, 0)
    await connect(service.url).exchange(b"2", {})
    assert (len(proxy.requests), len(service.requests)) == (1, 1)
    await connect(service.url, proxy=through(proxy.url)).exchange(b"3", {})
    assert (len(proxy.requests), len(service.requests)) == (2, 1)


@pytest.fixture
async def tinyproxy(tmp_path: Path, port: int) -> AsyncIterator[str]:
    """URL of a real proxy that wants credentials."""
    program = shutil.which("tinyproxy")
    if program is None:
        assert os.environ.get("CI") != "true", "tests/flow/apt-packages.txt is not installed"
        pytest.skip("tinyproxy is not installed")
    settings = tmp_path / "tinyproxy.conf"
    settings.write_text(f"Port {port}\nListen 127.0.0.1\nBasicAuth user secret\nLogLevel Info\nMaxClients 20\n")
    process = await asyncio.create_subprocess_exec(
        program, "-d", "-c", str(settings), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    try:
        log = b""
        while b"Accepting connections" not in log:
            line = await process.stdout.readline()
            assert line, log
            log += line
        yield f"http://user:secret@127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.communicate()


async def test_a_real_proxy(
    serve: Serve, connect: Connect, server_tls: ssl.SSLContext, ca_file: str, tinyproxy: str
) -> None:
    """Tinyproxy takes both forms and our credentials; it refuses wrong ones and what nobody answers."""
    for server in (await serve(answering), await serve(answering, server_tls)):
        for body in (b"small", bytes(1_000_000)):
            # It closes each connection behind the answer without saying so: a second request might still get there.
            transport = connect(server.url, ca_file=ca_file, proxy=tinyproxy)
            assert (await transport.exchange(body, {})).body == b"ok"
            assert server.requests[-1].body == body
    with pytest.raises(ConnectFailed, match=r"the proxy refused: 40[17]"):
        await connect(server.url, ca_file=ca_file, proxy=tinyproxy.replace("secret", "wrong")).exchange(b"x", {})
    with kept_port() as port, pytest.raises(ConnectFailed, match="the proxy refused: 50"):
        await connect(f"https://127.0.0.1:{port}/", proxy=tinyproxy).exchange(b"x", {})
