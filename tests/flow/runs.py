"""Runs for tests: put together as the program does it, with what came of every line and every event at hand."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeAlias

import orjson
import pytest

from batcher.build import Parts
from batcher.core.events import AttemptEnded, Delivered, Event
from batcher.core.record import Record
from batcher.core.result import Result
from batcher.core.retry import History
from batcher.core.verdict import Outcome
from batcher.flow.given import IterableSource
from batcher.flow.job import Job
from batcher.flow.lines import make_line
from batcher.flow.pipeline import INTERRUPTED, Ending, Pipeline
from batcher.flow.sink import Sink
from batcher.flow.source import Source
from batcher.flow.transport import Answer
from batcher.observe.tally import Tally
from batcher.settings import Settings

Say: TypeAlias = "Callable[[bytes, Mapping[str, str]], Awaitable[Answer]]"

NOBODY = "http://127.0.0.1:9/xml"
"""An endpoint for runs that a stand-in of the transport serves."""
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
HEADERS = {"Content-Type": "text/xml; charset=utf-8"}

_VALUES: dict[str, Any] = {
    "VeetroID": 17,
    "EntityID_Owner": 4,
    "VeetroType": "Contact",
    "ApplyAction": 1,
    "RemoteTimeStamp": "2024-05-31T09:30:00Z",
    "Delete": False,
    "CurrentStatusId": 2,
    "Retried": 0,
    "LocalTimeStamp": "2024-05-31T09:30:00Z",
    "DateLastModifiedRemoteUtc": "2024-02-29T23:59:59Z",
    "DateLastModifiedLocalUtc": "2024-02-29T23:59:59Z",
    "CurrentStatus": "InProgress",
}


def record(number: int, *, safe: bool = True, key: str | None = None) -> dict[str, Any]:
    """A valid record; *safe* ones have an id, so that sending them twice does no harm. Its key is S-*number*."""
    return _VALUES | {"ImportSyncRecordID": number if safe else 0, "SourceID": key or f"S-{number}"}


def make_job(ordinal: int, *, safe: bool = True, key: str | None = None, spent: int = 0) -> Job:
    """A job as the pipeline makes it, with *spent* attempts behind it."""
    line = make_line(b"{}", ordinal, 0, 100)
    return Job(ordinal, line, Record(b"<x/>", (key,), safe), 0.0, History(safe, attempts=spent, spent=spent))


def hurry(monkeypatch: pytest.MonkeyPatch, look: float = 0.005) -> None:
    """No back-off, and waits between probes that are short; and *look* seconds between looks at an outage."""
    monkeypatch.setattr("batcher.flow.submit.random", SimpleNamespace(random=lambda: 0.0))
    monkeypatch.setattr("batcher.core.breaker._FIRST_WAIT", 0.002)
    monkeypatch.setattr("batcher.core.breaker._LONGEST_WAIT", 0.02)
    monkeypatch.setattr("batcher.flow.pipeline._LOOK", look)
    monkeypatch.setattr("batcher.flow.sink._PAUSE", 0.001)


def saved(body: bytes) -> Answer:
    """The service's answer to the request *body*: the record as it was sent."""
    inner = re.search(rb"<Record>(.*)</Record>", body, re.DOTALL)
    assert inner is not None, body
    return enveloped(
        b'<SetOutlookSyncRecordResponse xmlns="http://schema.veetro.com"><SetOutlookSyncRecordResult>'
        + inner[1]
        + b"</SetOutlookSyncRecordResult></SetOutlookSyncRecordResponse>"
    )


def logged_in(key: str | None, code: str = "Success") -> Answer:
    """The service's answer to a login."""
    session = "" if key is None else f"<SessionKey>{key}</SessionKey>"
    return enveloped(
        '<AuthenticateWebSafeResponse xmlns="http://schema.veetro.com"><AuthenticateWebSafeResult>'
        f"<Code>{code}</Code>{session}</AuthenticateWebSafeResult></AuthenticateWebSafeResponse>".encode()
    )


def fault(text: str, code: str = "Server") -> Answer:
    """A fault."""
    inner = f"<soap:Fault><faultcode>soap:{code}</faultcode><faultstring>{text}</faultstring></soap:Fault>"
    return enveloped(inner.encode(), 500)


def enveloped(inner: bytes, status: int = 200) -> Answer:
    """*inner* as the body of an envelope."""
    envelope = f'<soap:Envelope xmlns:soap="{SOAP}"><soap:Body>%s</soap:Body></soap:Envelope>'.encode()
    return Answer(status, HEADERS, envelope.replace(b"%s", inner))


def key_in(body: bytes) -> str:
    """The SourceID in a request, empty for a login."""
    found = re.search(rb"<SourceID>(.*?)</SourceID>", body)
    return found[1].decode() if found else ""


def http(answer: Answer) -> bytes:
    """*answer* on the wire."""
    head = f"HTTP/1.1 {answer.status} Whatever\r\nContent-Length: {len(answer.body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    return head.encode() + b"\r\n" + answer.body


