"""The service on a socket: reads requests, waits as the settings say, applies what is to be applied, and answers."""

import asyncio
import ssl
from types import TracebackType
from typing import Final, Self

import orjson
from aiohttp import web

from batcher.sandbox import answers
from batcher.sandbox.answers import Reply
from batcher.sandbox.faults import KINDS, Draw
from batcher.sandbox.fields import INDEX, as_dict
from batcher.sandbox.replies import (
    HELP_PAGE,
    NOT_FOUND,
    QUEUE_FULL,
    WRONG_METHOD,
    lost_session,
    mangled,
    refusal,
)
from batcher.sandbox.service import BODY_LIMIT, Login, Save, too_large, understand
from batcher.sandbox.settings import SandboxSettings
from batcher.sandbox.state import State, Stats
from batcher.sandbox.wire import Sending

__all__ = ["Sandbox"]

SERVICE_PATH: Final = "/xml"
STATS_PATH: Final = "/_stats"

_QUEUE_FACTOR: Final = 8
_SLOW_FACTOR: Final = 10
_SLOW_LEAST: Final = 1.0
_IDLE: Final = 120.0
"""Seconds after which an idle connection is dropped: IIS's default."""
_SHUTDOWN: Final = 0.1
_BACKLOG: Final = 1024
_SOURCE_ID: Final = INDEX["SourceID"]
_DEFAULTS: Final = SandboxSettings()
_WAYS: Final = frozenset({"reset", "reset_applied", "garbage", "cut", "dribble", "chunked", "close"})
_HANGS: Final = frozenset({"hang", "hang_applied"})


