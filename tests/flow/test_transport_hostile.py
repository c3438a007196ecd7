"""Answers that are made to do harm: each is refused in bounded memory, and the next exchange is unharmed."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from batcher.errors import ReplyUnreadable
from batcher.flow.transport import MAX_ANSWER
from tests.flow.conftest import Connect, Peer, Serve, answering

OPEN = b"HTTP/1.1 200 OK\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
MEBIBYTE = bytes(2**20)


def bomb() -> bytes:
    """A gibibyte in a mebibyte: sixteen members of gzip, each sixty-four mebibytes."""
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    return 16 * (b"".join(packer.compress(MEBIBYTE) for _ in range(64)) + packer.flush())


def slow_bomb() -> bytes:
    """Empty members of gzip without end: no output, and a new decompressor for each."""
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    member = packer.flush()
    return member * (MAX_ANSWER // len(member)) + b"x"


HOSTILE: dict[str, tuple[bytes | Callable[[], bytes], bytes]] = {
    "a gzip bomb of a gibibyte": (lambda: GZIP + b"Content-Length: %d\r\n\r\n" % len(bomb()) + bomb(), b""),
    "a gzip bomb in chunks": (
        lambda: GZIP + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(bomb()), bomb()),
        b"",
    ),
    "gzip members without end": (lambda: GZIP + b"\r\n" + slow_bomb(), b""),
    "gzip without end": (GZIP + b"\r\n\x1f\x8b\x08\0\0\0\0\0\0\3", MEBIBYTE),
    "a body without end": (OPEN, MEBIBYTE),
    "one chunk without end": (CHUNKED + b"ffffffff\r\n", MEBIBYTE),
    "chunks without end": (CHUNKED, b"1000\r\n" + bytes(4096) + b"\r\n"),
    "chunks of a byte without end": (CHUNKED, b"1\r\nx\r\n" * 10_000),
    "a chunk's size without end": (CHUNKED, b"0" * 65_536),
    "a chunk's extension without end": (CHUNKED + b"1;x=", b"x" * 65_536),
    "interim answers without end": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000),
    "a trailer without end": (CHUNKED + b"1\r\nx\r\n0\r\n", b"X: y\r\n" * 10_000),
    "a length of a tebibyte": (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 2**40, MEBIBYTE),
    "a length that is none": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n", b""),
    "a status line without end": (b"HTTP/1.1 200 ", b"x" * 65_536),
    "a header without end": (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65_536),
    "headers without end": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 10_000),
    "folded headers without end": (b"HTTP/1.1 200 OK\r\nX: y\r\n", b" y\r\n" * 10_000),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_answer_is_refused_in_bounded_memory(serve: Serve, connect: Connect, name: str) -> None:
    """It is unreadable, no more than a few times the limit is held, and the only connection's place is free."""
    first, again = HOSTILE[name]
    sent = first() if callable(first) else first

    async def script(peer: Peer) -> None:
        if peer.ordinal:
            await answering(peer)
        await peer.request()
        await peer.send(sent)
        while again:
            await peer.send(again)
        peer.end()

    server = await serve(script)
    transport = connect(server.url, connections=1)
    tracemalloc.start()
    try:
        with pytest.raises(ReplyUnreadable):
            await transport.exchange(b"1", {})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MAX_ANSWER + len(sent)
    assert (await transport.exchange(b"2", {})).body == b"ok"
    assert transport.connections() == {"active": 0, "idle": 1}


async def test_an_answer_may_come_in_small_chunks(serve: Serve, connect: Connect) -> None:
    """What is refused is an answer that is hardly a body, and not one whose chunks are small; each answer by itself."""
    chunk = b"80\r\n" + b"x" * 128 + b"\r\n"
    count = MAX_ANSWER // 128

    async def script(peer: Peer) -> None:
        for _ in range(3):
            await peer.request()
            await peer.send(CHUNKED + chunk * count + b"0\r\n\r\n")
        await peer.gone()

    server = await serve(script)
    transport = connect(server.url, connections=1)
    for _ in range(3):
        answer = await transport.exchange(b"1", {})
        assert len(answer.body) == MAX_ANSWER
        assert answer.body.count(b"x") == MAX_ANSWER
    assert server.accepted == 1


JUDGE = """
import re, resource
from batcher.core.answer import Matcher
from batcher.core.reply import Judge
from batcher.core.soap import SOAP_11
from batcher.operations import load

judge = Judge(Matcher(load("SetOutlookSyncRecord"), SOAP_11), re.compile("session"), re.compile("deadlock"))
levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
quadratic = "x" * 100_000
hostile = {
    "nested entities": f'<!DOCTYPE a [<!ENTITY e0 "ha">{levels}]><a>&e9;</a>',
    "one long entity": f'<!DOCTYPE a [<!ENTITY e "{quadratic}">]><a>{"&e;" * 50_000}</a>',
    "parameter entities": '<!DOCTYPE a [<!ENTITY % p "<!ENTITY q \\'&#37;p;\\'>"> %p;]><a>&q;</a>',
    "a file": '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>',
    "a DTD on the network": '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><a/>',
    "depth": "<a>" * 300_000,
    "attributes": "<a " + " ".join(f'b{n}=""' for n in range(60_000)) + "/>",
    "namespaces": "<a " + " ".join(f'xmlns:b{n}="u"' for n in range(20_000)) + "/>",
    "siblings": "<a>" + "<b/>" * 300_000 + "</a>",
    "comments": "<a>" + "<!---->" * 300_000 + "</a>",
    "a tag without end": "<html" + " x" * 1_000_000,
    "references": "<a>" + "&#xB;" * 200_000 + "</a>",
}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name, body in hostile.items():
    for kind in ("text/xml", "text/html"):
        judged = judge.judge(200, {"Content-Type": kind}, body.encode(), 0.0)
        assert judged.verdict == "uncertain", (name, judged)
        assert "root:" not in judged.problem.message
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_hostile_document_is_judged_in_bounded_memory() -> None:
    """Bombs of entities, depth and numbers are in doubt, and cost no memory out of proportion to their bytes.

    In a process of its own, for what the XML parser takes is seen by the system alone.
    """
    done = subprocess.run([sys.executable, "-c", JUDGE], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 200
