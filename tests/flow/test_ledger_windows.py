"""How much is declared ahead: pure arithmetic, on made-up commits."""

from __future__ import annotations

import pytest

from batcher.flow.ledger.windows import Pace


def going(rate: int, commit: float, most: int) -> Pace:
    """After many commits that took so many seconds each, one every 20 ms, with so many records declared a second."""
    pace = Pace(0.0, most)
    for number in range(1, 200):
        pace.declared(rate // 50)
        pace.committed(commit, number / 50)
    return pace


@pytest.mark.parametrize(
    ("rate", "commit", "least", "most"),
    [
        (100, 0.002, 1, 3),  # a limit of 10, requests of 100 ms: one or two of them end within a commit
        (4000, 0.002, 20, 100),  # a limit of 2, requests of 0.5 ms: commits, not requests, are what takes time
        (4000, 0.02, 128, 128),  # a slow disk: two commits would need 200
    ],
)
def test_as_much_is_declared_as_two_commits_need(rate: int, commit: float, least: int, most: int) -> None:
    """What the rate needs until two commits are done and another one is due, whatever the limit is just now."""
    pace = going(rate, commit, most=64)
    assert least <= pace.wanted(0, limit=2) <= most
    assert pace.wanted(0, limit=2) == pace.wanted(0, limit=64)


def test_no_more_is_declared_while_enough_is_ahead() -> None:
    """4,000 a second need 20 for two commits of 2 ms and a half; behind more than that nothing is declared."""
    pace = going(4000, 0.002, most=64)
    assert pace.wanted(20, limit=2) == 100 - 20
    assert pace.wanted(21, limit=2) == 0


@pytest.mark.parametrize("limit", [1, 2, 64])
def test_before_anything_is_known_it_is_twice_the_present_limit(limit: int) -> None:
    """A run that has just begun is not to make a hundred records doubtful of which it has sent two."""
    pace = Pace(0.0, 64)
    assert pace.wanted(0, limit) == 2 * limit
    assert pace.wanted(limit + 1, limit) == 0
