"""The head of a request: written once, for it hardly ever changes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

from aiohttp import hdrs
from aiohttp.client_reqrep import ClientRequest
from multidict import CIMultiDict

from batcher.flow.transport.way import Way

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""What would make a value two headers, or none (RFC 9110, 5.5)."""


class Head:
    """Makes the heads of POST requests that go one way."""

    def __init__(self, way: Way) -> None:
        self._way = way
        # A proxy without a tunnel is asked for the whole URL (RFC 9112, 3.2.2).
        absolute = way.proxy is not None and way.url.scheme == "http"
        target = str(way.url.with_fragment(None).with_user(None)) if absolute else way.url.raw_path_qs
        self._line = f"{hdrs.METH_POST} {target} HTTP/1.1"
        self._given: Mapping[str, str] | None = None
        self._written = b""

    def of(self, headers: Mapping[str, str], size: int) -> bytes:
        """The head of a request with the caller's *headers*, whose body has *size* bytes.

        Raises:
            ValueError: a header cannot be sent.
        """
        if headers != self._given:
            self._written = self._write(headers)
            self._given = dict(headers)
        return self._written + b"%d\r\n\r\n" % size

    def _write(self, headers: Mapping[str, str]) -> bytes:
        ours = CIMultiDict(self._way.headers)
        ours.update(headers)
        # aiohttp adds Host and what else it sends by itself.
        complete = ClientRequest(hdrs.METH_POST, self._way.url, headers=ours, loop=asyncio.get_running_loop()).headers
        complete.setdefault(hdrs.CONTENT_TYPE, "application/octet-stream")
        complete.popall(hdrs.CONTENT_LENGTH, None)
        lines = [self._line, *(f"{name}: {value}" for name, value in complete.items())]
        if any(map(_CONTROL.search, lines)):
            raise ValueError("a header holds a control character")
        return "\r\n".join([*lines, f"{hdrs.CONTENT_LENGTH}: "]).encode()
