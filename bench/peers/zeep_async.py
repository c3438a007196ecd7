"""zeep's asyncio client: ``python -m bench.peers.zeep_async INPUT RESULTS WSDL CONNECTIONS`` prints the delivered.

As its documentation says: ``AsyncClient`` with an ``AsyncTransport`` over httpx, its ``service``, ``serialize_object``
for the answer. httpx keeps as many connections as may be in flight, not its 20 by default.
"""

# mypy: allow-untyped-calls
# zeep has no types.

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import httpx
from zeep import AsyncClient
from zeep.helpers import serialize_object
from zeep.transports import AsyncTransport


async def send(source: Path, results: Path, wsdl: str, connections: int) -> int:
    """Send every line's record; how many were delivered."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    delivered = 0
    with source.open("rb") as lines, results.open("w") as out, httpx.Client() as wsdl_client:
        async with httpx.AsyncClient(limits=limits) as session:
            transport = AsyncTransport(client=session, wsdl_client=wsdl_client)
            service = AsyncClient(wsdl, transport=transport).service

            async def work() -> None:
                nonlocal delivered
                for line in lines:
                    answer = await service.SetOutlookSyncRecord(Record=json.loads(line))
                    out.write(json.dumps(serialize_object(answer, dict), default=str) + "\n")
                    delivered += 1

            await asyncio.gather(*(work() for _ in range(connections)))
    return delivered


if __name__ == "__main__":
    _, source, results, wsdl, connections = sys.argv
    print(asyncio.run(send(Path(source), Path(results), wsdl, int(connections))))
