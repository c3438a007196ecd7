"""The body of an answer: bounded at every step, decompressed, whole."""

from __future__ import annotations

import zlib

from aiohttp import ClientResponse, hdrs

from batcher.errors import ConnectionLost, ReplyUnreadable
from batcher.flow.transport.seam import MAX_ANSWER
from batcher.flow.transport.upload import Upload

_GZIP = 16 + zlib.MAX_WBITS
"""zlib's code for: a gzip header and trailer, checked."""


async def read_body(response: ClientResponse, upload: Upload) -> bytes:
    """The body as it is on the wire, without its chunked framing.

    Raises:
        ReplyUnreadable: it is larger than ``MAX_ANSWER``; no more than that was held.
        ConnectionLost: it had no length and its connection was reset, so that nobody knows whether it was whole.
    """
    length = response.content_length
    if length is not None and length > MAX_ANSWER:
        raise _too_large()
    # Not response.read(), which lifts aiohttp's own bounds.
    content = response.content
    body: bytes | bytearray = await content.readany()
    if not content.at_eof():
        # One buffer, for a dribbling answer would cost an object a byte as a list.
        body = bytearray(body)
        while chunk := await content.readany():
            body += chunk
            if len(body) > MAX_ANSWER:
                break
    if len(body) > MAX_ANSWER:
        raise _too_large()
    if upload.protocol is not None and isinstance(upload.protocol.exception(), OSError) and _ends_by_close(response):
        reason = "the connection was reset within an answer of no stated length"
        raise ConnectionLost(reason, sent=upload.sent, fresh=upload.fresh)
    return bytes(body)


def _ends_by_close(response: ClientResponse) -> bool:
    chunked = "chunked" in response.headers.get(hdrs.TRANSFER_ENCODING, "").lower()
    return response.content_length is None and not chunked


def decode_body(response: ClientResponse, body: bytes) -> bytes:
    """*body* without its content coding.

    Raises:
        ReplyUnreadable: a coding that we did not offer, a stream that is broken or cut, more than ``MAX_ANSWER`` bytes.
    """
    if hdrs.CONTENT_ENCODING not in response.headers or not body:
        return body
    coding = ", ".join(response.headers.getall(hdrs.CONTENT_ENCODING)).strip().lower()
    if coding in {"", "identity"}:
        return body
    if coding not in {"gzip", "x-gzip"}:
        raise ReplyUnreadable(f"the answer is encoded as {coding[:40]!r}, which was not offered")
    return gunzip(body)


def gunzip(body: bytes) -> bytes:
    """All members of a gzip stream (RFC 1952), one after the other.

    Raises:
        ReplyUnreadable: it is broken, cut, or larger than ``MAX_ANSWER``; no more than that is ever produced.
    """
    whole = bytearray()
    while body:
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
    return bytes(whole)


def _too_large() -> ReplyUnreadable:
    return ReplyUnreadable(f"the answer is larger than {MAX_ANSWER // 1024**2} MiB")
