"""The heads of answers that were parsed before."""

from __future__ import annotations

from aiohttp import StreamReader, hdrs
from aiohttp.http import RawResponseMessage

_KEPT = 256
"""Heads kept at once, of about a kilobyte each; a server's clock makes new ones every second."""
_FINAL = 200
"""The least status that is no interim answer."""


class Heads:
    """What aiohttp's parser made of heads, for those that arrive again byte by byte.

    A service that answers a thousand like requests a second does so under one head, its date included. Parsing it takes
    longer than all else that is done for the answer. Nothing is judged here: a head is remembered only where the parser
    has taken it, with a body of the length that it states and nothing behind it, for one whole answer.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[RawResponseMessage, int]] = {}

    def whole(self, data: bytes) -> tuple[RawResponseMessage, bytes] | None:
        """Head and body of *data*, where that is one whole answer under a head that is known."""
        end = data.find(b"\r\n\r\n") + 4
        known = self._known.get(data[:end])
        if known is None or len(data) - end != known[1]:
            return None
        return known[0], data[end:]

    def learn(self, data: bytes, message: RawResponseMessage, content: StreamReader) -> None:
        """Remember the head of *data*, of which the parser has made *message* and *content*, if that is all of it."""
        end = data.find(b"\r\n\r\n") + 4
        size = len(data) - end
        if (
            message.code >= _FINAL
            and content.is_eof()
            and content.total_bytes == size
            and message.headers.get(hdrs.CONTENT_LENGTH) == str(size)
            and not message.should_close
            and not message.upgrade
        ):
            if len(self._known) == _KEPT:
                self._known.clear()
            self._known[data[:end]] = message, size
