"""What a run says over HTTP: ``/metrics``, ``/healthz``, ``/readyz``, ``/status``, and a page for people at ``/``.

Served on the run's own event loop, so that an answer to ``/healthz`` proves that the loop turns.
"""

from __future__ import annotations

import asyncio
import errno
import gzip
import socket
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder, gzip_accepted

from batcher.errors import SettingsError
from batcher.observe.page import live_page
from batcher.observe.tally import Tally

_CLOSE_WITHIN = 1.0
"""Seconds that answers under way get at the end."""


class Exporter:
    """Serves while it is entered (``async with``).

    Args:
        tally: the run's counts.
        registry: what ``/metrics`` shows.
        status: gives the content of ``/status``.
        view: gives what the page shows, as ``Report.to_json`` does.
        port: to listen on; 0 for any that is free.
        host: address to listen on.

    Attributes:
        port: the one in use, also where 0 was asked for.
        scraped: set once somebody has got the final numbers, those of a tally that has ended.

    Raises:
        SettingsError: on entering, where the port or the host cannot be had.
    """

    def __init__(
        self,
        tally: Tally,
        registry: CollectorRegistry,
        status: Callable[[], Mapping[str, object]],
        view: Callable[[], Mapping[str, object]],
        *,
        port: int,
        host: str = "127.0.0.1",
    ) -> None:
        self.port = port
        self.host = host
        self._tally = tally
        self._registry = registry
        self._status = status
        self._view = view
        self.scraped = asyncio.Event()
        self._runner: web.ServerRunner | None = None
        self._pages: Mapping[str, Callable[[web.BaseRequest], web.Response]] = {
            "/": self._page,
            "/metrics": self._metrics,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/status": self._summary,
            "/view.json": self._shown,
        }

    async def __aenter__(self) -> Self:
        runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=_CLOSE_WITHIN)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, self.port).start()
        except OSError as error:
            await runner.cleanup()
            raise _refusal(error, self.host, self.port) from error
        self._runner = runner
        self.port = runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        page = self._pages.get(request.path)
        if page is None:
            return _text(404, "Here are " + ", ".join(self._pages))
        if request.method not in ("GET", "HEAD"):
            response = _text(405, "GET only")
            response.headers["Allow"] = "GET, HEAD"
            return response
        return page(request)

    def _page(self, request: web.BaseRequest) -> web.Response:
        body, policy = live_page()
        response = _whole(request, body, "text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = policy
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    def _shown(self, request: web.BaseRequest) -> web.Response:
        return _whole(request, orjson.dumps(self._view()), "application/json")

    def _metrics(self, request: web.BaseRequest) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        if self._tally.ended is not None and request.method == "GET":
            self.scraped.set()
        return _whole(request, encode(self._registry), content_type)

    def _healthz(self, _request: web.BaseRequest) -> web.Response:
        return _text(200, "ok")

    def _readyz(self, _request: web.BaseRequest) -> web.Response:
        tally = self._tally
        if tally.ended is not None:
            return _text(503, "ended")
        if tally.draining is not None:
            return _text(503, f"draining: {tally.draining}")
        if tally.pauses:
            return _text(503, "paused: " + ", ".join(tally.pauses))
        return _text(200, "ok")

    def _summary(self, _request: web.BaseRequest) -> web.Response:
        return web.Response(
            body=orjson.dumps(self._status(), option=orjson.OPT_APPEND_NEWLINE), content_type="application/json"
        )


def _whole(request: web.BaseRequest, body: bytes, content_type: str) -> web.Response:
    """An answer, compressed where that is accepted, that nobody keeps."""
    headers = {
        "Content-Type": content_type,
        "Vary": "Accept, Accept-Encoding",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    if gzip_accepted(request.headers.get("Accept-Encoding", "")):
        # The fastest level: it runs on the loop that sends the records.
        body = gzip.compress(body, compresslevel=1)
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=body, headers=headers)


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=f"{text}\n")


def _refusal(error: OSError, host: str, port: int) -> SettingsError:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return SettingsError("--metrics-host", f"{host} is no address of this machine", "give one of its own addresses")
    if error.errno == errno.EADDRINUSE:
        return SettingsError("--metrics-port", f"port {port} on {host} is already in use", "choose another one, or 0")
    reason = error.strerror or str(error)
    return SettingsError(
        "--metrics-port", f"port {port} on {host} cannot be served: {reason}", "choose another one, or 0"
    )
