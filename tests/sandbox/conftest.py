"""A running sandbox and a client of bare sockets: what a test sends and gets is exactly what crosses the wire."""

import asyncio
import gzip
import re
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from batcher.sandbox import Sandbox

Answer = tuple[int, dict[str, str], str]

ACTION = '"http://schema.veetro.com/SetOutlookSyncRecord"'
SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """One that is always well."""
    async with Sandbox() as running:
        yield running


@pytest.fixture
def envelope() -> Callable[..., str]:
    """An envelope around the *fields* of a Record, as the usual client writes it."""

    def build(fields: str, namespace: str = SOAP_11) -> str:
        return (
            f'<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="{namespace}" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soap:Body>'
            f'<SetOutlookSyncRecord xmlns="http://schema.veetro.com"><Record>{fields}</Record></SetOutlookSyncRecord>'
            "</soap:Body></soap:Envelope>"
        )

    return build


def _parted(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    if headers.get("Transfer-Encoding") == "chunked":
        body = b"".join(re.findall(rb"(?s)[0-9a-f]+\r\n(.+?)\r\n(?=[0-9a-f]+\r\n)", body))
    if headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    return int(first.split()[1]), headers, body.decode()


@pytest.fixture
def exchange() -> Callable[..., Awaitable[bytes]]:
    """Sends raw bytes to the sandbox and gives all that comes until the connection ends."""

    async def send(sandbox: Sandbox, data: bytes) -> bytes:
        host, _, port = sandbox.url.split("/")[2].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(data)
            return await reader.read(-1)
        finally:
            writer.close()

    return send


@pytest.fixture
def post(exchange: Callable[..., Awaitable[bytes]]) -> Callable[..., Awaitable[Answer]]:
    """POSTs a body on a connection of its own; gives (status, headers, text). None leaves a header out."""

    async def send(
        sandbox: Sandbox,
        body: str | bytes,
        media: str | None = "text/xml; charset=utf-8",
        action: str | None = ACTION,
        more: str = "",
    ) -> Answer:
        data = body.encode() if isinstance(body, str) else body
        head = f"POST /xml HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\nContent-Length: {len(data)}\r\n{more}"
        head += "" if media is None else f"Content-Type: {media}\r\n"
        head += "" if action is None else f"SOAPAction: {action}\r\n"
        return _parted(await exchange(sandbox, f"{head}\r\n".encode() + data))

    return send


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Lets the sandbox run until a condition is met; the test's own time limit ends a wait for what never comes."""

    async def wait(met: Callable[[], bool]) -> None:
        while not met():  # noqa: ASYNC110 - the sandbox sets no event for what a test looks at
            await asyncio.sleep(0)

    return wait


@pytest.fixture
def turns() -> Callable[[], Awaitable[None]]:
    """Lets everything that is ready run, many times over: what has not happened then is waiting for something."""

    async def spin() -> None:
        for _ in range(200):
            await asyncio.sleep(0)

    return spin
