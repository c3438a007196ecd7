from __future__ import annotations

from bisect import bisect_left

import pytest

from batcher.core.limit import Limit
from batcher.core.rate import Pacer
from bench.pace.client import Agenda, Client
from bench.pace.scenario import MOST, Scenario, auto, scenarios
from bench.pace.service import Manner, Service

ALL = list(scenarios())


@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_the_rule_does_what_the_scenario_accepts(scenario: Scenario) -> None:
    """Goodput, round trips, requests in vain and fairness are within the ranges in the scenario's file."""
    seen = scenario.seen(scenario.run(auto))
    assert [window.refuses(each) for window, each in zip(scenario.windows, seen, strict=True)] == [[]] * len(seen)


@pytest.mark.parametrize(("rate", "sent"), [(80.0, 80.0), (30.0, 30.0), (7.0, 7.0), (400.0, 197.0)])
def test_rate_and_limit_hold_together(rate: float, sent: float) -> None:
    """Any second has the rate within 2% or one request; above what the service does, the limit is what is found."""
    agenda, service = Agenda(), Service(Manner(0.1, servers=20, jitter=0.1), 1)
    client = Client(Limit(MOST), service, agenda, timeout=120.0, wanted=10**6, seed=1, pacer=Pacer(rate))
    agenda.put(0.0, client.begin)
    agenda.run(40.0)
    times = client.diary.sent
    for start in [10.0 + number * 0.073 for number in range(390)]:
        count = bisect_left(times, start + 1.0) - bisect_left(times, start)
        if sent == rate:
            assert abs(count - rate) <= max(1.0, 0.02 * rate)
    served = sum(10.0 <= at < 40.0 for at, _ in client.diary.served) / 30.0
    assert served == pytest.approx(sent, rel=0.03)
    assert max(limit for _, limit in client.diary.limits) <= 40


def test_the_same_seed_gives_the_same_run() -> None:
    """Nothing in a run depends on anything but its file and its seed."""
    scenario = next(each for each in ALL if each.name == "02-knee")
    assert scenario.run(auto) == scenario.run(auto)
    assert scenario.run(auto, 1) != scenario.run(auto, 2)
