"""However much a server sends, memory and the wire stay bounded."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest

from batcher.errors import ReplyUnreadable
from batcher.flow.transport import MAX_ANSWER
from tests.flow.conftest import Connect, Peer, Serve


async def test_a_bomb_stays_in_bounded_memory(serve: Serve, connect: Connect) -> None:
    """64 MiB in 64 KiB of gzip are refused without being unpacked."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    bomb = b"".join([packer.compress(bytes(2**20)) for _ in range(64)] + [packer.flush()])

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)
        await peer.gone()

    server = await serve(script)
    transport = connect(server.url)
    tracemalloc.start()
    try:
        with pytest.raises(ReplyUnreadable):
            await transport.exchange(b"x", {})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MAX_ANSWER


@pytest.mark.parametrize("head", [b"\r\n", b"Content-Encoding: gzip\r\n\r\n"])
async def test_an_endless_answer_is_cut_off(serve: Serve, connect: Connect, head: bytes) -> None:
    """Little more than the limit is taken from the wire, and the connection is cut."""
    taken = 0

    async def script(peer: Peer) -> None:
        nonlocal taken
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n" + head)
        while True:
            await peer.send(bytes(2**16))
            taken += 2**16

    server = await serve(script)
    with pytest.raises(ReplyUnreadable, match="larger than 8 MiB"):
        await connect(server.url).exchange(b"x", {})
    await server.left.wait()
    assert MAX_ANSWER < taken < 4 * MAX_ANSWER
