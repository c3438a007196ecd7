"""zeep with threads: ``python -m bench.peers.zeep_threads INPUT RESULTS WSDL CONNECTIONS`` prints the delivered.

As its documentation says: one client from the WSDL, a `requests` session in its transport, its ``service``, and
``serialize_object`` for the answer. The session's pool is as large as there are threads.
"""

# mypy: allow-untyped-calls
# zeep has no types.

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from requests import Session
from requests.adapters import HTTPAdapter
from zeep import Client
from zeep.helpers import serialize_object
from zeep.transports import Transport


def send(source: Path, results: Path, wsdl: str, connections: int) -> int:
    """Send every line's record; how many were delivered."""
    session = Session()
    session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=connections))
    service = Client(wsdl, transport=Transport(session=session)).service
    delivered = 0
    with source.open("rb") as lines, results.open("w") as out, ThreadPoolExecutor(connections) as threads:
        for answer in threads.map(lambda line: service.SetOutlookSyncRecord(Record=json.loads(line)), lines):
            out.write(json.dumps(serialize_object(answer, dict), default=str) + "\n")
            delivered += 1
    return delivered


if __name__ == "__main__":
    _, source, results, wsdl, connections = sys.argv
    print(send(Path(source), Path(results), wsdl, int(connections)))
