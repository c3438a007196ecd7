"""aiohttp's ``session.post`` alone: ``python -m bench.peers.bare COUNT BODY URL ACTION CONNECTIONS``; prints the count.

As its documentation says: one session, ``async with session.post``, the body read. Nothing is parsed or written.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp
import uvloop


async def post(count: int, body: bytes, url: str, action: str, connections: int) -> int:
    """Send *body* so often; how many answers had status 200."""
    headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": action}
    turns = iter(range(count))
    good = 0

    async def work() -> None:
        nonlocal good
        for _ in turns:
            async with session.post(url, data=body, headers=headers) as reply:
                await reply.read()
                good += reply.status == 200

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:
        await asyncio.gather(*(work() for _ in range(connections)))
    return good


if __name__ == "__main__":
    _, count, body, url, action, connections = sys.argv
    print(uvloop.run(post(int(count), Path(body).read_bytes(), url, action, int(connections))))
