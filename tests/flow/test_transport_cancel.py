"""Cancellation at every await, and at every turn of the event loop: nothing is lost, sent twice or mixed up."""

from __future__ import annotations

import asyncio
import itertools
import random
import ssl
import types
from collections import Counter
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, TypeVar, cast

import pytest

from batcher.errors import TransportError
from batcher.flow.transport import Answer, CountedTransport
from tests.flow.conftest import Connect, Peer, RawServer, Serve
from tests.flow.runs import until

T = TypeVar("T")

LARGE = 200_000
"""Bytes of a body that goes out in several slices."""


async def echo(peer: Peer) -> None:
    """A script: every request gets the beginning of its own body, in pieces, so that there is much to wait for."""
    while True:
        body = (await peer.request()).body[:8]
        await peer.send(
            b"HTTP/1.1 100 C\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 8\r\n\r\n", body[:3], body[3:]
        )


@types.coroutine
def watched(work: Coroutine[Any, Any, T], at_await: Callable[[int], None]) -> Generator[Any, Any, T]:
    """Run *work* and tell *at_await* the number of each of its awaits, when it begins to wait."""
    step: Callable[[], Any] = partial(work.send, None)
    for number in itertools.count(1):
        try:
            waits_for = step()
        except StopIteration as ended:
            return cast("T", ended.value)
        at_await(number)
        try:
            yield waits_for
        except BaseException as error:  # noqa: BLE001 - it is *work*'s, all of it
            step = partial(work.throw, error)
        else:
            step = partial(work.send, None)
    raise AssertionError


class Trial:
    """Exchanges of which some are cancelled, each with a body of its own."""

    def __init__(self, transport: CountedTransport, server: RawServer) -> None:
        self.transport = transport
        self.server = server
        self.asked = itertools.count(10_000_000)

    def exchange(self, size: int) -> tuple[bytes, Coroutine[Any, Any, Answer]]:
        """An exchange to come, and what its answer must be."""
        mark = str(next(self.asked)).encode()
        return mark, self.transport.exchange(mark.ljust(size), {})

    async def check(self) -> None:
        """The pool is whole, nothing was sent twice, and the next exchange gets its own answer."""
        assert self.transport.connections()["active"] == 0
        mark, exchange = self.exchange(8)
        assert (await exchange).body == mark
        assert set(Counter(request.body for request in self.server.requests).values()) == {1}
        assert self.transport.connections() == {"active": 0, "idle": 1}


@pytest.fixture(params=["plain", "TLS"])
async def trial(
    request: pytest.FixtureRequest, serve: Serve, connect: Connect, server_tls: ssl.SSLContext, ca_file: str
) -> Trial:
    """Over a single connection, so that a place that is lost is missed at once."""
    server = await serve(echo, server_tls if request.param == "TLS" else None)
    return Trial(connect(server.url, connections=1, ca_file=ca_file), server)


@pytest.mark.parametrize("size", [8, LARGE])
@pytest.mark.parametrize("fresh", [True, False])
async def test_at_every_await(trial: Trial, size: int, *, fresh: bool) -> None:
    """An exchange that is cancelled while it waits for the n-th time ends so, for every n there is."""
    for at in itertools.count(1):
        if fresh:
            await drop_idle(trial)
        mark, exchange = trial.exchange(size)

        def cancel(number: int, at: int = at) -> None:
            current = asyncio.current_task()
            assert current is not None
            if number == at:
                current.cancel()

        async def run(exchange: Coroutine[Any, Any, Answer] = exchange) -> Answer:
            return await watched(exchange, cancel)

        task = asyncio.create_task(run())
        await asyncio.wait([task])
        if not task.cancelled():
            assert task.result().body == mark
            break
        await trial.check()
    assert at > 2
    await trial.check()


@pytest.mark.parametrize("size", [8, LARGE])
async def test_at_every_turn(trial: Trial, size: int) -> None:
    """Also when what it waits for has just come."""
    for turns in itertools.count():
        mark, exchange = trial.exchange(size)
        task = asyncio.create_task(exchange)
        for _ in range(turns):
            await asyncio.sleep(0)
        was_over = task.done()
        task.cancel()
        await asyncio.wait([task])
        if was_over:
            assert task.result().body == mark
            break
        if task.cancelled():
            await trial.check()
        else:
            assert task.result().body == mark
    assert turns > 2


async def drop_idle(trial: Trial) -> None:
    """Let the next exchange begin with a new connection: a cancelled one takes its connection with it."""
    if trial.transport.connections()["idle"]:
        arrived = len(trial.server.requests)
        task = asyncio.create_task(trial.exchange(8)[1])
        await until(lambda: len(trial.server.requests) > arrived)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    assert trial.transport.connections() == {"active": 0, "idle": 0}


@pytest.mark.parametrize(("tls", "count"), [(False, 1500), (True, 300)])
async def test_at_random(
    serve: Serve, connect: Connect, server_tls: ssl.SSLContext, ca_file: str, count: int, *, tls: bool
) -> None:
    """After thousands of cancellations every place is there, and nobody ever got another's answer."""
    chance = random.Random(11)
    server = await serve(echo, server_tls if tls else None)
    transport = connect(server.url, connections=4, ca_file=ca_file)
    trial = Trial(transport, server)
    ended: Counter[str] = Counter()
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            mark, exchange = trial.exchange(LARGE if chance.random() < 0.05 else 8)
            task = asyncio.create_task(exchange)
            if chance.random() < 0.7:
                for _ in range(int(chance.expovariate(0.1))):
                    await asyncio.sleep(0)
                task.cancel()
            await asyncio.wait([task])
            if task.cancelled():
                ended["cancelled"] += 1
                continue
            try:
                assert task.result().body == mark
            except TransportError as error:
                ended[type(error).__name__] += 1
            else:
                ended["answered"] += 1

    await asyncio.gather(*(worker() for _ in range(8)))
    assert set(ended) == {"cancelled", "answered"}
    assert min(ended.values()) > count / 10
    assert transport.connections()["active"] == 0
    assert set(Counter(request.body for request in server.requests).values()) == {1}
    for mark, exchange in [trial.exchange(8) for _ in range(4)]:
        assert (await exchange).body == mark
