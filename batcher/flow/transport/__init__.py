"""One exchange: a request's bytes go out, the whole answer comes back, and whatever goes wrong is one of our errors.

Foreign errors become ours in this package and nowhere else. Each module has one subject:

    seam        what the rest of the flow knows: Transport, Answer, Route
    session     the exchange over aiohttp's ClientSession
    pool        aiohttp's connection pool, with no stale connection handed out
    upload      a request's body on its way out, and what of it may have left
    reading     the answer's body: bounded, decompressed, whole
    failures    what a foreign error means
    deadlines   one timer for the time limits of all exchanges
    tls, proxy  who is trusted, and the way there
"""

from batcher.flow.transport.seam import MAX_ANSWER, Answer, Route, Transport
from batcher.flow.transport.session import SessionTransport

__all__ = ["MAX_ANSWER", "Answer", "Route", "SessionTransport", "Transport"]