@dataclass
class Told:
    """A transport that answers what it is told: for tests of who is sent when, and not of the network."""

    say: Say
    open: int = 0
    most_open: int = 0
    sent: list[str] = field(default_factory=list)
    opened: int = 0

    async def exchange(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """One exchange."""
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self.sent.append(key_in(body))
        try:
            return await self.say(body, headers)
        finally:
            self.open -= 1

    async def close(self) -> None:
        """Nothing to close."""

    def connections(self) -> dict[str, int]:
        """None."""
        return {}


class Kept:
    """A sink that keeps every result; each counts as written at once unless *hold* is set."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.hold = False
        self._held = (0, 0)
        self._finished = asyncio.Event()
        self._written: Callable[[int, int], None] = lambda _count, _size: None

    def put(self, result: Result, size: int) -> None:
        """Keep it."""
        self.results.append(result)
        self._held = self._held[0] + 1, self._held[1] + size
        if not self.hold:
            self.let_go()

    def let_go(self) -> None:
        """Say that all is written."""
        held, self._held = self._held, (0, 0)
        self._written(*held)

    async def run(self, written: Callable[[int, int], None]) -> None:
        """Wait for the end."""
        self._written = written
        await self._finished.wait()

    def finish(self) -> None:
        """Nothing more comes."""
        self.hold = False
        self.let_go()
        self._finished.set()


class Run:
    """One run from *records* to its results; to be made within the event loop that it runs in.

    It goes over the network unless *told* stands in for the transport.
    """

    def __init__(
        self,
        records: Iterable[Any] | AsyncIterable[Any],
        settings: Settings,
        *,
        sink: Sink | None = None,
        source: Source | None = None,
        told: Told | None = None,
    ) -> None:
        self.tally = Tally()
        self.events: list[Event] = []
        self.kept = Kept()
        self._sink = sink or self.kept
        with pytest.MonkeyPatch.context() as patch:
            if told is not None:
                patch.setattr("batcher.build.open_transport", lambda route: told)
            self._parts = Parts(settings, self)
        given = source or IterableSource(records, max_line_bytes=settings.max_line_bytes)
        self.pipeline: Pipeline = self._parts.pipeline(given, self._sink)

    def notice(self, event: Event, /) -> None:
        """Keep the event, and count it."""
        self.events.append(event)
        self.tally.notice(event)

    async def __call__(self) -> Run:
        """Run to the end and check the books."""
        try:
            await self.pipeline.run()
        finally:
            await self._parts.transport.close()
        self.check_books()
        return self

    def drain(self) -> None:
        """End it as the first signal does."""
        self.pipeline.drain(Ending(INTERRUPTED, "a test has had enough"), "interrupted")

    @property
    def results(self) -> list[Result]:
        """In finishing order."""
        return self.kept.results

    @property
    def attempts(self) -> int:
        """That were told."""
        return sum(isinstance(event, AttemptEnded | Delivered) for event in self.events)

    @property
    def outcomes(self) -> dict[str, int]:
        """How many records ended how."""
        return dict(Counter(result.outcome.value for result in self.results))

    @property
    def exit_codes(self) -> list[int]:
        """Of all reasons why it ended early."""
        return [ending.exit_code for ending in self.pipeline.endings]

    def by_line(self) -> dict[int, Result]:
        """Each line's result."""
        return {result.line: result for result in self.results}

    def check_books(self) -> None:
        """What is true of every run, however it ends."""
        pipeline, submitter = self.pipeline, self.pipeline.submitter
        assert submitter.gate.in_flight == 0
        assert submitter.waiting == 0
        assert not submitter._lanes._waiting
        assert submitter.gate._timer is None or submitter.gate._timer.cancelled()
        assert pipeline._leaving is None or pipeline._leaving.cancelled() or self.exit_codes
        assert (pipeline.room.records, pipeline.room.size) == (0, 0)
        assert self.tally.records == pipeline.records == self.tally.input_records
        if self._sink is self.kept:
            assert sorted(result.line for result in self.results) == list(range(1, pipeline.records + 1))
            assert self.attempts == sum(result.attempts for result in self.results)
        assert sum(self.tally.attempts.values()) == self.attempts

    def check_truth(self, applied: Mapping[str, int], *, saved_and_failed: bool = False) -> None:
        """What the results say of each record, each with a key of its own, against what was applied."""
        for result in self.results:
            times = applied.get(str(result.key), 0)
            assert times <= result.attempts, result
            if result.outcome is Outcome.DELIVERED:
                assert times >= 1, result
            elif result.outcome is not Outcome.IN_DOUBT and not saved_and_failed:
                assert times == 0, result
        assert sum(applied.values()) == sum(applied.get(str(result.key), 0) for result in self.results)


async def until(condition: Callable[[], bool]) -> None:
    """Give the loop its turns until *condition* holds."""
    for _ in itertools.repeat(None):
        if condition():
            return
        await asyncio.sleep(0)


def line_of(values: Mapping[str, Any]) -> bytes:
    """A record as a line of input."""
    return orjson.dumps(values) + b"\n"


def settings(url: str = NOBODY, **changes: Any) -> Settings:
    """For eight connections, all of them in use, and no rule that stops a run."""
    options: dict[str, Any] = {"connections": 8, "stop_after": None, "max_outage": 60.0} | changes
    return Settings(endpoint=url, **{"concurrency": min(8, options["connections"])} | options)


def records(count: int) -> list[dict[str, Any]]:
    """So many safe ones, from S-1 on."""
    return [record(number) for number in range(1, count + 1)]


async def good(body: bytes, headers: Mapping[str, str]) -> Answer:
    """Every record is saved."""
    await asyncio.sleep(0)
    return saved(body)


async def never(body: bytes, headers: Mapping[str, str]) -> Answer:
    """No answer comes."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def refused(body: bytes, headers: Mapping[str, str]) -> Answer:
    """No record is taken."""
    await asyncio.sleep(0)
    return fault("Input string was not in a correct format", "Client")


async def settled(what: Callable[[], object]) -> None:
    """Until *what* has stayed the same for many turns of the loop."""
    last, same = what(), 0
    while same < 200:
        await asyncio.sleep(0)
        same = same + 1 if what() == last else 0
        last = what()
