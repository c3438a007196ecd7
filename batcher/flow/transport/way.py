"""The way to the service: what every request and every connection of a route has in common."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import NamedTuple

from aiohttp import hdrs
from yarl import URL

from batcher import __version__
from batcher.flow.transport.proxy import choose_proxy
from batcher.flow.transport.seam import Route
from batcher.flow.transport.tls import tls_context


class Way(NamedTuple):
    """What a Route comes to.

    Attributes:
        url: where requests go.
        headers: sent with every request.
        tls: how the server is verified.
        proxy: on the way, without credentials, or None.
        proxy_headers: for the eyes of the proxy alone, where it opens a tunnel, or None.
    """

    url: URL
    headers: Mapping[str, str]
    tls: ssl.SSLContext | bool
    proxy: URL | None
    proxy_headers: Mapping[str, str] | None

    @classmethod
    def of(cls, route: Route) -> Way:
        """The way of *route*.

        Raises:
            SettingsError: a certificate file cannot be used, or the proxy is none.
        """
        url = URL(route.url)
        headers: dict[str, str] = {hdrs.USER_AGENT: f"veetro-batch/{__version__}", hdrs.ACCEPT_ENCODING: "gzip"}
        proxy = choose_proxy(url, route.proxy, os.environ)
        ends = (url,) if proxy is None else (url, proxy.url)
        tls = tls_context(route, needed=any(end.scheme == "https" for end in ends))
        if proxy is None:
            return cls(url, headers, tls, None, None)
        if proxy.authorization is None:
            return cls(url, headers, tls, proxy.url, None)
        credentials: dict[str, str] = {hdrs.PROXY_AUTHORIZATION: proxy.authorization}
        if url.scheme == "https":
            return cls(url, headers, tls, proxy.url, credentials)
        # Without a tunnel the proxy reads the request itself.
        return cls(url, headers | credentials, tls, proxy.url, None)
