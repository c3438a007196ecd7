"""TLS is always verified, both ways where the service wants it, and what fails there has sent nothing."""

from __future__ import annotations

import os
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from batcher.errors import ConnectFailed, ConnectionLost, SettingsError, TransportError
from batcher.flow.transport.seam import Route
from batcher.flow.transport.way import Way
from tests.flow.conftest import OK, Connect, Peer, Serve, all_arrived, answering


async def test_a_private_authority_is_trusted_where_it_is_named(
    serve: Serve, connect: Connect, server_tls: ssl.SSLContext, ca_file: str
) -> None:
    """With --ca-file the exchange succeeds, and its connection is kept: session tickets are no stray bytes."""
    server = await serve(answering, server_tls)
    transport = connect(server.url, ca_file=ca_file)
    for _ in range(3):
        assert (await transport.exchange(b"x", {})).body == b"ok"
    assert (server.accepted, transport.opened) == (1, 1)


@pytest.mark.parametrize(
    ("url", "proxy", "ours"),
    [
        ("http://crm.example/xml", "http://proxy.example", False),
        ("http://crm.example/xml", "https://proxy.example", True),
        ("https://crm.example/xml", "http://proxy.example", True),
        ("HTTPS://crm.example/xml", None, True),
    ],
)
def test_where_there_is_tls_the_context_is_ours(url: str, proxy: str | None, ours: bool) -> None:  # noqa: FBT001
    """To the service and to a proxy: aiohttp's own, which may know no certificates, is left to what has no TLS."""
    tls = Way.of(Route(url, proxy=proxy)).tls
    assert isinstance(tls, ssl.SSLContext) is ours
    assert not isinstance(tls, ssl.SSLContext) or (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)


async def test_an_unknown_authority_is_refused(serve: Serve, connect: Connect, server_tls: ssl.SSLContext) -> None:
    """Without --ca-file nothing is sent, and the reason says that it is the certificate."""
    server = await serve(answering, server_tls)
    with pytest.raises(ConnectFailed, match="certificate is not accepted") as caught:
        await connect(server.url).exchange(b"x", {})
    assert (caught.value.sent, caught.value.timed_out) == (False, False)
    assert server.requests == []


