from __future__ import annotations

import pytest

from bench.pace.scenario import Scenario, auto, scenarios

ALL = list(scenarios())


@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_the_rule_does_what_the_scenario_accepts(scenario: Scenario) -> None:
    """Goodput, round trips, requests in vain and fairness are within the ranges in the scenario's file."""
    seen = scenario.seen(scenario.run(auto))
    assert [window.refuses(each) for window, each in zip(scenario.windows, seen, strict=True)] == [[]] * len(seen)


def test_the_same_seed_gives_the_same_run() -> None:
    """Nothing in a run depends on anything but its file and its seed."""
    scenario = next(each for each in ALL if each.name == "02-knee")
    assert scenario.run(auto) == scenario.run(auto)
    assert scenario.run(auto, 1) != scenario.run(auto, 2)
