"""Which transport serves: the lease, where the installed aiohttp is one that it was tested with."""

from __future__ import annotations

import logging

import aiohttp
from aiohttp import http_parser

from batcher.flow.transport.lease import LeaseTransport
from batcher.flow.transport.seam import CountedTransport, Route
from batcher.flow.transport.session import SessionTransport

TESTED = ("3.14",)
"""The minors of aiohttp whose inner names and habits the lease relies on; nobody promises to keep them."""

_log = logging.getLogger(__name__)


def open_transport(route: Route) -> CountedTransport:
    """A transport for *route*, made within a running event loop.

    Raises:
        SettingsError: a certificate file cannot be used, or the proxy is none.
    """
    reason = why_no_lease()
    if reason is None:
        return LeaseTransport(route)
    _log.warning("session_transport", extra={"facts": {"detail": f"{reason}: each request costs more than it need"}})
    return SessionTransport(route)


def why_no_lease() -> str | None:
    """What keeps the lease from serving, or None."""
    minor = ".".join(aiohttp.__version__.split(".")[:2])
    if minor not in TESTED:
        return f"the lease was not tested with aiohttp {minor}"
    if http_parser.HttpResponseParser is http_parser.HttpResponseParserPy:
        # It takes answers for whole that the compiled one refuses.
        return "aiohttp has no compiled parser here"
    return None
