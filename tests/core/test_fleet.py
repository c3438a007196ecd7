from __future__ import annotations

import pytest

from bench.pace.fleet import KINDS, Kind, rows

KIND = {kind.title: kind for kind in KINDS}


def test_clients_behind_one_queue_get_equal_parts() -> None:
    """Whether they have just come or others have left, and nothing of what the service can do is wasted."""
    for row in rows(KIND["A queue"], 4):
        assert row.fair > 0.95
        assert row.goodput > 0.9
        assert row.lost == 0.0


@pytest.mark.parametrize("clients", [2, 16])
def test_clients_below_one_cap_become_equal(clients: int) -> None:
    """Also those that came when all places were taken, and got nothing but 503 at first."""
    _, joined, left = rows(KIND["A hard cap, 503 above it"], clients)
    for row in (joined, left):
        assert row.fair > 0.9
        assert row.goodput > 0.95
        assert row.lost < 0.03


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.paced], ids=lambda kind: kind.title)
def test_a_fleet_that_keeps_to_its_rate_is_hardly_turned_away(kind: Kind) -> None:
    """Nine tenths of what the service takes: all of that is used, and in equal parts."""
    for row in rows(kind, 4):
        assert row.fair > 0.99
        assert row.goodput > 0.95
        assert row.lost < 0.01
