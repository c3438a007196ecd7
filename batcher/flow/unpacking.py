"""Raw bytes to uncompressed ones: gzip and zstd are known by their first bytes.

All their members and frames are read, and so are zero bytes that pad a gzip file (tapes and block devices leave them;
gzip(1) accepts them too).
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from batcher.flow.inputs import PIECE_BYTES, Unreadable

# Decoders hand back what follows the end of a member or frame as a copy: small steps keep inputs of many tiny members
# from being copied over and over, and lose little where zstd finds an error and gives nothing of that step.
_STEP_BYTES = 8 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
# RFC 8878: a frame, or one of the sixteen kinds of skippable frames.
_ZSTD_MAGICS = (b"\x28\xb5\x2f\xfd", *(bytes([kind]) + b"\x2a\x4d\x18" for kind in range(0x50, 0x60)))
_MAGICS = (_GZIP_MAGIC, *_ZSTD_MAGICS)


class _Decoder(Protocol):
    def decode(self, raw: bytes) -> Iterator[bytes]:
        """The bytes that come of the next few raw bytes; raises Unreadable where they are corrupt."""

    def finish(self) -> None:
        """The input has ended; raises Unreadable where it should not have."""


def unpacked(chunks: Iterator[bytes], count: Callable[[int], None]) -> Iterator[bytes]:
    """The uncompressed bytes of *chunks*, those of compressed ones in pieces of at most ``PIECE_BYTES``.

    Args:
        chunks: the raw bytes, from the first one of the input.
        count: hears the size of each raw part before what it holds is yielded.

    Raises:
        Unreadable: they are corrupt or cut off; every byte before that was yielded.
    """
    head = b""
    for chunk in chunks:
        head += chunk
        if not any(magic.startswith(head) for magic in _MAGICS if len(head) < len(magic)):
            break
    decoder = _decoder(head)
    if decoder is None:
        for chunk in chain((head,) if head else (), chunks):
            count(len(chunk))
            yield chunk
        return
    while head:
        for begin in range(0, len(head), _STEP_BYTES):
            step = head[begin : begin + _STEP_BYTES]
            count(len(step))
            yield from decoder.decode(step)
        head = next(chunks, b"")
    decoder.finish()


def is_compressed(head: bytes) -> bool:
    """Whether an input that begins with *head*, its first four bytes, is gzip or zstd."""
    return head.startswith(_MAGICS)


def _decoder(head: bytes) -> _Decoder | None:
    if head.startswith(_GZIP_MAGIC):
        return _Gzip()
    return _Zstd() if head.startswith(_ZSTD_MAGICS) else None


class _Gzip:
    """Members one after another, padded with zeros or not (RFC 1952)."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)

    def decode(self, raw: bytes) -> Iterator[bytes]:
        piece = b""
        while raw or piece:  # after the last raw byte, there may be more inside
            if self._member.eof:
                raw = raw.lstrip(b"\0")
                if not raw:
                    return
                if raw[:1] != _GZIP_MAGIC[:1]:
                    raise Unreadable("something that is not gzip follows its compressed part")
                self._member = zlib.decompressobj(wbits=31)
            piece, raw = self._decompress(raw)
            if piece:
                yield piece

    def _decompress(self, raw: bytes) -> tuple[bytes, bytes]:
        """What the next bytes hold, and those that are still to be taken."""
        # zlib gives nothing of a call that meets an error: try again with less, so that all before it is had.
        size = len(raw)
        while True:
            before = self._member.copy()
            try:
                piece = self._member.decompress(raw[:size], PIECE_BYTES)
            except zlib.error as error:
                if size <= 1:
                    raise Unreadable(f"its gzip data is corrupt ({error})") from error
                self._member = before
                size //= 2
            else:
                return piece, (self._member.unused_data or self._member.unconsumed_tail) + raw[size:]

    def finish(self) -> None:
        if not self._member.eof:
            raise Unreadable("its gzip data is cut off")


class _Zstd:
    """Frames one after another, skippable ones among them (RFC 8878)."""

    def __init__(self) -> None:
        self._frame: zstd.ZstdDecompressor | None = None

    def decode(self, raw: bytes) -> Iterator[bytes]:
        while raw or self._frame:
            self._frame = self._frame or zstd.ZstdDecompressor()
            try:
                piece = self._frame.decompress(raw, PIECE_BYTES)
            except zstd.ZstdError as error:
                raise Unreadable(f"its zstd data is corrupt or needs too much memory ({error})") from error
            if piece:
                yield piece
            raw = b""
            if self._frame.eof:
                raw = self._frame.unused_data
                self._frame = None
            elif self._frame.needs_input:
                return

    def finish(self) -> None:
        if self._frame:
            raise Unreadable("its zstd data is cut off")
