"""The body of an answer: bounded at every step, decompressed, whole."""

from __future__ import annotations

import zlib

from aiohttp import StreamReader, hdrs
from multidict import CIMultiDictProxy

from batcher.errors import ConnectionLost, ReplyUnreadable
from batcher.flow.transport.seam import MAX_ANSWER
from batcher.flow.transport.upload import Upload

_GZIP = 16 + zlib.MAX_WBITS
"""zlib's code for: a gzip header and trailer, checked."""
_MEMBERS = 64
"""Members of a gzip stream, at most: servers send one. Each costs a copy of what follows it."""


async def read_body(headers: CIMultiDictProxy[str], content: StreamReader, upload: Upload) -> bytes:
    """The body *content* as it is on the wire, without its chunked framing.

    Raises:
        ReplyUnreadable: it is larger than ``MAX_ANSWER``; no more than that was held.
        ConnectionLost: it had no length and its connection was reset, so that nobody knows whether it was whole.
    """
    length = headers.get(hdrs.CONTENT_LENGTH)
    # The parser has seen that it is a number.
    if length is not None and int(length) > MAX_ANSWER:
        raise _too_large()
    # Not content.read(), which lifts aiohttp's own bounds.
    body: bytes | bytearray = content.read_nowait() if content.is_eof() else await content.readany()
    if not content.at_eof():
        # One buffer, for a dribbling answer would cost an object a byte as a list.
        body = bytearray(body)
        while chunk := await content.readany():
            body += chunk
            if len(body) > MAX_ANSWER:
                break
    if len(body) > MAX_ANSWER:
        raise _too_large()
    if upload.protocol is not None and isinstance(upload.protocol.exception(), OSError) and _ends_by_close(headers):
        reason = "the connection was reset within an answer of no stated length"
        raise ConnectionLost(reason, sent=upload.sent, fresh=upload.fresh)
    return bytes(body)


def _ends_by_close(headers: CIMultiDictProxy[str]) -> bool:
    chunked = "chunked" in headers.get(hdrs.TRANSFER_ENCODING, "").lower()
    return hdrs.CONTENT_LENGTH not in headers and not chunked


def decode_body(headers: CIMultiDictProxy[str], body: bytes) -> bytes:
    """*body* without its content coding.

    Raises:
        ReplyUnreadable: a coding that we did not offer, a stream that is broken or cut, more than ``MAX_ANSWER`` bytes.
    """
    if hdrs.CONTENT_ENCODING not in headers or not body:
        return body
    coding = ", ".join(headers.getall(hdrs.CONTENT_ENCODING)).strip().lower()
    if coding in {"", "identity"}:
        return body
    if coding not in {"gzip", "x-gzip"}:
        raise ReplyUnreadable(f"the answer is encoded as {coding[:40]!r}, which was not offered")
    return gunzip(body)


def gunzip(body: bytes) -> bytes:
    """All members of a gzip stream (RFC 1952), one after the other.

    Raises:
        ReplyUnreadable: it is broken, cut, of very many members, or larger than ``MAX_ANSWER``; no more
            than that is ever produced.
    """
    whole = bytearray()
    for _ in range(_MEMBERS):
        member = zlib.decompressobj(_GZIP)
        try:
            whole += member.decompress(body, MAX_ANSWER + 1 - len(whole))
        except zlib.error as error:
            raise ReplyUnreadable("the answer is no valid gzip stream") from error
        if len(whole) > MAX_ANSWER:
            raise _too_large()
        if not member.eof:
            raise ReplyUnreadable("the answer's gzip stream is cut short")
        body = member.unused_data
        if not body:
            return bytes(whole)
    raise ReplyUnreadable(f"the answer's gzip stream has more than {_MEMBERS} members")


def _too_large() -> ReplyUnreadable:
    return ReplyUnreadable(f"the answer is larger than {MAX_ANSWER // 1024**2} MiB")
