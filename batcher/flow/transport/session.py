"""The exchange over aiohttp's ClientSession."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar

from batcher.flow.transport.deadlines import Deadlines
from batcher.flow.transport.failures import ending
from batcher.flow.transport.pool import Pool
from batcher.flow.transport.reading import decode_body, read_body
from batcher.flow.transport.seam import Answer, Route, Waits
from batcher.flow.transport.upload import Body, Upload
from batcher.flow.transport.way import Way


class SessionTransport:
    """Exchanges with one URL over a bounded pool of kept connections; made within a running event loop.

    Raises:
        SettingsError: a certificate file cannot be used, or the proxy is none.
    """

    def __init__(self, route: Route) -> None:
        self._way = Way.of(route)
        self._deadlines = Deadlines(route.timeout)
        self._pool = Pool(route.connections)
        self._session = ClientSession(
            connector=self._pool,
            headers=self._way.headers,
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=None, connect=route.connect_timeout),
            auto_decompress=False,
        )

    @property
    def opened(self) -> int:
        """Connections made so far."""
        return self._pool.opened

    @property
    def waits(self) -> Waits:
        """The time that exchanges have waited."""
        return self._pool.waits

    def connections(self) -> dict[str, int]:
        """Connections by state: ``active`` (in use or being made) and ``idle``."""
        return {"active": self._pool.active, "idle": self._pool.idle}

    async def exchange(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """POST *body* once, never twice, and read the whole answer.

        Raises:
            TransportError: there is no whole answer. Nothing else is raised but the caller's own cancellation.
        """
        upload = Upload(len(body))
        response: ClientResponse | None = None
        task = self._deadlines.begin()
        try:
            # aiohttp sends a request again by itself only where the method is idempotent: a POST never.
            response = await self._session.post(
                self._way.url,
                data=Body(body, upload),
                headers=headers,
                allow_redirects=False,
                ssl=self._way.tls,
                proxy=self._way.proxy,
                proxy_headers=self._way.proxy_headers,
            )
            raw = await read_body(response.headers, response.content, upload)
            answer = Answer(response.status, response.headers, decode_body(response.headers, raw))
        except BaseException as error:
            self._drop(upload, response)
            reason = ending(error, self._deadlines, task, upload)
            self._pool.learn_from(reason)
            if reason is error:
                raise
            raise reason from error
        self._deadlines.end(task)
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