class _Connections(web.Server):
    """aiohttp's low-level server, which also tells when a client went away."""

    def __init__(self, receive: "Sandbox") -> None:
        super().__init__(
            receive.answer, access_log=None, auto_decompress=False, keepalive_timeout=_IDLE, tcp_keepalive=False
        )
        self._watched: dict[object, asyncio.Future[None]] = {}

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Called by aiohttp when the connection of *handler* is gone."""
        super().connection_lost(handler, exc)
        watcher = self._watched.pop(handler, None)
        if watcher is not None and not watcher.done():
            watcher.set_result(None)

    async def gone(self, request: web.BaseRequest) -> None:
        """Waits until the client has left, or the sandbox stops."""
        if request.transport is not None:
            self._watched[request.protocol] = watcher = asyncio.get_running_loop().create_future()
            await watcher

    def release(self) -> None:
        """Ends every `gone`."""
        for watcher in self._watched.values():
            if not watcher.done():
                watcher.set_result(None)


class Sandbox:
    """The stand-in of the service; an async context manager, or `start` and `stop`.

    `url` is where to POST once it is started. With an *ssl_context* it speaks https.
    """

    def __init__(self, settings: SandboxSettings = _DEFAULTS, ssl_context: ssl.SSLContext | None = None) -> None:
        self.settings = settings
        self._ssl = ssl_context
        self._state = State(settings.session_calls)
        self._draw = Draw(settings.faults, settings.seed)
        self._turns = asyncio.Semaphore(settings.capacity) if settings.capacity else None
        self._waiting = 0
        self._runner: web.ServerRunner | None = None
        self._connections: _Connections | None = None
        self._url = ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listens; `OSError` where the address cannot be had."""
        self._connections = _Connections(self)
        self._runner = web.ServerRunner(self._connections, shutdown_timeout=_SHUTDOWN)
        await self._runner.setup()
        host = self.settings.host
        site = web.TCPSite(self._runner, host, self.settings.port, ssl_context=self._ssl, backlog=_BACKLOG)
        try:
            await site.start()
        except BaseException:
            await self.stop()
            raise
        port = self._runner.addresses[0][1]
        shown = f"[{host}]" if ":" in host else host
        self._url = f"{'https' if self._ssl else 'http'}://{shown}:{port}{SERVICE_PATH}"

    async def stop(self) -> None:
        """Stops listening and drops what is open; what was applied can still be read."""
        if self._connections is not None:
            self._connections.release()
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = self._connections = None

    @property
    def url(self) -> str:
        """Where to POST, as `http://127.0.0.1:43121/xml`; known from `start` on."""
        if not self._url:
            raise RuntimeError("the sandbox has not been started, so it has no address yet")
        return self._url

    def stats(self) -> Stats:
        """The truth about what was received and applied."""
        return self._state.stats()

    def expire_sessions(self) -> None:
        """Every session known so far is lost."""
        self._state.expire_sessions()

    @property
    def records(self) -> list[dict[str, str | int | bool | None]]:
        """What was applied, oldest first, as the server understood it: the 21 fields by name, a null string as None.

        A record that was applied twice is here twice. Only the newest 200,000 are kept.
        """
        return [as_dict(record) for record in self._state.records]

    def records_of(self, source_id: str | None) -> list[dict[str, str | int | bool | None]]:
        """Those of `records` that have this SourceID."""
        return [as_dict(record) for record in self._state.records if record[_SOURCE_ID] == source_id]

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request, from its head to the end of its answer; called by aiohttp."""
        if request.path != SERVICE_PATH:
            return Sending(self._stats_reply() if request.path == STATS_PATH else NOT_FOUND)
        if request.method != "POST":
            return Sending(HELP_PAGE if request.method in ("GET", "HEAD") else WRONG_METHOD)
        self._state.enter()
        try:
            body = await _body(request)
            if body is None:
                return Sending(too_large(request.headers))
            return await self._in_turn(request, body)
        except (ConnectionError, web.RequestPayloadError):
            # The client left in the middle of its request, or framed it wrongly.
            return Sending(None)
        finally:
            self._state.leave()

    async def _in_turn(self, request: web.BaseRequest, body: bytes) -> Sending:
        if self._turns is None:
            return await self._call(request, body)
        if self._waiting >= _QUEUE_FACTOR * (self.settings.capacity or 1):
            return Sending(QUEUE_FULL)
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            return await self._call(request, body)
        finally:
            self._turns.release()

    async def _call(self, request: web.BaseRequest, body: bytes) -> Sending:
        call = understand(request.headers, body)
        kind = None
        if isinstance(call, Save):
            if self.settings.login and not self._state.use_session(request.headers.get("VeetroSession")):
                call = lost_session(self.settings.session_loss, call.dialect)
            else:
                kind = self._draw.next()
        latency = self.settings.latency
        if kind == "slow":
            latency = max(latency * _SLOW_FACTOR, _SLOW_LEAST)
        if latency > 0:
            await asyncio.sleep(latency)
        if isinstance(call, Reply):
            return Sending(call)
        if isinstance(call, Login):
            return Sending(self._login(call))
        reply = self._save(call, kind, gzip="gzip" in request.headers.get("Accept-Encoding", ""))
        if kind in _HANGS and self._connections is not None:
            await self._connections.gone(request)
            return Sending(None)
        return Sending(reply, kind if kind in _WAYS else None)

    def _login(self, call: Login) -> Reply:
        known = self.settings.login is None or (call.email, call.password) == self.settings.login
        session = self._state.open_session() if known else None
        return answers.authenticated(call.dialect, "Success" if known else "Not_Found", session, call.email or "")

    def _save(self, call: Save, kind: str | None, *, gzip: bool) -> Reply:
        """Applies the record unless the fault forbids it, and makes the reply."""
        applied = call.record is not None and (kind is None or KINDS[kind])
        saved = self._state.apply(call.record) if applied and call.record is not None else call.record
        refused = refusal(kind, call.dialect) if kind is not None else None
        if refused is not None:
            return refused
        if saved is None:
            return answers.no_result(call.dialect, "SetOutlookSyncRecord")
        return mangled(kind, call.dialect, saved, gzip=gzip)

    def _stats_reply(self) -> Reply:
        stats = self._state.stats()
        body = {
            "requests": stats.requests,
            "applied": stats.applied,
            "max_in_flight": stats.max_in_flight,
            "logins": stats.logins,
        }
        return Reply(200, "application/json", orjson.dumps(body), ())


async def _body(request: web.BaseRequest) -> bytes | None:
    """The whole body as it was sent; None, and not read, where it is over the limit."""
    if request.content_length is not None and request.content_length > BODY_LIMIT:
        return None
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    content = request.content
    body = await content.readany()
    while not content.at_eof():
        body += await content.readany()
        if len(body) > BODY_LIMIT:
            return None
    return body