@pytest.mark.parametrize(("name", "year"), [("other.example", 2099), ("127.0.0.1", 2020)])
async def test_a_certificate_for_another_host_or_time_is_refused(
    serve: Serve, connect: Connect, authority: trustme.CA, ca_file: str, name: str, year: int
) -> None:
    """A good signature is not enough: host name and dates must fit."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    until = datetime(year, 1, 1, tzinfo=UTC)
    authority.issue_cert(name, not_before=datetime(2019, 1, 1, tzinfo=UTC), not_after=until).configure_cert(context)
    server = await serve(answering, context)
    with pytest.raises(ConnectFailed, match="certificate is not accepted"):
        await connect(server.url, ca_file=ca_file).exchange(b"x", {})
    assert server.requests == []


async def test_a_client_certificate_is_shown(
    serve: Serve, connect: Connect, authority: trustme.CA, server_tls: ssl.SSLContext, ca_file: str, tmp_path: Path
) -> None:
    """A service that requires one gets the one that was named."""
    seen: list[object] = []

    async def script(peer: Peer) -> None:
        seen.append(peer.writer.get_extra_info("peercert")["subjectAltName"])
        await answering(peer)

    authority.configure_trust(server_tls)
    server_tls.verify_mode = ssl.CERT_REQUIRED
    ours = authority.issue_cert("client@example.com")
    ours.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    ours.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    ours.private_key_pem.write_to_path(tmp_path / "key.pem")
    server = await serve(script, server_tls)
    together = connect(server.url, ca_file=ca_file, client_cert=str(tmp_path / "both.pem"))
    assert (await together.exchange(b"x", {})).body == b"ok"
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    apart = connect(server.url, ca_file=ca_file, client_cert=cert, client_key=key)
    assert (await apart.exchange(b"x", {})).body == b"ok"
    assert seen == [(("email", "client@example.com"),)] * 2


@pytest.mark.parametrize(
    ("version", "error"), [(ssl.TLSVersion.TLSv1_2, ConnectFailed), (ssl.TLSVersion.TLSv1_3, ConnectionLost)]
)
async def test_a_missing_client_certificate(
    serve: Serve,
    connect: Connect,
    authority: trustme.CA,
    server_tls: ssl.SSLContext,
    ca_file: str,
    version: ssl.TLSVersion,
    error: type[TransportError],
) -> None:
    """TLS 1.2 tells within the handshake, before anything is sent; TLS 1.3 only after it, when we may have written."""
    authority.configure_trust(server_tls)
    server_tls.verify_mode = ssl.CERT_REQUIRED
    server_tls.minimum_version = server_tls.maximum_version = version
    server = await serve(answering, server_tls)
    transport = connect(server.url, ca_file=ca_file)
    with pytest.raises(TransportError) as caught:
        await transport.exchange(b"x", {})
    assert type(caught.value) is error
    assert server.requests == []
    assert transport.connections() == {"active": 0, "idle": 0}


async def test_tls_spoken_to_a_plain_server(serve: Serve, connect: Connect) -> None:
    """A scheme that does not fit the port fails in the handshake: nothing was sent."""

    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = await serve(script)
    with pytest.raises(ConnectFailed, match="no TLS connection"):
        await connect(server.url.replace("http:", "https:")).exchange(b"x", {})


async def test_plain_http_spoken_to_a_tls_server(serve: Serve, connect: Connect, server_tls: ssl.SSLContext) -> None:
    """The other way round the request did leave, so it perhaps counts."""
    server = await serve(answering, server_tls)
    with pytest.raises(TransportError) as caught:
        await connect(server.url.replace("https:", "http:")).exchange(b"x", {})
    assert caught.value.sent


async def test_a_closed_tls_connection_is_not_used_again(
    serve: Serve, connect: Connect, server_tls: ssl.SSLContext, ca_file: str
) -> None:
    """The end of a kept connection is seen at the last moment over TLS too."""
    peers: list[Peer] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        await answering(peer)

    server = await serve(script, server_tls)
    transport = connect(server.url, ca_file=ca_file, connections=1)
    await transport.exchange(b"1", {})
    end = socket.socket(fileno=os.dup(peers[0].writer.get_extra_info("socket").fileno()))
    with end:
        end.shutdown(socket.SHUT_WR)
        all_arrived(end)
        assert (await transport.exchange(b"2", {})).body == b"ok"
    assert [request.body for request in server.requests] == [b"1", b"2"]


async def test_losses_over_tls_are_told_like_others(
    serve: Serve, connect: Connect, server_tls: ssl.SSLContext, ca_file: str
) -> None:
    """A server that reads a request and goes away without an answer, in good order or not."""

    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.ordinal == 0:
            peer.reset()
        elif peer.ordinal == 2:
            await peer.send(OK)

    server = await serve(script, server_tls)
    transport = connect(server.url, ca_file=ca_file)
    for _ in range(2):
        with pytest.raises(ConnectionLost) as caught:
            await transport.exchange(b"x", {})
        assert (caught.value.sent, caught.value.fresh) == (True, True)
    assert (await transport.exchange(b"x", {})).body == b"ok"


async def test_files_that_cannot_be_used_are_named(connect: Connect, authority: trustme.CA, tmp_path: Path) -> None:
    """A wrong certificate file is told at once, by option and path, and no password is asked for."""
    url = "https://127.0.0.1/"
    (tmp_path / "junk.pem").write_text("junk")
    junk, absent = str(tmp_path / "junk.pem"), str(tmp_path / "absent.pem")
    for path, reason in ((absent, "No such file"), (junk, "NO_CERTIFICATE_OR_CRL_FOUND")):
        with pytest.raises(SettingsError, match=f"--ca-file: {path}: {reason}"):
            connect(url, ca_file=path)
    ours = authority.issue_cert("client@example.com")
    ours.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    cert = str(tmp_path / "cert.pem")
    key = serialization.load_pem_private_key(ours.private_key_pem.bytes(), None)
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    for options in ({"client_cert": absent}, {"client_cert": junk}, {"client_cert": cert, "client_key": junk}):
        with pytest.raises(SettingsError, match="--client-cert"):
            connect(url, **options)
    with pytest.raises(SettingsError, match="--client-cert"):
        connect(url, client_cert=cert, client_key=str(tmp_path / "key.pem"))
