"""How late the event loop comes: the first thing to look at where a run is slower than the service."""

from __future__ import annotations

import asyncio
import time
from typing import NoReturn

from batcher.core.latency import Latency

INTERVAL = 0.25
"""Seconds between samples: 4 wake-ups a second cost nothing, and a long stall is seen in full by the one it delays."""


async def sample_lag(lag: Latency, interval: float = INTERVAL) -> NoReturn:
    """Feed *lag* with the seconds by which each wake-up was late, until cancelled."""
    while True:
        due = time.monotonic() + interval
        await asyncio.sleep(interval)
        lag.observe(max(0.0, time.monotonic() - due))
