"""The exchange over aiohttp's ClientSession."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, hdrs
from yarl import URL

from batcher import __version__
from batcher.errors import TransportError
from batcher.flow.transport.deadlines import Deadlines
from batcher.flow.transport.failures import failure, out_of_time
from batcher.flow.transport.pool import Pool
from batcher.flow.transport.proxy import choose_proxy
from batcher.flow.transport.reading import decode_body, read_body
from batcher.flow.transport.seam import Answer, Route
from batcher.flow.transport.tls import tls_context
from batcher.flow.transport.upload import Upload


class SessionTransport:
    """Exchanges with one URL over a bounded pool of kept connections; made within a running event loop.

    Raises:
        SettingsError: a certificate file cannot be used, or the proxy is none.
    """

    def __init__(self, route: Route) -> None:
        self._url = URL(route.url)
        self._timeout = route.timeout
        self._tls = tls_context(route)
        proxy = choose_proxy(self._url, route.proxy, os.environ)
        headers: dict[str, str] = {hdrs.USER_AGENT: f"veetro-batch/{__version__}", hdrs.ACCEPT_ENCODING: "gzip"}
        self._proxy = None if proxy is None else proxy.url
        self._proxy_headers: dict[str, str] | None = None
        if proxy is not None and proxy.authorization is not None:
            credentials: dict[str, str] = {hdrs.PROXY_AUTHORIZATION: proxy.authorization}
            # Through a tunnel they are for the proxy's eyes alone.
            if self._url.scheme == "https":
                self._proxy_headers = credentials
            else:
                headers |= credentials
        self._deadlines = Deadlines(route.timeout)
        self._pool = Pool(route.connections)
        self._session = ClientSession(
            connector=self._pool,
            headers=headers,
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=None, connect=route.connect_timeout),
            auto_decompress=False,
        )

    @property
    def opened(self) -> int:
        """Connections made so far."""
        return self._pool.opened

    def connections(self) -> dict[str, int]:
        """Connections by state: ``active`` (in use or being made) and ``idle``."""
        return {"active": self._pool.active, "idle": self._pool.idle}

    async def exchange(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """POST *body* once, never twice, and read the whole answer.

        Raises:
            TransportError: there is no whole answer. Nothing else is raised but the caller's own cancellation.
        """
        upload = Upload(body)
        response: ClientResponse | None = None
        deadline = self._deadlines.begin()
        try:
            # aiohttp sends a request again by itself only where the method is idempotent: a POST never.
            response = await self._session.post(
                self._url,
                data=upload,
                headers=headers,
                allow_redirects=False,
                ssl=self._tls,
                proxy=self._proxy,
                proxy_headers=self._proxy_headers,
            )
            answer = Answer(response.status, response.headers, decode_body(response, await read_body(response, upload)))
        except asyncio.CancelledError as error:
            self._drop(upload, response)
            if deadline.end():
                raise out_of_time(upload, self._timeout) from error
            if deadline.task.cancelling():
                raise
            # Nobody cancelled this task: the pool was closed under it.
            raise failure(error, upload) from error
        except TransportError:
            self._drop(upload, response)
            deadline.end()
            raise
        except Exception as error:
            # Whatever a peer can provoke in a foreign library ends this exchange, and not the run.
            self._drop(upload, response)
            deadline.end()
            raise failure(error, upload) from error
        deadline.end()
        # An answer that is read to its end gives its connection back, unless it came before the request was all out.
        if response.connection is not None or (upload.transport is not None and upload.transport.is_closing()):
            self._drop(upload, response)
        return answer

    async def close(self) -> None:
        """Close every connection; exchanges under way end with a TransportError."""
        self._deadlines.close()
        await self._session.close()

    def _drop(self, upload: Upload, response: ClientResponse | None) -> None:
        """Cut the connection and give its place back.

        Cut before it is closed: a transport that is only closed goes on sending what it has buffered.
        """
        if upload.transport is not None and upload.protocol is not None:
            # An answer that was read to its end has given its connection back; it may be somebody else's by now.
            if response is None or response.connection is not None or upload.transport.is_closing():
                upload.transport.abort()
            else:
                self._pool.drop(upload.protocol)
        if response is not None:
            response.close()
