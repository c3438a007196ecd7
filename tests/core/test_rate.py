from __future__ import annotations

import math
from bisect import bisect_left
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.core.rate import Pacer, share_of_fleet
from tests.core.samples import quickly


def sent(pacer: Pacer, looks: list[float]) -> list[float]:
    """When requests are sent by one who sends all that is allowed at each of these *looks* at the clock."""
    times = []
    for now in looks:
        while pacer.wait(now) == 0.0:
            pacer.send(now)
            times.append(now)
    return times


def punctual(pacer: Pacer, seconds: float) -> list[float]:
    """When requests are sent by one who always waits for exactly as long as the pacer says."""
    now, times = 0.0, []
    while (now := now + pacer.wait(now)) < seconds:
        pacer.send(now)
        times.append(now)
    return times


@pytest.mark.parametrize(
    ("rate", "now", "wait"),
    [
        (10.0, 5.0, 0.1),
        (10.0, 5.04, 0.06),
        (10.0, 5.1, 0.0),
        (10.0, 9.0, 0.0),
        (0.5, 5.0, 2.0),
        (0.5, 6.5, 0.5),
        (4000.0, 5.0, 0.00025),
    ],
)
def test_after_a_request_the_next_has_its_place(rate: float, now: float, wait: float) -> None:
    """One request was sent at 5.0 s; seconds until the next by rate and time."""
    pacer = Pacer(rate)
    assert pacer.wait(5.0) == 0.0
    pacer.send(5.0)
    # It may make up for a hundredth of a second, which the first one takes as if it had been late.
    assert pacer.wait(now) == pytest.approx(max(0.0, wait - 0.01), abs=1e-9)


@pytest.mark.parametrize("rate", [0.5, 1.0, 7.0, 50.0, 333.0, 2000.0])
@pytest.mark.parametrize("tick", [0.0001, 0.001, 0.0037, 0.009])
def test_any_second_holds_the_rate_within_two_per_cent_or_one_request(rate: float, tick: float) -> None:
    """However the second is laid, and however coarsely the clock is looked at."""
    times = sent(Pacer(rate), [number * tick for number in range(int(12 / tick))])
    for start in (0.0, 0.1234, *(time + offset for time in times[::97] for offset in (0.0, 1e-6))):
        if start <= 10.5:
            count = bisect_left(times, start + 1.0) - bisect_left(times, start)
            assert abs(count - rate) <= max(1.0, 0.02 * rate) + 1e-6, start


@pytest.mark.parametrize("rate", [3.0, 80.0])
def test_requests_are_spaced_evenly(rate: float) -> None:
    """No two come closer than the rate has them, but for the hundredth of a second that the first one gains."""
    times = punctual(Pacer(rate), 20.0)
    gaps = [later - earlier for earlier, later in pairwise(times[1:])]
    assert min(gaps) == pytest.approx(1 / rate)
    assert max(gaps) == pytest.approx(1 / rate)


@pytest.mark.parametrize("idle", [0.5, 60.0, 86400.0])
def test_no_burst_follows_a_pause(idle: float) -> None:
    """What was not sent while the service asked for quiet, or nothing was there to send, is not made up for."""
    pacer = Pacer(100.0)
    times = sent(pacer, [number / 1000 for number in range(1000)])
    resumed = sent(pacer, [times[-1] + idle + number / 1000 for number in range(1000)])
    assert len(resumed) <= 102
    assert len([time for time in resumed if time < resumed[0] + 0.1]) <= 12


@quickly
@given(
    rate=st.floats(0.1, 5000),
    steps=st.lists(st.floats(0, 0.5), min_size=1, max_size=200),
)
def test_it_never_allows_more_than_the_rate(rate: float, steps: list[float]) -> None:
    """Whenever it is asked: any span holds at most its share, a hundredth of a second's, and one."""
    pacer, now, times = Pacer(rate), 0.0, []
    for step in steps:
        now += step
        for _ in range(10_000):
            if pacer.wait(now) > 0.0:
                break
            pacer.send(now)
            times.append(now)
    for first, since in enumerate(times[:: max(1, len(times) // 20)]):
        start = first * max(1, len(times) // 20)
        span = times[-1] - since
        assert len(times) - start <= math.floor((span + 0.01) * rate + 1e-6) + 1


def test_parts_of_a_fleet_keep_the_fleets_rate_together() -> None:
    """Four that each take a quarter send as much as one that takes all."""
    together = sorted(time for _ in range(4) for time in punctual(Pacer(100.0 / 4), 10.0))
    assert abs(len(together) - 1000) <= 8


@pytest.mark.parametrize("shards", [1, 2, 16, 256])
def test_shards_of_a_fleet_together_have_its_rate(shards: int) -> None:
    """Each has an equal part."""
    assert share_of_fleet(100.0, shards) * shards == pytest.approx(100.0)
