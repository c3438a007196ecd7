"""Over the wire: how fast requests come with a ceiling on their rate."""

from __future__ import annotations

import asyncio
import socket
import struct
import time

from tests.e2e.conftest import StartRaw
from tests.e2e.program import Program, many
from tests.e2e.servers import Request, http, saved

_TCP_INFO = struct.Struct("=52xI")
"""Of Linux' ``tcp_info``: milliseconds since data were received."""


def arrived(writer: asyncio.StreamWriter) -> float:
    """When the last bytes of the other end came, monotonic seconds.

    The kernel knows it to a few milliseconds: this process may only get round to them later, and would take the first
    request for one that came after it was sent.
    """
    told = writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    ago: int = _TCP_INFO.unpack(told)[0]
    return time.monotonic() - ago / 1000


def test_requests_come_no_faster_than_the_rate(start_raw: StartRaw, program: Program) -> None:
    """Sixty at fifty a second, by a service that answers at once: the last comes 1.18 s after the first, or later."""
    arrivals: list[float] = []

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        arrivals.append(arrived(writer))
        writer.write(http("200 OK", saved(request)))

    raw = start_raw(answer)
    done = program.run("--endpoint", raw.url, "--rate", "50/s", "-", given=many(60))
    assert done.code == 0
    assert len(arrivals) == 60
    # The first may be late by what a connection takes, and a hundredth of a second may be made up for.
    assert arrivals[-1] - arrivals[0] > 1.0


def test_a_shard_takes_its_part_of_the_fleets_rate(start_raw: StartRaw, program: Program) -> None:
    """Two hundred a second for four shards: one of them sends its records at fifty a second, or slower."""
    arrivals: list[float] = []

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        arrivals.append(arrived(writer))
        writer.write(http("200 OK", saved(request)))

    raw = start_raw(answer)
    options = ("--fleet-rate", "200/s", "--shard", "1/4")
    done = program.run("--endpoint", raw.url, *options, "-", given=many(160))
    assert done.code == 0
    assert 20 <= len(arrivals) <= 60
    assert arrivals[-1] - arrivals[0] > (len(arrivals) - 1) / 50 - 0.18
