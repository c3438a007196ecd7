from __future__ import annotations

import pytest

from batcher.core.stop import StopRule
from batcher.core.verdict import Outcome
from batcher.values import Share

OUTCOMES = {
    "d": Outcome.DELIVERED,
    "r": Outcome.REJECTED,
    "i": Outcome.INVALID,
    "?": Outcome.IN_DOUBT,
    "u": Outcome.UNSENT,
}


def stops_at(after: Share | str | None, outcomes: str) -> int | None:
    """How many records finish until the run is stopped, or None."""
    rule = StopRule(after)
    heard = (rule.hear(OUTCOMES[outcome]) for outcome in outcomes)
    return next((number for number, reason in enumerate(heard, 1) if reason is not None), None)


@pytest.mark.parametrize(
    ("after", "outcomes", "at"),
    [
        ("default", "r" * 200, 100),
        ("default", "r" * 99, None),
        ("default", "d" + "r" * 500, None),
        ("default", "r" * 99 + "d" + "r" * 500, None),
        ("default", "r" * 50 + "?" + "r" * 500, None),
        ("default", "i" * 500, None),
        ("default", "i" * 30 + "r" * 100, 130),
        ("default", "d" * 100 + "r" * 500, None),
        (None, "r" * 1000, None),
        (Share(1), "d" * 10 + "r", 11),
        (Share(3), "ddri?dr", 5),
        (Share(3), "rdri" + "d" * 9, 4),
        (Share(0), "dd" + "r", 3),
        (Share(0), "d" * 500, None),
        (Share(5, percent=True), "r" * 99, None),
        (Share(5, percent=True), "r" * 100, 100),
        (Share(5, percent=True), "d" * 95 + "r" * 5, 100),
        (Share(5, percent=True), "d" * 96 + "r" * 4, None),
        (Share(7, percent=True), "d" * 93 + "r" * 7, 100),
        (Share(5, percent=True), "d" * 190 + "r" * 10, 200),
        (Share(0, percent=True), "d" * 500, None),
        (Share(0, percent=True), "d" * 200 + "i", 201),
    ],
)
def test_when_a_run_is_stopped(after: Share | str | None, outcomes: str, at: int | None) -> None:
    """A number counts at once, a share from the hundredth on; by default only a run in which nothing works at all."""
    assert stops_at(after, outcomes) == at


def test_the_reason_is_told() -> None:
    """With the numbers that led to it, and the option that asked for it."""
    rule = StopRule(Share(2))
    assert rule.hear(Outcome.REJECTED) is None
    assert rule.hear(Outcome.DELIVERED) is None
    assert rule.hear(Outcome.IN_DOUBT) == "2 of 3 records were not delivered (--stop-after 2)"
    rule = StopRule("default")
    reasons = [rule.hear(Outcome.REJECTED) for _ in range(100)]
    assert reasons[-1] == "the first 100 records that were sent were all rejected"
