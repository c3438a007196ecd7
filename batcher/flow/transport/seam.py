"""The seam between the flow and the network: two methods, the values that cross it, and what is counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from batcher.core.slots import Wait

MAX_ANSWER = 8 * 1024 * 1024
"""Bytes of an answer's body, as it came and after decompression; more is unreadable.

An answer repeats its record, and ASP.NET takes requests of up to 4096 KB: twice that leaves room for other escapes.
"""


class Answer(NamedTuple):
    """A whole HTTP answer.

    Attributes:
        status: its code, as odd as the server likes.
        headers: as they came, names in any letter case; they describe the body as it was on the wire.
        body: decompressed, at most ``MAX_ANSWER`` bytes.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Route(NamedTuple):
    """Where requests go, and how.

    Attributes:
        url: absolute, http or https.
        connections: bound of the pool, never exceeded.
        timeout: seconds for one exchange, from the first step to the last byte of the answer.
        connect_timeout: seconds for name, TCP, TLS and proxy together.
        ca_file: certificates (PEM) to trust beside the system's.
        client_cert: our certificate and its chain (PEM), with the key where *client_key* is None.
        client_key: its key (PEM, not encrypted).
        proxy: URL of an HTTP proxy, credentials in it; None leaves it to HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY.
    """

    url: str
    connections: int = 64
    timeout: float = 120.0
    connect_timeout: float = 10.0
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    proxy: str | None = None


class Waits(NamedTuple):
    """What exchanges wait for, on the clock of ``time.monotonic``.

    Attributes:
        connect: a connection, new or given back.
        server: the first byte of an answer, from the first byte of the request on.
    """

    connect: Wait
    server: Wait


class Transport(Protocol):
    """What can carry an exchange."""

    async def exchange(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """POST *body* once, never twice, and read the whole answer.

        Raises:
            TransportError: there is no whole answer. Nothing else is raised but the caller's own cancellation.
        """
        ...

    async def close(self) -> None:
        """Close every connection; exchanges under way end with a TransportError."""
        ...


class CountedTransport(Transport, Protocol):
    """A transport that tells of its connections."""

    @property
    def opened(self) -> int:
        """Connections made so far."""
        ...

    @property
    def waits(self) -> Waits:
        """The time that exchanges have waited."""
        ...

    def connections(self) -> dict[str, int]:
        """Connections by state: ``active`` (in use or being made) and ``idle``."""
        ...
