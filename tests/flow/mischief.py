"""A service that goes wrong in the way that is asked for, and keeps the truth about what it applied.

It understands requests and applies records as the sandbox does; how the answer to each goes, a plan says.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from multidict import CIMultiDict

from batcher.core.verdict import Verdict
from batcher.sandbox import answers
from batcher.sandbox.answers import Dialect, Reply, page
from batcher.sandbox.fields import INDEX
from batcher.sandbox.replies import refusal
from batcher.sandbox.service import Login, Save, understand
from batcher.sandbox.state import State
from tests.flow.conftest import Peer

Play: TypeAlias = "Callable[[Call], Awaitable[None]]"

SOURCE_ID: Final = INDEX["SourceID"]


@dataclass(frozen=True)
class Call:
    """One request for a record: who asked, in which version, and the *good* answer to it."""

    peer: Peer
    dialect: Dialect
    good: Reply


@dataclass(frozen=True)
class Way:
    """One way in which an attempt can go.

    Attributes:
        what: happens, for people; the way's name.
        verdict: what the attempt means.
        kind: of the record's problem, where it ends with this attempt.
        play: does it.
        applied: the service has applied the record before.
        transient: a fault that says of itself that it will pass.
        mismatch: it is the answer to another record.
    """

    what: str
    verdict: Verdict
    kind: str | None
    play: Play
    applied: bool = False
    transient: bool = False
    mismatch: bool = False


@dataclass
class Stage:
    """The service.

    Attributes:
        plan: how the n-th request (from 0) for a SourceID goes; None: well.
        state: what was applied.
        applied: for each SourceID, whether its requests were applied, in the order in which they came.
    """

    plan: Callable[[str, int], Way | None]
    state: State = field(default_factory=State)
    applied: defaultdict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))

    async def __call__(self, peer: Peer) -> None:
        """The script of one connection."""
        while not peer.writer.transport.is_closing():
            request = await peer.request()
            call = understand(CIMultiDict(request.headers), request.body)
            if isinstance(call, Login):
                session = self.state.open_session()
                await peer.send(wire(answers.authenticated(call.dialect, "Success", session, "")))
                continue
            assert isinstance(call, Save), call
            assert call.record is not None
            key = call.record[SOURCE_ID] or ""
            way = self.plan(key, len(self.applied[key]))
            applied = way is None or way.applied
            self.applied[key].append(applied)
            record = self.state.apply(call.record) if applied else call.record
            good = answers.saved(call.dialect, record)
            await (way.play(Call(peer, call.dialect, good)) if way else peer.send(wire(good)))


def wire(reply: Reply, *headers: str, length: int | None = None) -> bytes:
    """*reply* as it goes over the wire, with its length or one that is a lie."""
    lines = [f"HTTP/1.1 {reply.status} Whatever", f"Content-Length: {len(reply.body) if length is None else length}"]
    lines += [f"Content-Type: {reply.content_type}"] * bool(reply.content_type)
    lines += [f"{name}: {value}" for name, value in reply.headers] + list(headers)
    return "\r\n".join([*lines, "", ""]).encode() + reply.body


def chunked(body: bytes, last: bytes = b"0\r\n\r\n") -> bytes:
    """*body* in chunks."""
    pieces = [body[start : start + 500] for start in range(0, len(body), 500)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + last


def answer(make: Callable[[Call], Reply]) -> Play:
    """Answers whole."""
    return send(lambda call: wire(make(call)))


def status(code: int, *headers: tuple[str, str]) -> Play:
    """Answers with a page of HTML."""
    return answer(lambda _: page(code, "Whatever", "Whatever", headers))


def empty(code: int) -> Play:
    """Answers with nothing but a status."""
    return answer(lambda _: Reply(code, ""))


def sandbox(kind: str) -> Play:
    """Answers as the sandbox does for a kind of fault that has an answer of its own."""

    def make(call: Call) -> Reply:
        reply = refusal(kind, call.dialect)
        assert reply is not None
        return reply

    return answer(make)


def fault(code: str, text: str, at: int = 500) -> Play:
    """Answers with a fault; *code* in the words of SOAP 1.1."""
    return answer(lambda call: replace(answers.fault(call.dialect, code, text), status=at))


def changed(change: Callable[[bytes], bytes], *headers: tuple[str, str]) -> Play:
    """Answers well, but for a *change* of the body."""
    return answer(lambda call: replace(call.good, body=change(call.good.body), headers=headers))


def send(make: Callable[[Call], bytes]) -> Play:
    """Sends bytes and leaves the connection open."""

    async def play(call: Call) -> None:
        await call.peer.send(make(call))

    return play


def send_and_end(make: Callable[[Call], bytes]) -> Play:
    """Sends bytes and closes in good order, both in the same breath."""

    async def play(call: Call) -> None:
        call.peer.writer.write(make(call))
        call.peer.end()

    return play


def send_and_wait(make: Callable[[Call], bytes]) -> Play:
    """Sends bytes, and nothing more until the client leaves."""

    async def play(call: Call) -> None:
        await call.peer.send(make(call))
        await call.peer.gone()

    return play


def for_ever(first: bytes, again: bytes, pause: float = 0.0) -> Play:
    """Sends the same bytes again and again until the client leaves."""

    async def play(call: Call) -> None:
        await call.peer.send(first)
        while True:
            await asyncio.sleep(pause)
            await call.peer.send(again)

    return play


async def reset(call: Call) -> None:
    """Resets."""
    call.peer.reset()


async def half_close(call: Call) -> None:
    """Ends its own half and goes on listening."""
    call.peer.writer.write_eof()
    await call.peer.gone()


async def reset_within(call: Call) -> None:
    """Resets in the middle of an answer without a length."""
    await call.peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + call.good.body[:300])
    call.peer.reset()


async def dribble(call: Call) -> None:
    """Answers well, in pieces of a few bytes."""
    data = wire(call.good)
    await call.peer.send(*(data[start : start + 97] for start in range(0, len(data), 97)))
