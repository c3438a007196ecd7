"""One exchange: a request's bytes go out, the whole answer comes back, and whatever goes wrong is one of our errors.

Foreign errors become ours in this package and nowhere else. Each module has one subject:

    seam        what the rest of the flow knows: Transport, Answer, Route
    choice      which of the two transports serves
    lease       the exchange over connections leased from aiohttp's pool; serves where it can
    session     the exchange over aiohttp's ClientSession, which says what is right
    pool        aiohttp's connection pool, with no stale connection handed out
    reader      one connection, as aiohttp's protocol reads it
    head        a request's head
    upload      a request's body on its way out, and what of it may have left
    reading     the answer's body: bounded, decompressed, whole
    failures    what a foreign error means
    deadlines   one timer for the time limits of all exchanges
    way         what the requests and connections of a route have in common
    tls, proxy  who is trusted, and who stands in between
"""

from batcher.flow.transport.choice import open_transport
from batcher.flow.transport.seam import MAX_ANSWER, Answer, CountedTransport, Route, Transport

__all__ = ["MAX_ANSWER", "Answer", "CountedTransport", "Route", "Transport", "open_transport"]
