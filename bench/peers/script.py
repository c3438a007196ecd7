"""What a competent programmer writes for this one task: orjson, lxml, aiohttp, uvloop; no checks, no second try.

``python -m bench.peers.script INPUT RESULTS URL ACTION CONNECTIONS`` prints how many records were delivered.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from xml.sax.saxutils import escape

import aiohttp
import orjson
import uvloop
from lxml import etree

SPACE = "{http://schema.veetro.com}"
OPENING = (
    '<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">'
    '<soap:Body><SetOutlookSyncRecord xmlns="http://schema.veetro.com"><Record>'
)
CLOSING = "</Record></SetOutlookSyncRecord></soap:Body></soap:Envelope>"


def envelope(record: dict[str, object]) -> bytes:
    """The request for *record*."""
    parts = [OPENING]
    for name, value in record.items():
        if value is not None:
            text = str(value).lower() if isinstance(value, bool) else escape(str(value))
            parts.append(f"<{name}>{text}</{name}>")
    parts.append(CLOSING)
    return "".join(parts).encode()


def fields(body: bytes) -> dict[str, str]:
    """The answer's fields, as text; `ValueError` where there is no result."""
    result = etree.fromstring(body).find(f".//{SPACE}SetOutlookSyncRecordResult")
    if result is None:
        raise ValueError("no result")
    return {etree.QName(field).localname: field.text or "" for field in result}


async def send(lines: Iterator[bytes], out: IO[bytes], url: str, action: str, connections: int) -> int:
    """Send every line's record; how many were delivered."""
    headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": action}
    numbered = enumerate(lines, 1)
    delivered = 0

    async def work() -> None:
        nonlocal delivered
        for number, line in numbered:
            async with session.post(url, data=envelope(orjson.loads(line)), headers=headers) as reply:
                reply.raise_for_status()
                answer = fields(await reply.read())
            out.write(orjson.dumps({"line": number, "outcome": "delivered", "result": answer}) + b"\n")
            delivered += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:
        await asyncio.gather(*(work() for _ in range(connections)))
    return delivered


if __name__ == "__main__":
    _, source, results, url, action, connections = sys.argv
    with Path(source).open("rb") as lines, Path(results).open("wb") as out:
        print(uvloop.run(send(lines, out, url, action, int(connections))))
