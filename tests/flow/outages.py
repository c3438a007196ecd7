"""Every way in which a whole service can be gone and come back, on real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import pytest

from batcher.core.verdict import Verdict
from tests.flow.conftest import RawServer
from tests.flow.mischief import Play, Stage, Way, empty, fault, reset, sandbox, send_and_end, send_and_wait, status

How: TypeAlias = 'Literal["refused", "DNS", "certificate", "no TLS"] | Play'

HOST: Final = "service.test"


@dataclass(frozen=True)
class Outage:
    """One way to be gone.

    Attributes:
        what: people see; its name.
        verdict: of an attempt while it lasts.
        how: it is done: something about connections, or what every request gets.
    """

    what: str
    verdict: Verdict
    how: How


OUTAGES: Final = (
    Outage("nobody listens", Verdict.NOT_SENT, "refused"),
    Outage("the name is gone", Verdict.NOT_SENT, "DNS"),
    Outage("a certificate of nobody we trust", Verdict.NOT_SENT, "certificate"),
    Outage("no TLS where there was TLS", Verdict.NOT_SENT, "no TLS"),
    Outage("404, a wrong set-up", Verdict.MISDIRECTED, status(404)),
    Outage("a VersionMismatch fault", Verdict.MISDIRECTED, fault("VersionMismatch", "Possible SOAP version mismatch")),
    Outage("503, a maintenance page", Verdict.THROTTLED, status(503)),
    Outage("503 and Retry-After", Verdict.THROTTLED, status(503, ("Retry-After", "0"))),
    Outage("200, a maintenance page", Verdict.UNCERTAIN, sandbox("maintenance")),
    Outage("502 at once", Verdict.UNCERTAIN, status(502)),
    Outage("500 and nothing", Verdict.UNCERTAIN, empty(500)),
    Outage("every connection reset", Verdict.UNCERTAIN, reset),
    Outage("every connection closed", Verdict.UNCERTAIN, send_and_end(lambda _: b"")),
    Outage("a black hole", Verdict.UNCERTAIN, send_and_wait(lambda _: b"")),
)


@dataclass
class Site:
    """A service that an *outage* can take down, and that can be brought up again.

    Attributes:
        outage: which.
        good: TLS as it should be, for outages that have to do with TLS.
        bad: TLS with a certificate of nobody we trust.
        port: where it is, also while nobody listens there.
        is_down: now.
    """

    outage: Outage
    good: ssl.SSLContext
    bad: ssl.SSLContext
    port: int
    is_down: bool = False
    stage: Stage = field(init=False)
    server: RawServer = field(init=False)
    _listening: asyncio.Server | None = None
    _work: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.stage = Stage(self._plan)
        self.server = RawServer(
            self.stage, "https" if self.outage.how in {"certificate", "no TLS"} else "http", self.port
        )

    @property
    def url(self) -> str:
        """Where it is, by name where the name is what goes."""
        return self.server.url.replace("127.0.0.1", HOST) if self.outage.how == "DNS" else self.server.url

    async def open(self) -> None:
        """Be there, for the first time."""
        await self._listen(self.good if self.server.scheme == "https" else None)

    async def moved(self) -> None:
        """The last switch is done."""
        await asyncio.gather(*self._work)

    async def close(self) -> None:
        """Stop for good."""
        await self.moved()
        await self._shut()

    def switch(self, *, down: bool) -> None:
        """Go down or come back, with every connection there is."""
        self.is_down = down
        if not callable(self.outage.how):
            task = asyncio.create_task(self._move())
            self._work.add(task)

    def resolve(self, really: Callable[..., Any]) -> Callable[..., Any]:
        """A stand-in for the system's way to look up names."""

        def look_up(host: str, *arguments: Any, **options: Any) -> Any:
            if host == HOST and self.is_down:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return really("127.0.0.1" if host == HOST else host, *arguments, **options)

        return look_up

    def _plan(self, key: str, attempt: int) -> Way | None:
        if not self.is_down or not callable(self.outage.how):
            return None
        return Way(self.outage.what, self.outage.verdict, None, self.outage.how)

    async def _move(self) -> None:
        await self._shut()
        if not self.is_down:
            await self.open()
        elif self.outage.how == "certificate":
            await self._listen(self.bad)
        elif self.outage.how == "no TLS":
            self._listening = await asyncio.start_server(_plain, "127.0.0.1", self.port)

    async def _listen(self, tls: ssl.SSLContext | None) -> None:
        self._listening = await asyncio.start_server(self.server.converse, "127.0.0.1", self.port, ssl=tls)

    async def _shut(self) -> None:
        if self._listening is not None:
            self._listening.close()
        await self.server.stop()


async def _plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()
    writer.close()


def by_name(outage: Outage) -> Any:
    """For a parametrized test."""
    return pytest.param(outage, id=outage.what)
