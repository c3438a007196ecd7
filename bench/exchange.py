"""CPU microseconds of one exchange: both transports beside aiohttp's bare ``session.post``.

Everything runs in one process on the first core, against nginx's constant answer on the second, in rounds that take
turns, so that whatever else the machine does falls on all alike: the ratios are worth more than the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import cProfile
import functools
import os
import pstats
import resource
import statistics
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from unittest import mock

import orjson
import uvloop
from aiohttp import ClientSession, TCPConnector

from batcher.core.soap import VERSIONS
from batcher.core.template import Template
from batcher.flow.transport import Route, Transport
from batcher.flow.transport.heads import Heads
from batcher.flow.transport.lease import LeaseTransport
from batcher.flow.transport.session import SessionTransport
from batcher.operations import load
from bench.constant import RECORD, constant_server

CONNECTIONS = 64
BARE = "session.post"

Post: TypeAlias = Callable[[], Awaitable[object]]


class Forgetful(Heads):
    """As if no head ever arrived twice."""

    def whole(self, data: bytes) -> None:
        """Know nothing."""


async def drive(post: Post, count: int) -> None:
    """*count* exchanges, ``CONNECTIONS`` at a time."""

    async def worker() -> None:
        for _ in range(count // CONNECTIONS):
            await post()

    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))


async def measure(post: Post, count: int) -> float:
    """CPU microseconds, user and system, of one exchange."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    await drive(post, count)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / count * 1e6


async def open_ways(url: str, stack: contextlib.AsyncExitStack) -> dict[str, Post]:
    """What is compared, by name; closed with *stack*."""
    operation, soap = load("SetOutlookSyncRecord"), VERSIONS["1.1"]
    body, _ = Template(operation, soap).render(orjson.loads(RECORD))
    headers = soap.headers(operation.action)
    route = Route(url, connections=CONNECTIONS)
    with mock.patch("batcher.flow.transport.pool.Heads", Forgetful):
        parsing = LeaseTransport(route)
    transports: dict[str, Transport] = {
        "lease": LeaseTransport(route),
        "lease, no head arrives twice": parsing,
        "session": SessionTransport(route),
    }
    ways: dict[str, Post] = {}
    for name, transport in transports.items():
        stack.push_async_callback(transport.close)
        ways[name] = functools.partial(transport.exchange, body, headers)
    bare = await stack.enter_async_context(ClientSession(connector=TCPConnector(limit=CONNECTIONS)))

    async def post() -> bytes:
        async with bare.post(url, data=body, headers=headers) as response:
            return await response.read()

    return ways | {BARE: post}


async def compare(url: str, rounds: int, count: int) -> None:
    """Print the median cost of each way, and its share of the bare one's in the same round."""
    async with contextlib.AsyncExitStack() as stack:
        ways = await open_ways(url, stack)
        for post in ways.values():
            await drive(post, count // 5)
        figures: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, post in ways.items():
                figures[name].append(await measure(post, count))
    for name, values in figures.items():
        share = statistics.median(value / base for value, base in zip(values, figures[BARE], strict=True))
        print(f"{name:30} {statistics.median(values):6.1f} µs ({min(values):.1f} to {max(values):.1f})  {share:.2f}")


async def profile(url: str, count: int) -> None:
    """Print where the lease's time goes, by function."""
    async with contextlib.AsyncExitStack() as stack:
        post = (await open_ways(url, stack))["lease"]
        await drive(post, count // 5)
        with cProfile.Profile() as profiler:
            await drive(post, count)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def main(arguments: list[str]) -> None:
    """Run what the *arguments* ask for."""
    parser = argparse.ArgumentParser(prog="python -m bench exchange", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--exchanges", type=int, default=10_000, help="in each round")
    parser.add_argument("--profile", action="store_true", help="of the lease, by function")
    options = parser.parse_args(arguments)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {0})
    with constant_server() as url:
        if options.profile:
            uvloop.run(profile(url, options.exchanges))
        else:
            uvloop.run(compare(url, options.rounds, options.exchanges))
