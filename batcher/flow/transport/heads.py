"""The heads of answers that were parsed before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from aiohttp import StreamReader, hdrs
from aiohttp.http import RawResponseMessage

from batcher.flow.transport.seam import Answer

_KEPT = 256
"""Heads kept at once, of about a kilobyte each; a server's clock makes new ones every second."""
_FINAL = 200
"""The least status that is no interim answer."""

_Known: TypeAlias = tuple[bytes, int, int, Mapping[str, str]]
"""A head as it came, how long an answer under it is as a whole, and the status and headers that it says."""


class Heads:
    """What aiohttp's parser made of heads, for those that arrive again byte by byte.

    A service that answers a thousand like requests a second does so under one head, its date included. Parsing it takes
    longer than all else that is done for the answer. Nothing is judged here: a head is remembered only where the parser
    has taken it, with a body of the length that it states, not encoded, and nothing behind it, for one whole answer.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, _Known] = {}
        self._last: _Known = b"", -1, 0, {}

    def whole(self, data: bytes) -> Answer | None:
        """The answer in *data*, where that is one whole answer under a head that is known."""
        head, size, status, headers = self._last  # as a rule, and to look it up takes longer
        if len(data) != size or not data.startswith(head):
            known = self._known.get(data[: data.find(b"\r\n\r\n") + 4])
            if known is None or len(data) != known[1]:
                return None
            self._last = head, _, status, headers = known
        return tuple.__new__(Answer, (status, headers, data[len(head) :]))

    def learn(self, data: bytes, message: RawResponseMessage, content: StreamReader) -> None:
        """Remember the head of *data*, of which the parser has made *message* and *content*, if that is all of it."""
        end = data.find(b"\r\n\r\n") + 4
        size = len(data) - end
        if (
            message.code >= _FINAL
            and content.is_eof()
            and content.total_bytes == size
            and message.headers.get(hdrs.CONTENT_LENGTH) == str(size)
            and hdrs.CONTENT_ENCODING not in message.headers
            and not message.should_close
            and not message.upgrade
        ):
            if len(self._known) == _KEPT:
                self._known.clear()
            self._known[data[:end]] = data[:end], len(data), message.code, message.headers
